"""The ledger of bytes beside a count of its own on the link: late joiners, lost views, faults and kills included."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from sqlmodel import col, delete

from clients.node import Node
from clients.policy import Policy
from clients.store import views
from federation import wire
from federation.errors import RoundFailed
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.roles import Role
from federation.workloads import find
from server import cohort
from server.coordinator import open_coordinator
from server.rounds import run_task
from server.status import task_status
from server.store import TaskState
from server.store.tables import AcceptanceTable
from simulations.loopback import corrupted, repeated
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

WORKLOAD = "running_pace"
LAB, COACH, LATE, ALGO = (PartyId(name) for name in ("lab", "coach", "late", "algo"))
VIEW = {"min_parties": 2, "up": "raw32", "down": "ecq", "down_bits": 4.0}
MASKED = {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20, "clip": 5.0, "down": "raw32"}


class Killed(BaseException):
    """The coordinator's process ends here."""


Moment = tuple[str, int, str]
"""The kind of a question, its attempt, and whether it was just sent or just answered."""


@dataclass
class Meter:
    """A link that counts the bytes of both directions by round and kind, whatever becomes of those who sent them."""

    inner: Link
    key: bytes
    acts: dict[Moment, Callable[[], None]] = field(default_factory=dict)
    up: Counter[tuple[int, str]] = field(default_factory=Counter)
    down: Counter[tuple[int, str]] = field(default_factory=Counter)

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        question, _ = wire.read_request(next(iter(requests.values())), self.key, 1 << 24)
        about = question.round, question.kind
        self.down[about] += sum(map(len, requests.values()))
        self.acts.pop((question.kind, question.attempt, "sent"), lambda: None)()
        for reply in self.inner.ask(requests, deadline_s):
            self.up[about] += len(reply.blob or b"")
            yield reply
        self.acts.pop((question.kind, question.attempt, "answered"), lambda: None)()

    def by_round(self) -> list[tuple[int, int]]:
        rounds = sorted({number for number, _ in self.down})
        return [tuple(_sum(counts, number) for counts in (self.up, self.down)) for number in rounds]


def _sum(counts: Counter[tuple[int, str]], number: int) -> int:
    return sum(size for (of, kind), size in counts.items() if of == number and kind != "evaluate")


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory, waiving: Callable[..., Policy]) -> Federation:
    cast = [
        Cast(LAB, Role.DATA_PROVIDER, find(WORKLOAD).invent(0, 6, 2)),
        Cast(LATE, Role.DATA_PROVIDER, find(WORKLOAD).invent(1, 6, 2)),
        Cast(COACH, Role.TRAINER, find(WORKLOAD).invent(2, 6, 2), find(WORKLOAD).invent(3, 3, 2)),
        Cast(ALGO, Role.ALGORITHM_PROVIDER),
    ]
    return gather(
        tmp_path_factory.mktemp("bytes"),
        WORKLOAD,
        cast,
        waiving(*(f"counted-{number}" for number in range(9))),
        SeededSource(1),
    )


@dataclass
class Play:
    """A task of three rounds over a metered link."""

    federation: Federation
    name: str
    meter: Meter

    def run(self) -> None:
        """To the end, in new processes that know what is on disk as often as one is killed."""
        while self.store.task(self.name).state is TaskState.RUNNING:
            with suppress(Killed):
                run_task(open_coordinator(self.federation.coordinator.folder.path), self.meter, self.name)

    @property
    def store(self) -> Any:
        return self.federation.coordinator.store

    def check(self) -> None:
        """What is on record is what passed, round by round, party by party in sum, and in the status."""
        found, counted = task_status(self.store, self.name), self.meter.by_round()
        assert [(line["bytes_up"], line["bytes_down"]) for line in found["history"]] == counted
        assert (found["bytes_up"], found["bytes_down"]) == tuple(map(sum, zip(*counted, strict=True)))
        scores = (sum(size for (_, kind), size in way.items() if kind == "evaluate") for way in self._ways())
        assert found["score_bytes"] == sum(scores)
        rows = self.store.party_rounds(found["digest"])
        assert sum(row.bytes_up for row in rows) == self.meter.up.total()
        assert sum(row.bytes_down for row in rows) == self.meter.down.total()
        assert {(row.round, row.bytes_up, row.bytes_down) for row in self.store.rounds(found["digest"])} == {
            (number, *sizes) for number, sizes in enumerate(counted)
        }

    def _ways(self) -> tuple[Counter[tuple[int, str]], ...]:
        return self.meter.up, self.meter.down


@pytest.fixture
def play(gathered: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Play:
    monkeypatch.setattr(cohort, "GRACE_S", 0.0)
    gathered.link.absent.clear()
    gathered.link.faults.clear()
    count = len(gathered.coordinator.store.tasks())
    task = {
        "name": f"counted-{count}",
        "title": "A test",
        "workload": WORKLOAD,
        "purpose": "train-motion-models",
        "rounds": 3,
        "privacy": {"unit": "none"},
        "training": {"learning_rate": 0.05, "batch_rows": 16, "public_weight": 1.0, "public_people": 4},
        "exchange": request.param,
        "evaluation": {"disclosure": "published"},
        "cohort": [{"party": party, "people": 0 if party == ALGO else 6} for party in (LAB, COACH, LATE, ALGO)],
    }
    file = tmp_path / "task.toml"
    file.write_text(tomli_w.dumps(task), "utf-8")
    name = agree(gathered, file)
    return Play(gathered, name, Meter(gathered.link, gathered.coordinator.identity.public_key))


def dies() -> None:
    raise Killed


def forgets(node: Node, task: str) -> None:
    with node.store.transaction() as tx:
        views.forget(tx, task)


@pytest.mark.parametrize("play", [VIEW], indirect=True)
def test_late_joiners_lost_views_and_repeated_answers_are_counted(play: Play) -> None:
    digest = play.store.task(play.name).digest
    yes = next(found for found in play.store.acceptances(digest) if found.party == LATE)
    with play.store.transaction() as session:
        of_task = col(AcceptanceTable.task) == digest, col(AcceptanceTable.party) == LATE
        session.exec(delete(AcceptanceTable).where(*of_task))
    faults = play.federation.link.faults

    def between() -> None:
        play.store.add_acceptance(yes)
        forgets(play.federation.nodes[LAB], digest)
        faults.update({COACH: repeated, ALGO: corrupted})

    play.meter.acts["evaluate", 0, "answered"] = between
    play.run()
    answered = {(row.round, row.party): row.outcome for row in play.store.party_rounds(digest) if row.kind == "train"}
    assert (1, LATE) not in answered
    assert {answered[2, party] for party in (LATE, LAB, COACH)} == {"answered"}
    assert answered[2, ALGO] == "invalid"
    play.check()


@pytest.mark.parametrize("play", [VIEW, MASKED], ids=["views", "masks"], indirect=True)
@pytest.mark.parametrize("moment", ["sent", "answered"])
def test_what_a_killed_coordinator_sent_and_heard_is_counted(play: Play, moment: str) -> None:
    for kind in ("initialise", "prepare", "train", "agree", "unmask", "evaluate"):
        play.meter.acts[kind, 0, moment] = dies
    play.run()
    assert play.store.task(play.name).state is TaskState.COMPLETED
    play.check()


@pytest.mark.parametrize("play", [VIEW], indirect=True)
def test_first_weights_that_were_no_good_are_counted(play: Play) -> None:
    play.federation.link.faults[ALGO] = corrupted
    with pytest.raises(RoundFailed, match="gave no first weights"):
        play.run()
    play.federation.link.faults.clear()
    play.store.set_task_state(play.name, TaskState.RUNNING)
    play.run()
    first, *_ = play.store.party_rounds(play.store.task(play.name).digest)
    assert (first.kind, first.outcome) == ("initialise", "invalid")
    assert first.bytes_up > 0
    play.check()
