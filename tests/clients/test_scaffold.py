"""SCAFFOLD at a party: its control variate is right, durable, and goes with a permission or with the task."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from pyroaring import BitMap

from clients import consent
from clients.erasure import forget
from clients.node import Node
from clients.statements import ConsentStatement
from clients.store import NodeStore, Variate, open_store
from clients.training import party_steps, party_update
from federation import codecs, wire
from federation.consent import ConsentState, Purpose
from federation.errors import StoreError
from federation.ids import PartyId, PersonNumber, TaskDigest
from federation.link import Link, Reply
from federation.messages import RefusalAnswer, TrainRequest, UpdateAnswer
from federation.terms import TrainingTerms
from federation.workload import flatten, trained_names
from federation.workloads import find
from server.coordinator import Model, from_bytes, run_of
from server.questions import pose
from server.rounds import run_task
from simulations.loopback import Loopback, lost
from simulations.parties import Federation

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
Launch = Callable[..., str]
TRAINING = {"learning_rate": 0.05, "batch_rows": 4, "local_epochs": 2, "public_weight": 1.0, "scaffold": True}
TASK = {"name": "plain", "privacy": {"unit": "none"}, "rounds": 4, "training": TRAINING}
QUIET = {"disclosure": "published", "every_rounds": 99}
AT = datetime(2026, 3, 1, tzinfo=UTC)


class Paused(BaseException):
    """The coordinator ends here."""


class PausesBefore:
    """A link whose coordinator is killed before it asks question number `fatal`."""

    def __init__(self, inner: Link, fatal: int) -> None:
        self.inner, self.left = inner, fatal

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        self.left -= 1
        if self.left < 0:
            raise Paused
        return self.inner.ask(requests, deadline_s)


def after_rounds(federation: Federation, launch: Launch, count: int, **changes: object) -> str:
    """A SCAFFOLD task of four rounds, `count` of which are committed."""
    name = launch(**(TASK | {"evaluation": QUIET} | changes))
    with pytest.raises(Paused):
        run_task(federation.coordinator, PausesBefore(federation.link, 1 + count), name)
    return name


def digest(federation: Federation, name: str) -> TaskDigest:
    return federation.coordinator.store.task(name).digest


def model(federation: Federation, name: str) -> Model:
    latest = federation.coordinator.store.latest_model(digest(federation, name))
    assert latest is not None
    return from_bytes(latest.round, latest.data, latest.memory)


def mean_of_variates(federation: Federation, name: str) -> np.ndarray:
    """The weighted mean of the variates that the parties keep, as the coordinator counts them."""
    manifest = federation.coordinator.store.task(name).manifest()
    control = model(federation, name).memory.control
    assert control is not None
    total = np.zeros_like(control.vector)
    for party, round_number in control.counted.items():
        kept = federation.nodes[party].store.variate(digest(federation, name), round_number)
        assert kept is not None
        total += kept.vector * (manifest.member(party).people or manifest.training.public_weight)
    return total / manifest.divisor()


def withdraw(node: Node, person: int, purpose: Purpose = Purpose.TRAIN_MOTION_MODELS) -> None:
    statement = ConsentStatement(
        person=PersonNumber(person), purpose=purpose, state=ConsentState.WITHDRAWN, at=node.clock(), notice_version=""
    )
    consent.record(node.store, statement)


@pytest.mark.parametrize(
    "up_and_down",
    [
        {"up": "raw32", "down": "raw32"},
        {"up": "int8_block", "down": "int8_block"},
        {"up": "urq", "up_bits": 4.0, "down": "raw32"},
    ],
    ids=lambda terms: terms["up"],
)
def test_the_coordinators_variate_is_the_mean_of_the_parties_own(
    federation: Federation, launch: Launch, up_and_down: dict[str, object]
) -> None:
    name = after_rounds(federation, launch, 3, exchange={"min_parties": 2, **up_and_down})
    control = model(federation, name).memory.control
    assert control is not None
    assert control.counted == {LAB: 3, ARCHIVE: 3, COACH: 3, ALGO: 3}
    assert np.abs(control.vector).max() > 1e-3
    assert control.vector == pytest.approx(mean_of_variates(federation, name), abs=1e-6)


def test_an_answer_that_was_lost_leaves_both_sides_with_the_round_before(
    federation: Federation, launch: Launch
) -> None:
    weather = iter([True, False, True, True])  # the second answer is lost on its way
    federation.link.faults[LAB] = lambda party, blob: [Reply(party, blob if next(weather) else None, "lost")]
    name = after_rounds(federation, launch, 3)
    control = model(federation, name).memory.control
    assert control is not None
    assert control.counted == {LAB: 3, ARCHIVE: 3, COACH: 3, ALGO: 3}
    assert control.vector == pytest.approx(mean_of_variates(federation, name), abs=1e-6)
    kept = federation.nodes[LAB].store
    assert kept.variate(digest(federation, name), 2) is None


def test_a_variate_is_the_mean_slope_along_the_way(federation: Federation, launch: Launch) -> None:
    name = after_rounds(federation, launch, 1)
    manifest = federation.coordinator.store.task(name).manifest()
    workload = find("running_pace")
    node = federation.nodes[LAB]
    blob = node.store.stored_answer(digest(federation, name), 0, "train")
    assert blob is not None
    header, payload = wire.read_answer(blob, node.identity.public_key, 1 << 20)
    assert isinstance(header, UpdateAnswer)
    both = codecs.find("raw32").decode(payload, len(payload) // 4, 0)
    update, change = np.split(both, 2)
    assert change == pytest.approx(-update / (party_steps(header.weight, manifest.training) * 0.05), abs=1e-5)
    assert len(update) == workload.initial(0)["head.weight"].numel()


def test_a_correction_is_a_slope_that_every_step_adds() -> None:
    """The reference: the same steps on a loss that holds the correction as a linear term."""
    pace = find("running_pace")
    rows, weights = pace.invent(3, 5, 4), pace.initial(0)
    names = trained_names(weights, pace.phases[0])
    terms = TrainingTerms(learning_rate=0.1, local_epochs=3, batch_rows=7)
    correction = torch.linspace(-1, 1, weights["head.weight"].numel())
    phase = pace.phases[0]
    tilted = replace(
        phase, loss=lambda own, fields, seed: phase.loss(own, fields, seed) + own["head.weight"] @ correction
    )
    found = party_update(pace, phase, weights, names, rows, terms, 5, correction)
    expected = party_update(pace, tilted, weights, names, rows, terms, 5)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, party_update(pace, phase, weights, names, rows, terms, 5), atol=1e-2)


def test_a_withdrawal_deletes_the_variate_at_once_and_all_begin_anew(federation: Federation, launch: Launch) -> None:
    name = after_rounds(federation, launch, 2)
    lab, task = federation.nodes[LAB], digest(federation, name)
    kept = lab.store.variate(task, 2)
    assert kept is not None
    withdraw(lab, kept.people[0])
    assert lab.store.variate(task, 2) is None
    assert lab.store.variate(task, 1) is None
    assert federation.nodes[ARCHIVE].store.variate(task, 2) is not None
    with pytest.raises(Paused):
        run_task(federation.coordinator, PausesBefore(federation.link, 1), name)
    assert model(federation, name).round == 3
    assert model(federation, name).memory.control is None
    run_task(federation.coordinator, federation.link, name)
    answered = {row.party for row in federation.coordinator.store.party_rounds(task) if row.outcome == "answered"}
    assert answered == {LAB, ARCHIVE, COACH, ALGO}


def test_after_all_began_anew_the_mean_holds_again(federation: Federation, launch: Launch) -> None:
    name = after_rounds(federation, launch, 1, rounds=6)
    withdraw(federation.nodes[LAB], kept_people(federation.nodes[LAB], digest(federation, name), 1)[0])
    with pytest.raises(Paused):
        run_task(federation.coordinator, PausesBefore(federation.link, 3), name)
    control = model(federation, name).memory.control
    assert control is not None
    assert control.counted == {LAB: 4, ARCHIVE: 4, COACH: 4, ALGO: 4}
    assert control.vector == pytest.approx(mean_of_variates(federation, name), abs=1e-6)


def kept_people(node: Node, task: TaskDigest, round_number: int) -> BitMap:
    kept = node.store.variate(task, round_number)
    assert kept is not None
    return kept.people


def test_a_withdrawal_of_another_purpose_or_by_somebody_else_leaves_the_variate(
    federation: Federation, launch: Launch
) -> None:
    name = after_rounds(federation, launch, 1)
    coach, task = federation.nodes[COACH], digest(federation, name)
    people = kept_people(coach, task, 1)
    held_out = next(person for person in coach.rows.people("running_pace", True) if person not in people)
    withdraw(coach, held_out, Purpose.PUBLISH_SCORES)
    withdraw(coach, held_out)
    assert coach.store.variate(task, 1) is not None


def test_a_person_who_is_forgotten_is_forgotten_by_the_variate(federation: Federation, launch: Launch) -> None:
    name = after_rounds(federation, launch, 1)
    lab, task = federation.nodes[LAB], digest(federation, name)
    [person, *_] = kept_people(lab, task, 1)
    lapsed = ConsentStatement(
        person=PersonNumber(person),
        purpose=Purpose.TRAIN_MOTION_MODELS,
        state=ConsentState.RENEWED,
        at=lab.clock(),
        valid_until=lab.clock() + timedelta(seconds=0.01),
        adult=True,
        notice_version="2",
        evidence="form",
    )
    consent.record(lab.store, lapsed)
    time.sleep(0.02)  # nothing is left to withdraw, which would delete the variate too
    assert lab.store.variate(task, 1) is not None
    forget(lab.store, BitMap([person]), lab.clock())
    assert lab.store.variate(task, 1) is None


def test_a_consent_that_has_lapsed_takes_the_variate_with_it(federation: Federation, launch: Launch) -> None:
    """Nobody says anything when a consent ends by its date, so the variate is looked at when it is used."""
    lab = federation.nodes[LAB]
    [person, *_] = lab.rows.people("running_pace", False)
    until = lab.clock() + timedelta(hours=1)
    renewed = ConsentStatement(
        person=PersonNumber(person),
        purpose=Purpose.TRAIN_MOTION_MODELS,
        state=ConsentState.RENEWED,
        at=lab.clock(),
        valid_until=until,
        adult=True,
        notice_version="2",
        evidence="form",
    )
    consent.record(lab.store, renewed)
    name = after_rounds(federation, launch, 1)
    later = until + timedelta(seconds=1)
    late = replace(federation.coordinator, clock=lambda: later)
    nodes = {party: replace(node, clock=lambda: later) for party, node in federation.nodes.items()}
    with pytest.raises(Paused):
        run_task(late, PausesBefore(Loopback(nodes), 1), name)
    assert model(federation, name).memory.control is None
    assert person not in kept_people(lab, digest(federation, name), 2)


def test_nothing_is_kept_after_the_last_round_or_by_a_node_that_leaves(federation: Federation, launch: Launch) -> None:
    name = after_rounds(federation, launch, 1)
    task = digest(federation, name)
    coach = federation.nodes[COACH].store
    coach.leave_task(task, AT)
    assert coach.variate(task, 1) is None
    run_task(federation.coordinator, federation.link, name)
    for node in federation.nodes.values():
        assert [node.store.variate(task, round_number) for round_number in range(1, 5)] == [None] * 4


def test_a_party_without_a_variate_starts_at_zero(federation: Federation, launch: Launch) -> None:
    federation.link.faults[COACH] = lost
    name = after_rounds(federation, launch, 2)
    del federation.link.faults[COACH]
    assert federation.nodes[COACH].store.variate(digest(federation, name), 2) is not None
    with pytest.raises(Paused):
        run_task(federation.coordinator, PausesBefore(federation.link, 1), name)
    control = model(federation, name).memory.control
    assert control is not None
    assert control.counted == {LAB: 3, ARCHIVE: 3, COACH: 3, ALGO: 3}
    assert control.vector == pytest.approx(mean_of_variates(federation, name), abs=1e-6)


def test_a_question_whose_variate_has_another_size_is_refused(federation: Federation, launch: Launch) -> None:
    coordinator = federation.coordinator
    run = run_of(coordinator.store.task(launch(**TASK)).manifest())
    posed = pose(coordinator, run, "train", Model(0, run.workload.initial(0)), 1)
    assert isinstance(posed.question, TrainRequest)
    assert posed.question.variates == {}
    size = 2 * len(flatten(run.workload.initial(0), ["head.weight"]))
    answers = {}
    for count in (size // 2, size - 1, size + 1, size):
        blob = wire.pack(posed.question, bytes(4 * count), coordinator.identity)
        [reply] = federation.link.ask({LAB: blob}, 1.0)
        assert reply.blob is not None
        answers[count], _ = wire.read_answer(reply.blob, federation.nodes[LAB].identity.public_key, 1 << 20)
    assert isinstance(answers.pop(size), UpdateAnswer)
    assert [isinstance(item, RefusalAnswer) and item.code for item in answers.values()] == ["bad-message"] * 3


@pytest.fixture
def store(tmp_path) -> Iterator[NodeStore]:
    with open_store(tmp_path, lambda: AT) as opened:
        yield opened


def variate(round_number: int = 1, expires_at: datetime = AT + timedelta(days=1)) -> Variate:
    vector = np.array([1.0, -2.0, 1 / 3])
    return Variate(TaskDigest("a" * 64), round_number, vector, BitMap([4, 7]), Purpose.TRAIN_MOTION_MODELS, expires_at)


def test_a_variate_survives_a_restart_bit_by_bit(tmp_path) -> None:
    with open_store(tmp_path, lambda: AT) as store:
        store.keep_variate(variate())
    with open_store(tmp_path, lambda: AT) as store:
        found = store.variate(TaskDigest("a" * 64), 1)
    assert found is not None
    assert found.vector.tobytes() == variate().vector.tobytes()
    assert (found.people, found.purpose, found.expires_at) == (BitMap([4, 7]), variate().purpose, variate().expires_at)


def test_variates_of_a_task_that_has_expired_go_when_the_store_is_opened(tmp_path) -> None:
    with open_store(tmp_path, lambda: AT) as store:
        store.keep_variate(variate())
        store.keep_variate(replace(variate(), task=TaskDigest("b" * 64), expires_at=AT + timedelta(days=9)))
    with open_store(tmp_path, lambda: AT + timedelta(days=2)) as store:
        assert store.variate(TaskDigest("a" * 64), 1) is None
        assert store.variate(TaskDigest("b" * 64), 1) is not None


def test_what_is_deleted_is_overwritten_in_the_file(store: NodeStore, tmp_path) -> None:
    needle = np.full(500, np.pi)
    store.keep_variate(replace(variate(), vector=needle))
    store.forget_variates(TaskDigest("a" * 64))
    store.close()
    assert needle[:50].tobytes() not in (tmp_path / "node.sqlite").read_bytes()


def test_a_file_of_the_first_version_gains_the_table_and_keeps_the_rest(tmp_path) -> None:
    with open_store(tmp_path, lambda: AT) as store:
        store.audit("kept", {"n": 1})
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    raw.executescript("DROP TABLE control_variate; PRAGMA user_version = 1")
    raw.close()
    with open_store(tmp_path, lambda: AT) as store:
        assert [entry.kind for entry in store.audit_entries()] == ["kept"]
        store.keep_variate(variate())
        assert store.variate(TaskDigest("a" * 64), 1) is not None
    with (
        open_store(tmp_path, lambda: AT) as again,
        pytest.raises(StoreError, match="append-only"),
        again.transaction() as tx,
    ):
        tx.connection().exec_driver_sql("DELETE FROM audit_entry")
