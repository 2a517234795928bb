"""A node follows the view it keeps, and nothing else: whatever does not lead to the named model changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest

from clients import budget
from clients.node import Node
from clients.rounds import answer
from clients.store import open_store, views
from clients.store.tables import ViewRow
from federation import codecs, wire
from federation.errors import Refusal, WireError
from federation.ids import PartyId
from federation.messages import (
    MOST_DIFFERENCES,
    EvaluateRequest,
    ModelRequest,
    RefusalAnswer,
    ScoresAnswer,
    UpdateAnswer,
)
from federation.shared_view import View, difference, join, moved
from federation.signing import Identity
from federation.terms import ExchangeTerms
from server.coordinator import Model, run_of
from server.questions import pose
from simulations.parties import Federation

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
TERMS = ExchangeTerms(min_parties=2, down="ecq", down_bits=4.0)
SHARED = {"min_parties": 2, "down": "ecq", "down_bits": 4.0}
SIZE = 24


@pytest.fixture(scope="module")
def federation(lasting_federation: Federation) -> Federation:
    return lasting_federation


def model(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, SIZE).astype(np.float32)


@dataclass
class Asker:
    """Whoever has the coordinator's key; asks one node whatever it likes."""

    node: Node
    question: ModelRequest
    key: Identity
    charged_before: int
    attempts: "count[int]" = field(default_factory=count)

    def ask(self, view: View, carries: str = "nothing", payload: bytes = b"", **changes: object) -> object:
        """The answer to a question about `view` under a new number; `changes` are of its header."""
        number = next(self.attempts)
        words = {"model": view.digest, "carries": carries, "attempt": number, "nonce": f"{number:032x}", **changes}
        question = self.question.model_copy(update=words)
        blob = answer(self.node, wire.pack(question, payload, self.key))
        header, _ = wire.read_answer(blob, self.node.identity.public_key, 1 << 20)
        return header.code if isinstance(header, RefusalAnswer) else header

    def whole(self, view: View, **changes: object) -> object:
        return self.ask(view, "model", codecs.find("raw32").encode(view.vector, 0), **changes)

    def steps(self, view: View, *steps: tuple[View, bytes], **changes: object) -> object:
        bases = tuple(base.digest for base, _ in steps)
        words = {"bases": bases, "payload": join([coded for _, coded in steps]), **changes}
        return self.ask(view, "differences", **words)  # type: ignore[arg-type]

    @property
    def kept(self) -> str:
        """Which view the node keeps."""
        with self.node.store.reading() as tx:
            view = views.find(tx, self.question.task, SIZE)
        return view.digest if view else "none"

    @property
    def charges(self) -> int:
        return charges(self.node) - self.charged_before


def charges(node: Node) -> int:
    return max((group.charges for group in budget.table(node.store)), default=0)


Prepare = Callable[..., Asker]


@pytest.fixture
def prepare(federation: Federation, launch: Callable[..., str]) -> Prepare:
    def prepared(party: PartyId = LAB, **changes: object) -> Asker:
        coordinator, node = federation.coordinator, federation.nodes[party]
        words = {"name": f"task-{len(coordinator.store.tasks())}", "exchange": SHARED}
        name = launch(**(words | changes))
        run = run_of(coordinator.store.task(name).manifest())
        question = pose(coordinator, run, "train", Model(0, run.workload.initial(0)), 1).question
        assert isinstance(question, ModelRequest)
        return Asker(node, question, coordinator.identity, charges(node))

    return prepared


def path(length: int) -> list[tuple[View, bytes]]:
    """Views of consecutive rounds, each with the difference to the next."""
    view, steps = View(model(0)), []
    for seed in range(1, length + 1):
        coded = difference(view, model(seed), TERMS)
        steps.append((view, coded))
        view = moved(view, coded, TERMS)
    return [*steps, (view, b"")]


def test_a_node_follows_differences_from_the_view_that_it_keeps(prepare: Prepare) -> None:
    asker, (first, second, third, last) = prepare(), path(3)
    assert isinstance(asker.whole(first[0]), UpdateAnswer)
    assert isinstance(asker.steps(second[0], first), UpdateAnswer)
    assert isinstance(asker.ask(second[0]), UpdateAnswer)
    assert isinstance(asker.steps(last[0], second, third), UpdateAnswer)
    assert asker.kept == last[0].digest
    assert asker.charges == 4


def test_who_needs_fewer_differences_than_came_skips_the_first(prepare: Prepare) -> None:
    asker, (first, second, third, last) = prepare(), path(3)
    asker.whole(third[0])
    assert isinstance(asker.steps(last[0], first, second, third), UpdateAnswer)
    assert asker.kept == last[0].digest


def test_a_node_that_followed_and_died_before_it_answered_goes_on(prepare: Prepare) -> None:
    asker, (first, last) = prepare(), path(1)
    with asker.node.store.transaction() as tx:
        views.keep(tx, asker.question.task, last[0], asker.node.clock() + timedelta(days=1))
    assert isinstance(asker.steps(last[0], first), UpdateAnswer)
    assert asker.kept == last[0].digest


def test_who_cannot_follow_says_so_and_spends_nothing(prepare: Prepare) -> None:
    asker, (first, last) = prepare(), path(1)
    assert asker.ask(last[0]) is Refusal.STALE_VIEW
    assert asker.steps(last[0], first) is Refusal.STALE_VIEW
    assert (asker.kept, asker.charges) == ("none", 0)
    assert "sends the whole model" in asker.node.store.audit_entries()[-1].body


def test_a_difference_that_is_played_again_changes_nothing(prepare: Prepare) -> None:
    asker, (first, second, last) = prepare(), path(2)
    asker.whole(first[0])
    asker.steps(second[0], first)
    twice = moved(second[0], first[1], TERMS)
    assert asker.steps(twice, first) is Refusal.STALE_VIEW
    assert asker.steps(twice, (second[0], first[1])) is not Refusal.STALE_VIEW  # signed anew for this view: a question
    assert asker.kept == twice.digest
    assert asker.steps(last[0], second) is Refusal.STALE_VIEW


def damaged(payload: bytes) -> dict[str, bytes]:
    return {
        "truncated": payload[:-1],
        "beheaded": payload[1:],
        "extended": payload + b"\0",
        "doubled": payload + payload,
        "emptied": b"",
        "a difference of nothing": join([b""]),
    }


def test_a_damaged_difference_under_a_true_signature_changes_nothing(prepare: Prepare) -> None:
    asker, (first, last) = prepare(), path(1)
    asker.whole(first[0])
    for how, payload in damaged(join([first[1]])).items():
        told = asker.ask(last[0], "differences", payload, bases=(first[0].digest,), attempt=1)
        assert (told, asker.kept, asker.charges) == (Refusal.BAD_MESSAGE, first[0].digest, 1), how
    assert isinstance(asker.steps(last[0], first, attempt=1), UpdateAnswer)


def test_parties_that_are_sent_different_models_under_one_name_refuse(prepare: Prepare) -> None:
    """Everybody is told the same digest (secure rounds sign it), so whoever gets another model finds out."""
    asker, (first, last) = prepare(), path(1)
    other = View(model(99))
    raw = codecs.find("raw32").encode(other.vector, 0)
    assert asker.ask(first[0], "model", raw) is Refusal.BAD_MESSAGE
    asker.whole(first[0])
    assert asker.steps(last[0], (first[0], difference(first[0], other.vector, TERMS))) is Refusal.BAD_MESSAGE
    assert (asker.kept, asker.charges) == (first[0].digest, 1)
    assert "not the one whose digest was signed" in asker.node.store.audit_entries()[-1].body


def test_a_whole_view_of_another_size_is_refused(prepare: Prepare) -> None:
    asker, view = prepare(), View(model(0))
    for size in (4 * SIZE + more for more in (-4, -1, 1, 4, 1000)):
        payload = (codecs.find("raw32").encode(view.vector, 0) + bytes(1000))[:size]
        assert asker.ask(view, "model", payload, attempt=0) is Refusal.BAD_MESSAGE
    assert (asker.kept, asker.charges) == ("none", 0)


CONTRADICTIONS: list[dict[str, Any]] = [
    {"carries": "model", "bases": ("a" * 64,)},
    {"carries": "nothing", "bases": ("a" * 64,)},
    {"carries": "differences", "bases": ()},
    {"carries": "differences", "bases": ("a" * 64,) * (MOST_DIFFERENCES + 1)},
    {"carries": "differences", "bases": ("A" * 64,)},
    {"carries": "half"},
]


def test_a_header_that_contradicts_itself_is_no_message(prepare: Prepare) -> None:
    asker = prepare()
    for words in CONTRADICTIONS:
        blob = wire.pack(asker.question.model_copy(update=words), b"", asker.key)
        with pytest.raises(WireError, match="this is not a valid message"):
            wire.read_request(blob, asker.key.public_key, 1 << 20)
        assert asker.ask(View(model(0)), **words) is Refusal.BAD_MESSAGE
    assert asker.charges == 0


def test_a_task_without_a_view_takes_whole_models_only(prepare: Prepare) -> None:
    asker, (first, last) = prepare(exchange={"min_parties": 2}), path(1)
    assert asker.ask(first[0]) is Refusal.BAD_MESSAGE
    assert "nothing came" in asker.node.store.audit_entries()[-1].body
    assert asker.steps(last[0], first) is Refusal.BAD_MESSAGE
    assert "differences came" in asker.node.store.audit_entries()[-1].body
    assert isinstance(asker.whole(first[0]), UpdateAnswer)
    assert (asker.kept, asker.charges) == ("none", 1)


def test_a_view_of_another_size_or_damaged_on_disk_is_none(prepare: Prepare) -> None:
    asker, (first, last) = prepare(), path(1)
    asker.whole(first[0])
    with asker.node.store.transaction() as tx:
        row = tx.get_one(ViewRow, asker.question.task)
        row.vector = b"\1" + row.vector[1:]
        tx.add(row)
    assert asker.steps(last[0], first) is Refusal.STALE_VIEW
    with asker.node.store.transaction() as tx:
        row.vector = row.vector[:-2]
        tx.merge(row)
    assert asker.steps(last[0], first) is Refusal.STALE_VIEW
    assert isinstance(asker.whole(last[0]), UpdateAnswer)


def test_a_view_goes_when_its_task_is_left(prepare: Prepare) -> None:
    asker = prepare()
    asker.whole(View(model(0)))
    asker.node.store.leave_task(asker.question.task, asker.node.clock())  # type: ignore[arg-type]
    assert asker.kept == "none"


def test_a_view_goes_when_its_task_has_ended(prepare: Prepare) -> None:
    asker, view = prepare(), View(model(0))
    asker.whole(view)
    later = asker.node.clock() + timedelta(days=4000)
    with open_store(asker.node.folder.path):
        assert asker.kept == view.digest
    with open_store(asker.node.folder.path, lambda: later):
        assert asker.kept == "none"


@pytest.mark.parametrize("party", [LAB, COACH])
def test_a_view_goes_with_the_last_question(prepare: Prepare, party: PartyId) -> None:
    """For a data provider that is the last round, for a trainer the scores of the last model."""
    asker, view = prepare(party), View(model(0))
    assert isinstance(asker.whole(view, round=3), UpdateAnswer)
    assert asker.kept == (view.digest if party == COACH else "none")
    if party == COACH:
        question = EvaluateRequest(**asker.question.model_dump(exclude={"kind", "phase", "variates", "roster"}))
        assert isinstance(replace(asker, question=question).ask(view, round=3), ScoresAnswer)
        assert asker.kept == "none"
