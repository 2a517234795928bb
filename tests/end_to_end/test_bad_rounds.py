"""Rounds that go wrong, as the operator and the parties read of them: nothing is lost, nothing is spent twice."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clients.data.rows import ImportedRows
from clients.node import Node
from clients.policy import Policy
from clients.rounds import answer
from clients.store import open_store
from federation import wire
from federation.consent import Purpose
from federation.errors import Refusal, RoundFailed
from federation.ids import PartyId
from federation.link import Reply
from federation.messages import RefusalAnswer, UpdateAnswer
from server.coordinator import Model, run_of
from server.questions import pose
from server.rounds import run_task
from simulations.loopback import Fault, lost, repeated
from simulations.parties import Federation, write_policy

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
Launch = Callable[..., str]
Change = Callable[[UpdateAnswer, bytes], tuple[UpdateAnswer, bytes]]
ONE_ROUND = {
    "unit": "person",
    "sampling_rate": 1.0,
    "noise_multiplier": 2.0,
    "clip": 0.5,
    "rows_per_person": 4,
    "max_attempts": 2,
    "delta": 1e-3,
}


def charged(federation: Federation, party: PartyId) -> str:
    """Everything in the party's ledger."""
    with closing(sqlite3.connect(federation.nodes[party].folder.database)) as opened:
        return str(opened.execute("SELECT * FROM reservation").fetchall())


@pytest.fixture
def last(paceline: Callable[..., Any], tmp_path: Path) -> Callable[[str, PartyId], str]:
    """What `paceline task status` tells the operator of a party's last answer."""

    def look(name: str, party: PartyId) -> str:
        done = paceline("task", "status", name, "--dir", tmp_path / "coordinator", "--json")
        assert done.code == 0
        return next(str(line["last"]) for line in done.json["parties"] if line["party"] == party)

    return look


@pytest.fixture
def failed(federation: Federation, refused: Callable[..., str], tmp_path: Path) -> Callable[..., None]:
    """A task fails in its first round: `paceline task watch` exits with 1 and says why; the weights did not move."""

    def run(name: str, *says: str) -> None:
        with pytest.raises(RoundFailed):
            run_task(federation.coordinator, federation.link, name)
        folder = tmp_path / "coordinator"
        refused("task", "watch", name, "--dir", folder, says=(f"{name} is failed", *says), folders=(folder,))
        store = federation.coordinator.store
        assert [row.round for row in store.rounds(store.task(name).digest)] == [0]

    return run


def forged(federation: Federation, change: Change) -> Fault:
    """The lab's own answer, changed by its owner and signed again."""
    node = federation.nodes[LAB]

    def fault(party: PartyId, blob: bytes) -> list[Reply]:
        header, payload = wire.read_answer(blob, node.identity.public_key, 1 << 20)
        if not isinstance(header, UpdateAnswer):
            return [Reply(party, blob)]
        return [Reply(party, wire.pack(*change(header, bytes(payload)), node.identity))]

    return fault


NONSENSE: dict[str, tuple[Change, str]] = {
    "NaN": (
        lambda header, payload: (header, np.full(len(payload) // 4, np.nan, "<f4").tobytes()),
        "holds NaN or ∞; the sender is broken or hostile, leave its message out",
    ),
    "a wrong shape": (
        lambda header, payload: (header, payload[:-4]),
        "92 bytes for a vector of 24 values; expected exactly 96",
    ),
    "too many bytes": (
        lambda header, payload: (header, payload * 3),
        "a payload of 288 bytes; the task allows at most 96",
    ),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_a_party_that_answers_nonsense_is_named_and_not_counted(
    federation: Federation, launch: Launch, last: Callable[[str, PartyId], str], case: str
) -> None:
    change, says = NONSENSE[case]
    name = launch(rounds=1, privacy=ONE_ROUND)
    federation.link.faults[LAB] = forged(federation, change)
    run_task(federation.coordinator, federation.link, name)
    assert says in last(name, LAB)
    assert last(name, ARCHIVE) == "answered"
    store = federation.coordinator.store
    assert LAB not in store.rounds(store.task(name).digest)[1].parties


def test_an_answer_that_comes_twice_counts_once_and_one_that_is_late_does_not(
    federation: Federation, launch: Launch, last: Callable[[str, PartyId], str]
) -> None:
    name = launch(rounds=1, privacy=ONE_ROUND)
    federation.link.faults |= {LAB: repeated, ARCHIVE: lost}
    run_task(federation.coordinator, federation.link, name)
    assert last(name, LAB) == "answered"
    assert "no answer before the deadline" in last(name, ARCHIVE)
    store = federation.coordinator.store
    row = store.rounds(store.task(name).digest)[1]
    assert sorted(row.parties) == [ALGO, COACH, LAB]
    assert row.shrink == pytest.approx(9 / 15)


def test_fewer_parties_than_the_contract_needs_do_not_move_the_weights(
    federation: Federation, launch: Launch, failed: Callable[..., None]
) -> None:
    federation.link.faults |= {LAB: lost, ARCHIVE: lost}
    terms = ONE_ROUND | {"max_attempts": 1}
    failed(launch(rounds=1, privacy=terms, exchange={"min_parties": 3}), "3", "motion-lab", "no answer before")


def test_a_purpose_that_nobody_consented_to_trains_nobody_and_costs_nothing(
    federation: Federation, launch: Launch, failed: Callable[..., None], last: Callable[[str, PartyId], str]
) -> None:
    for node in federation.nodes.values():
        purposes = [*node.policy().purposes, Purpose.INJURY_RESEARCH]
        write_policy(node.folder, Policy.model_validate(node.policy().model_dump() | {"purposes": purposes}))
    before = [charged(federation, party) for party in federation.nodes]
    name = launch(rounds=1, purpose="injury-research", privacy=ONE_ROUND, exchange={"min_parties": 2})
    failed(name, "no-consent")
    assert last(name, LAB) == last(name, ARCHIVE) == "no-consent"
    assert [charged(federation, party) for party in federation.nodes] == before


def test_a_budget_that_is_used_up_is_told_and_not_passed(
    federation: Federation, launch: Launch, last: Callable[[str, PartyId], str], paceline: Callable[..., Any]
) -> None:
    run_task(federation.coordinator, federation.link, launch(name="first", rounds=1, privacy=ONE_ROUND))
    lab = federation.nodes[LAB]
    tight = {"max_epsilon": 2.4, "max_epsilon_per_task": 2.4}
    write_policy(lab.folder, Policy.model_validate(lab.policy().model_dump() | tight))
    run_task(federation.coordinator, federation.link, launch(name="second", rounds=1, privacy=ONE_ROUND))
    before = charged(federation, LAB)
    run_task(federation.coordinator, federation.link, launch(name="third", rounds=1, privacy=ONE_ROUND))
    assert (last("second", LAB), last("third", LAB)) == ("answered", "budget-exhausted")
    assert charged(federation, LAB) == before
    shown = paceline("budget", "show", "--dir", lab.folder.path, "--json").json
    assert 1.5 < max(group["epsilon"] for group in shown["groups"]) <= 2.4


@pytest.fixture
def lab(federation: Federation) -> Iterator[Node]:
    """The lab, with a store that waits a fifth of a second only."""
    node = federation.nodes[LAB]
    node.store.close()
    with open_store(node.folder, busy_timeout_s=0.2) as store:
        nodes = dict(federation.nodes) | {LAB: replace(node, store=store, rows=ImportedRows(node.folder, store))}
        object.__setattr__(federation, "nodes", nodes)
        federation.link.nodes = nodes
        yield nodes[LAB]


def test_a_locked_database_means_no_training(
    federation: Federation,
    launch: Launch,
    last: Callable[[str, PartyId], str],
    lab: Node,
    held: Callable[[Path], dict[str, str]],
) -> None:
    name = launch(rounds=1, privacy=ONE_ROUND)
    before = held(lab.folder.path)
    with closing(sqlite3.connect(lab.folder.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        run_task(federation.coordinator, federation.link, name)
        other.execute("ROLLBACK")
    assert last(name, LAB) == "store"
    assert held(lab.folder.path) == before


def test_a_full_disk_means_no_training(
    federation: Federation,
    launch: Launch,
    held: Callable[[Path], dict[str, str]],
    full_disk: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coordinator, lab = federation.coordinator, federation.nodes[LAB]
    run = run_of(coordinator.store.task(launch(rounds=1, privacy=ONE_ROUND)).manifest())
    question = pose(coordinator, run, "train", Model(0, run.workload.initial(0)), 1).blob
    monkeypatch.setattr("clients.training.person_updates", lambda *_: pytest.fail("trained without a reservation"))
    before = held(lab.folder.path)
    with full_disk(0):
        blob = answer(lab, question)
    header, _ = wire.read_answer(blob, lab.identity.public_key, 1 << 20)
    assert isinstance(header, RefusalAnswer)
    assert header.code is Refusal.STORE
    assert held(lab.folder.path) == before
