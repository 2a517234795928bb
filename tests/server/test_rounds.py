"""The coordinator's rounds under faults: what is lost, repeated, damaged, late, killed."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from clients import budget
from clients.node import Node
from clients.rounds import answer
from clients.store import Answered, NodeStore
from federation import codecs, wire
from federation.errors import Refusal, RoundFailed
from federation.ids import PartyId, TaskDigest
from federation.link import Link, Reply
from federation.messages import ScoresAnswer, UpdateAnswer
from federation.terms import PersonTerms
from server.coordinator import from_bytes, run_of
from server.rounds import run_task
from server.store import PartyRound, ServerStore, TaskState
from simulations.loopback import Fault, corrupted, faithful, lost, repeated
from simulations.parties import Federation

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
NOISED = {"delta": 1e-3, "noise_multiplier": 3.0, "every_rounds": 3}
Launch = Callable[..., str]


class Killed(BaseException):
    """The process ends here."""


class DiesAfterAnswers:
    """A link whose process is killed once all answers of question number `fatal` were made, but none was folded."""

    def __init__(self, inner: Link, fatal: int) -> None:
        self.inner, self.left = inner, fatal

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        replies = list(self.inner.ask(requests, deadline_s))
        self.left -= 1
        if self.left < 0:
            raise Killed
        yield from replies


def done(federation: Federation, name: str, round_number: int) -> dict[str, PartyRound]:
    digest = federation.coordinator.store.task(name).digest
    rows = federation.coordinator.store.party_rounds(digest)
    return {row.party: row for row in rows if row.kind == "train" and row.round == round_number}


def reservations(node: Node) -> int:
    return max((group.charges for group in budget.table(node.store)), default=0)


def models(federation: Federation, name: str) -> list[str]:
    digest = federation.coordinator.store.task(name).digest
    return [row.model for row in federation.coordinator.store.rounds(digest)]


def forged(change: Callable[[UpdateAnswer, bytes], tuple[UpdateAnswer, bytes]], node: Node) -> Fault:
    """The party's own answer, changed by its owner and signed again."""

    def fault(party: PartyId, blob: bytes) -> list[Reply]:
        header, payload = wire.read_answer(blob, node.identity.public_key, 1 << 20)
        if not isinstance(header, UpdateAnswer):
            return faithful(party, blob)
        return [Reply(party, wire.pack(*change(header, bytes(payload)), node.identity))]

    return fault


@pytest.mark.parametrize(
    ("fault", "outcome", "says"),
    [(lost, "late", "no answer"), (corrupted, "invalid", "signature")],
)
def test_a_lost_or_damaged_answer_only_shrinks_the_step(
    federation: Federation, launch: Launch, fault: Fault, outcome: str, says: str
) -> None:
    name = launch()
    federation.link.faults[LAB] = fault
    run_task(federation.coordinator, federation.link, name)
    missing = done(federation, name, 1)[LAB]
    assert missing.outcome == outcome
    assert says in missing.code
    row = federation.coordinator.store.rounds(federation.coordinator.store.task(name).digest)[1]
    assert LAB not in row.parties
    assert row.shrink == pytest.approx(9 / 15)


def test_an_answer_that_comes_twice_counts_once(federation: Federation, launch: Launch) -> None:
    name = launch()
    federation.link.faults[LAB] = repeated
    run_task(federation.coordinator, federation.link, name)
    rows = federation.coordinator.store.rounds(federation.coordinator.store.task(name).digest)
    assert all(row.parties.count(LAB) == 1 for row in rows[1:])
    assert rows[1].shrink == pytest.approx(1.0)


def nan_payload(header: UpdateAnswer, payload: bytes) -> tuple[UpdateAnswer, bytes]:
    return header, np.full(len(payload) // 4, np.nan, dtype="<f4").tobytes()


def too_short(header: UpdateAnswer, payload: bytes) -> tuple[UpdateAnswer, bytes]:
    return header, payload[:-4]


def too_long(header: UpdateAnswer, payload: bytes) -> tuple[UpdateAnswer, bytes]:
    return header, payload * 3


def other_question(header: UpdateAnswer, payload: bytes) -> tuple[UpdateAnswer, bytes]:
    return header.model_copy(update={"nonce": "f" * 32}), payload


def other_party(header: UpdateAnswer, payload: bytes) -> tuple[UpdateAnswer, bytes]:
    return header.model_copy(update={"party": ARCHIVE}), payload


@pytest.mark.parametrize("change", [nan_payload, too_short, too_long, other_question, other_party])
def test_a_party_that_answers_nonsense_is_left_out_and_named(
    federation: Federation, launch: Launch, change: Callable[[UpdateAnswer, bytes], tuple[UpdateAnswer, bytes]]
) -> None:
    name = launch()
    federation.link.faults[LAB] = forged(change, federation.nodes[LAB])
    run_task(federation.coordinator, federation.link, name)
    assert done(federation, name, 2)[LAB].outcome == "invalid"
    assert done(federation, name, 2)[ARCHIVE].outcome == "answered"


def test_too_few_parties_fail_the_round_without_moving_the_weights(federation: Federation, launch: Launch) -> None:
    name = launch(exchange={"min_parties": 3})
    federation.link.faults[LAB] = lost
    with pytest.raises(RoundFailed, match=r"round 1 .* cannot be tried again: 2 of 5 attempts") as failure:
        run_task(federation.coordinator, federation.link, name)
    assert failure.value.reasons == {LAB: "no answer before the deadline"}
    task = federation.coordinator.store.task(name)
    assert task.state is TaskState.FAILED
    assert len(models(federation, name)) == 1


def test_a_round_that_failed_is_tried_again_under_a_new_attempt(federation: Federation, launch: Launch) -> None:
    name = launch(exchange={"min_parties": 3})
    weather = iter([lost])

    def changing(party: PartyId, blob: bytes) -> list[Reply]:
        return next(weather, faithful)(party, blob)

    federation.link.faults[LAB] = changing
    run_task(federation.coordinator, federation.link, name)
    task = federation.coordinator.store.task(name)
    attempts = [a for a in federation.coordinator.store.attempts(task.digest) if a.kind == "train"]
    assert [(a.round, a.state) for a in attempts] == [
        (1, "failed"),
        (1, "committed"),
        (2, "committed"),
        (3, "committed"),
    ]
    assert reservations(federation.nodes[LAB]) == 4


def test_unreachable_parties_are_named_before_anything_is_spent(federation: Federation, launch: Launch) -> None:
    name = launch(exchange={"min_parties": 3}, round_deadline_s=0.2)
    federation.link.absent.add(COACH)
    with pytest.raises(RoundFailed, match=r"coach \(unreachable\).*task resume"):
        run_task(federation.coordinator, federation.link, name)
    assert reservations(federation.nodes[LAB]) == 0


def test_a_coordinator_killed_in_a_round_asks_the_same_question_again(federation: Federation, launch: Launch) -> None:
    name = launch()
    with pytest.raises(Killed):
        run_task(federation.coordinator, DiesAfterAnswers(federation.link, 3), name)
    assert len(models(federation, name)) == 2
    run_task(federation.coordinator, federation.link, name)
    task = federation.coordinator.store.task(name)
    attempts = [a for a in federation.coordinator.store.attempts(task.digest) if a.kind == "train"]
    assert task.state is TaskState.COMPLETED
    assert [(a.number, a.round) for a in attempts] == [(0, 1), (1, 2), (2, 3)]
    assert reservations(federation.nodes[LAB]) == 3


def test_a_kill_between_training_and_answer_is_charged_once_and_never_trained_again(
    federation: Federation, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = launch()
    lab, archive = federation.nodes[LAB], federation.nodes[ARCHIVE]
    written = type(lab.store).record_answer

    def killed_once(store: NodeStore, answered: Answered) -> None:
        if store is lab.store and answered.kind == "train" and answered.attempt == 0:
            raise Killed
        written(store, answered)

    monkeypatch.setattr(NodeStore, "record_answer", killed_once)
    with pytest.raises(Killed):
        run_task(federation.coordinator, federation.link, name)
    monkeypatch.undo()
    assert reservations(lab) == 1
    run_task(federation.coordinator, federation.link, name)
    assert done(federation, name, 1)[LAB].code == Refusal.ATTEMPT_LOST
    assert done(federation, name, 2)[LAB].outcome == "answered"
    assert reservations(lab) == reservations(archive) == 3


def test_the_committed_models_are_the_sum_of_what_the_nodes_stored(federation: Federation, launch: Launch) -> None:
    name = launch(rounds=1)
    run_task(federation.coordinator, federation.link, name)
    store = federation.coordinator.store
    task = store.task(name)
    manifest = task.manifest()
    assert isinstance(manifest.privacy, PersonTerms)
    vectors = []
    for node in federation.nodes.values():
        blob = node.store.stored_answer(task.digest, 0, "train")
        assert blob is not None
        _, payload = wire.read_answer(blob, node.identity.public_key, 1 << 20)
        vectors.append(codecs.find("raw32").decode(payload, len(payload) // 4, 0).astype(np.float64))
    before = from_bytes(0, store.model(models(federation, name)[0]))
    after = from_bytes(1, store.model(models(federation, name)[1]))
    names = sorted(run_of(manifest).workload.initial(0))
    moved = np.concatenate([(after.weights[n] - before.weights[n]).numpy().ravel() for n in names])
    assert moved == pytest.approx(np.sum(vectors, axis=0) / manifest.divisor(), abs=1e-5)


def test_a_stopped_task_ends_after_the_round_in_flight(federation: Federation, launch: Launch) -> None:
    name = launch()
    digest = federation.coordinator.store.task(name).digest

    def stop(party: PartyId, blob: bytes) -> list[Reply]:
        if federation.coordinator.store.task(name).state is TaskState.RUNNING:
            federation.coordinator.store.set_task_state(digest, TaskState.STOPPED)
        return faithful(party, blob)

    federation.link.faults[ARCHIVE] = stop
    run_task(federation.coordinator, federation.link, name)
    assert len(models(federation, name)) == 2
    assert federation.coordinator.store.release(digest) is None


def test_evaluation_interrupted_by_a_kill_is_carried_to_its_end(federation: Federation, launch: Launch) -> None:
    name = launch(rounds=1)
    with pytest.raises(Killed):
        run_task(federation.coordinator, DiesAfterAnswers(federation.link, 2), name)
    run_task(federation.coordinator, federation.link, name)
    task = federation.coordinator.store.task(name)
    assert [e.party for e in federation.coordinator.store.evaluations(task.digest)] == [COACH]


def test_an_evaluation_left_open_does_not_spoil_the_next_one(
    federation: Federation, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after all scores were recorded, before the attempt was closed."""
    name, close = launch(rounds=2), ServerStore.close_attempt

    def killed(store: ServerStore, task: TaskDigest, kind: str, *rest: object) -> None:
        if kind == "evaluate":
            raise Killed
        close(store, task, kind, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ServerStore, "close_attempt", killed)
    with pytest.raises(Killed):
        run_task(federation.coordinator, federation.link, name)
    monkeypatch.undo()
    run_task(federation.coordinator, federation.link, name)
    task = federation.coordinator.store.task(name)
    assert [score.round for score in federation.coordinator.store.evaluations(task.digest)] == [1, 2]


def test_a_refusal_of_bytes_that_could_not_be_read_does_not_reset_the_ledgers_head(
    federation: Federation, launch: Launch
) -> None:
    run_task(federation.coordinator, federation.link, launch(rounds=1))
    before = federation.coordinator.store.heads()[LAB]
    federation.link.faults[LAB] = lambda party, _: faithful(party, answer(federation.nodes[party], b"noise"))
    later = launch(name="later", rounds=1)
    run_task(federation.coordinator, federation.link, later)
    assert done(federation, later, 1)[LAB].code == Refusal.BAD_MESSAGE
    assert federation.coordinator.store.heads()[LAB] == before


def test_a_party_revoked_while_it_is_asked_is_left_out(federation: Federation, launch: Launch) -> None:
    name = launch(rounds=1)

    class Revokes:
        """Revokes the coach at the moment in which it is asked for scores."""

        def reachable(self) -> frozenset[PartyId]:
            return federation.link.reachable()

        def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
            if list(requests) == [COACH]:
                federation.coordinator.store.revoke(COACH)
            return federation.link.ask(requests, deadline_s)

    run_task(federation.coordinator, Revokes(), name)
    task = federation.coordinator.store.task(name)
    assert task.state is TaskState.COMPLETED
    assert federation.coordinator.store.evaluations(task.digest) == []


def test_noised_scores_are_charged_to_held_out_people(federation: Federation, launch: Launch) -> None:
    name = launch(evaluation={"disclosure": "noised"} | NOISED)
    run_task(federation.coordinator, federation.link, name)
    task = federation.coordinator.store.task(name)
    [scores] = federation.coordinator.store.evaluations(task.digest)
    assert scores.disclosure == "noised"
    assert scores.people == 0
    coach = federation.nodes[COACH]
    assert sorted(group.charges for group in budget.table(coach.store)) == [1, 3]


@pytest.mark.parametrize(
    ("terms", "words", "says"),
    [
        ({}, {"sums": {"rows": 4.0, "squared_error": -1.0}}, "no finite numbers"),
        ({}, {"disclosure": "noised", "sums": {"people": 1.0, "| a line of the card |": 1.0}}, "scores are noised"),
        ({"disclosure": "noised"} | NOISED, {"sums": {"| a line of the card |": 1.0}}, "no figures can be made"),
    ],
    ids=["a root of nothing", "of another kind", "names of its own"],
)
def test_scores_that_no_rows_have_are_left_out_and_stop_nothing(
    federation: Federation, launch: Launch, terms: dict[str, object], words: dict[str, object], says: str
) -> None:
    def fault(party: PartyId, blob: bytes) -> list[Reply]:
        key = federation.nodes[COACH].identity
        header, _ = wire.read_answer(blob, key.public_key, 1 << 20)
        made = wire.pack(header.model_copy(update=words), b"", key) if isinstance(header, ScoresAnswer) else blob
        return [Reply(party, made)]

    name = launch(evaluation={"disclosure": "published"} | terms)
    federation.link.faults[COACH] = fault
    run_task(federation.coordinator, federation.link, name)
    store = federation.coordinator.store
    task = store.task(name)
    assert task.state is TaskState.COMPLETED
    assert store.evaluations(task.digest) == []
    assert says in next(row.code for row in store.party_rounds(task.digest) if row.kind == "evaluate")


def test_an_update_from_synthetic_rows_hides_nobody(federation: Federation, launch: Launch) -> None:
    name = launch(exchange={"min_parties": 2}, round_deadline_s=0.2)
    federation.link.absent |= {ARCHIVE, COACH}
    with pytest.raises(RoundFailed, match=r"1 parties with people are connected; task private needs 2"):
        run_task(federation.coordinator, federation.link, name)
    assert reservations(federation.nodes[LAB]) == 0


def test_a_head_is_remembered_as_soon_as_it_was_seen(federation: Federation, launch: Launch) -> None:
    name = launch()
    with pytest.raises(Killed):
        run_task(federation.coordinator, DiesAfterFirstReply(federation.link), name)
    assert federation.coordinator.store.heads()[LAB] == budget.head(federation.nodes[LAB].store)


class DiesAfterFirstReply(DiesAfterAnswers):
    """A link whose process is killed when the second answer of the first round arrives."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner, 10)

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        for count, reply in enumerate(super().ask(requests, deadline_s)):
            if count:
                raise Killed
            yield reply
