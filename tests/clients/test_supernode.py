"""What we change in Flower's SuperNode."""

from types import SimpleNamespace

import pytest
from flwr.common.constant import Status
from flwr.supercore.run import RunNotRunningException

from clients.supernode import _Current, _one_worker, _OnlyAnswers, _ordinary


def test_the_end_of_a_run_is_an_error_that_flower_clears_up_after():
    def ended(*_: object) -> bytes:
        raise RunNotRunningException

    assert not issubclass(RunNotRunningException, Exception)  # otherwise ours can go
    with pytest.raises(RuntimeError, match="the run has ended"):
        _ordinary(ended)(1, "object")


def test_what_is_not_the_end_of_a_run_passes_through():
    assert _ordinary(lambda run, part: f"{run} {part}")(1, "object") == "1 object"


def reply(number: str, to: str) -> SimpleNamespace:
    return SimpleNamespace(metadata=SimpleNamespace(message_id=number, reply_to_message_id=to))


class State:
    """The network edge: replies that the worker has left."""

    def __init__(self, *replies: SimpleNamespace) -> None:
        self.replies, self.deleted = list(replies), []

    def get_messages_legacy(self, *, is_reply: bool) -> list[SimpleNamespace]:
        return self.replies

    def delete_messages(self, *, message_ids: list[str]) -> None:
        self.deleted += message_ids


def test_an_answer_to_a_message_of_an_ended_run_is_never_sent_in_place_of_the_present_one():
    current = _Current()
    current.remember(lambda: (reply("question-2", ""), None))()
    state = State(reply("late", "question-1"), reply("answer", "question-2"))
    shown = _OnlyAnswers(state, current).get_messages_legacy(is_reply=True)
    assert [message.metadata.message_id for message in shown] == ["answer"]
    assert state.deleted == ["late"]


class Tasks:
    """The network edge: what the SuperNode keeps of tasks and messages when a second worker asks for work."""

    def __init__(self, pending: int, unread: bool) -> None:
        waiting = SimpleNamespace(is_retrieved=False, message=reply("answer", "question"))
        question = SimpleNamespace(is_retrieved=not unread, message=reply("question", ""))
        self.msg_store = {"answer": waiting, "question": question}
        self.pending, self.made, self.told = pending, 0, set()

    def get_tasks(self, *, statuses: list[str]) -> list[SimpleNamespace]:
        claimed = SimpleNamespace(task_id=1, run_id=7, fab_hash="f")
        return [claimed] * (self.pending if statuses == [Status.PENDING] else 1)

    def finish_task(self, *_: object) -> None:
        pass

    def create_task(self, **_: object) -> None:
        self.made += 1

    def _store_error_replies(self, runs: set[int], _: object) -> None:
        self.told |= runs


@pytest.mark.parametrize(
    ("pending", "unread", "made", "told"), [(0, True, 1, set()), (1, True, 0, set()), (0, False, 0, {7})]
)
def test_a_new_worker_finds_one_task_per_unread_message(pending: int, unread: bool, made: int, told: set[int]):
    state = Tasks(pending, unread)
    _one_worker(lambda _request, _state: "task")(None, state)
    assert (state.made, state.told) == (made, told)
