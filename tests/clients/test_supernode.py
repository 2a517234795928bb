"""What we change in Flower's SuperNode."""

from types import SimpleNamespace

import pytest
from flwr.supercore.run import RunNotRunningException

from clients.supernode import _Current, _OnlyAnswers, _ordinary


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
