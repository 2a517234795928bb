"""Secure rounds among faults: who drops out when, what comes out of the sum, and what a crash leaves behind."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from sqlmodel import col, delete

import clients.secure
import server.shares
from clients import budget
from clients.node import Node
from clients.policy import Policy
from federation import wire
from federation.acceptance import Acceptance
from federation.codecs import lane
from federation.consent import Purpose
from federation.errors import RoundFailed
from federation.ids import PartyId, TaskDigest
from federation.link import Link, Reply
from federation.roles import Role
from federation.schema import Rows
from federation.terms import PersonTerms
from federation.workload import flatten
from federation.workloads import find
from privacy.fixed_point import steps_per_clip
from server.coordinator import Coordinator, from_bytes, open_coordinator
from server.rounds import run_task
from server.store import PartyRound, TaskState
from server.store.tables import AcceptanceTable
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

WORKLOAD = "running_pace"
LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
BITS = 20
MASKED = {"min_parties": 2, "secure": True, "up": "lane", "up_bits": BITS}
NODE_NOISE = {
    "unit": "person",
    "sampling_rate": 1.0,
    "noise_multiplier": 30.0,
    "clip": 0.5,
    "rows_per_person": 4,
    "max_attempts": 5,
    "delta": 1e-3,
}
SHARED_NOISE = NODE_NOISE | {"noise_multiplier": 2.0, "noise": "shared", "levels": 64, "colluding": 1}
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=40.0,
    delta=1e-3,
    max_epsilon_per_task=20.0,
    min_parties=2,
    min_people=1,
    allow_unprotected=tuple(f"task-{number}" for number in range(100)),
    allow_published_scores=True,
)


def people(seed: int, count: int = 6) -> Rows:
    return find(WORKLOAD).invent(seed, count, 2)


@dataclass
class Town:
    """A federation that many tasks are tried on."""

    path: Path
    federation: Federation
    tasks: int = 0

    def launch(self, **changes: Any) -> str:
        """Agree on a task of two rounds whose updates are masked, without privacy terms unless `changes` name some."""
        self.tasks += 1
        task: dict[str, Any] = {
            "name": f"task-{self.tasks}",
            "title": "A test",
            "workload": WORKLOAD,
            "purpose": "train-motion-models",
            "rounds": 2,
            "round_deadline_s": 30.0,
            "privacy": {"unit": "none"},
            "training": {"learning_rate": 0.05, "batch_rows": 16, "public_weight": 1.0, "public_people": 4},
            "exchange": MASKED | {"clip": 5.0},
            "cohort": [
                {"party": party, "people": 0 if party == ALGO else 6} for party in sorted(self.federation.nodes)
            ],
        }
        file = self.path / "task.toml"
        file.write_text(tomli_w.dumps(task | changes), "utf-8")
        return agree(self.federation, file)

    def run(self, name: str, link: Link) -> None:
        run_task(self.federation.coordinator, link, name)

    def attempts(self, name: str) -> list[tuple[int, int, str]]:
        store = self.federation.coordinator.store
        rows = [row for row in store.attempts(store.task(name).digest) if row.kind == "train"]
        return [(row.number, row.round, row.state) for row in rows]

    def parties(self, name: str) -> list[tuple[PartyId, ...]]:
        """Whose updates each committed round is the sum of."""
        store = self.federation.coordinator.store
        return [tuple(row.parties) for row in store.rounds(store.task(name).digest)[1:]]

    def asked(self, name: str) -> list[PartyRound]:
        store = self.federation.coordinator.store
        return store.party_rounds(store.task(name).digest)


def town(path: Path, providers: Collection[PartyId]) -> Town:
    cast = [Cast(party, Role.DATA_PROVIDER, people(seed)) for seed, party in enumerate(providers)]
    cast += [Cast(COACH, Role.TRAINER, people(20, 6), people(21, 3)), Cast(ALGO, Role.ALGORITHM_PROVIDER)]
    return Town(path, gather(path, WORKLOAD, cast, POLICY, SeededSource(1)))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Four contributors: shares open with three."""
    return town(tmp_path_factory.mktemp("four"), (LAB, ARCHIVE))


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Seven contributors: shares open with five."""
    return town(tmp_path_factory.mktemp("seven"), [PartyId(f"p-{number}") for number in range(5)])


Gone = Mapping[tuple[str, int], Collection[PartyId]]
"""Parties by the kind of question and the training attempt that it is about."""
NOBODY: Gone = {}


@dataclass
class Weather:
    """A link on which parties are `away` from a question, or their answer is `lost`; `asked` lists all questions.

    `heard`: what happens once a question was answered.
    """

    town: Town
    away: Gone = field(default_factory=dict)
    lost: Gone = field(default_factory=dict)
    asked: list[tuple[str, int, tuple[PartyId, ...]]] = field(default_factory=list)
    heard: dict[tuple[str, int], Callable[[], object]] = field(default_factory=dict)
    sizes: dict[tuple[str, int, PartyId], tuple[int, int]] = field(default_factory=dict)

    def reachable(self) -> frozenset[PartyId]:
        return self.town.federation.link.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        question, about = self._question(requests), self.about(requests)
        self.asked.append((*about, tuple(sorted(requests))))
        for party, blob in requests.items():
            if party in self.away.get(about, ()):
                yield Reply(party, None, "unreachable")
                continue
            for reply in self.town.federation.link.ask({party: blob}, deadline_s):
                came = Reply(party, None, "no answer in time") if party in self.lost.get(about, ()) else reply
                self.sizes[question.kind, question.attempt, party] = (len(blob), len(came.blob or b""))
                yield came
        self.heard.pop(about, lambda: None)()

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.asked]

    def about(self, requests: Mapping[PartyId, bytes]) -> tuple[str, int]:
        """The kind of a question, and which training attempt it is about."""
        question = self._question(requests)
        return question.kind, getattr(question, "of_attempt", question.attempt)

    def _question(self, requests: Mapping[PartyId, bytes]) -> wire.AnyRequest:
        key = self.town.federation.coordinator.identity.public_key
        return wire.read_request(next(iter(requests.values())), key, 1 << 20)[0]


@dataclass
class Sums:
    """What each party put under its masks, what became of it, and what the coordinator bared, by the context of the
    round.
    """

    masked: dict[bytes, dict[int, lane.Lanes]] = field(default_factory=dict)
    sent: dict[bytes, dict[int, lane.Lanes]] = field(default_factory=dict)
    bared: dict[bytes, lane.Lanes] = field(default_factory=dict)
    survivors: dict[bytes, frozenset[int]] = field(default_factory=dict)

    def exact(self) -> bool:
        """Whether every bared vector is the sum of exactly what its survivors masked, and nothing else."""
        return bool(self.bared) and all(
            np.array_equal(
                lanes,
                sum(self.masked[context][point].astype(np.int64) for point in self.survivors[context]) % 2**BITS,
            )
            for context, lanes in self.bared.items()
        )


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Sums:
    found, mask, unmask = Sums(), clients.secure.mask, server.shares.unmask

    def masking(lanes: lane.Lanes, bits: int, own: Any, point: int, publics: Any, context: bytes) -> Any:
        of_round = found.masked.setdefault(context, {})
        assert point not in of_round, "masked twice under one context"
        of_round[point] = lanes.copy()
        share = mask(lanes, bits, own, point, publics, context)
        found.sent.setdefault(context, {})[point] = share.lanes.copy()
        return share

    def unmasking(total: lane.Lanes, bits: int, own: Any, dropped: Any, publics: Any, context: bytes) -> lane.Lanes:
        found.bared[context] = unmask(total, bits, own, dropped, publics, context).copy()
        found.survivors[context] = frozenset(own)
        return found.bared[context]

    monkeypatch.setattr(clients.secure, "mask", masking)
    monkeypatch.setattr(server.shares, "unmask", unmasking)
    return found


def model(town: Town, name: str, number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    store = town.federation.coordinator.store
    row = store.rounds(store.task(name).digest)[number]
    weights = from_bytes(number, store.model(row.model)).weights
    return flatten(weights, sorted(weights))


def reserved(node: Node) -> int:
    return max((group.charges for group in budget.table(node.store)), default=0)


@pytest.mark.parametrize(
    ("away", "lost", "summed"),
    [
        pytest.param(NOBODY, NOBODY, {LAB, ARCHIVE, COACH, ALGO}, id="nobody"),
        pytest.param({("prepare", 0): {LAB}}, NOBODY, {ARCHIVE, COACH, ALGO}, id="before it has a mask key"),
        pytest.param({("train", 0): {LAB}}, NOBODY, {ARCHIVE, COACH, ALGO}, id="before it trains"),
        pytest.param(NOBODY, {("train", 0): {ALGO}}, {LAB, ARCHIVE, COACH}, id="with its masked answer"),
        pytest.param({("unmask", 0): {COACH}}, NOBODY, {LAB, ARCHIVE, COACH, ALGO}, id="before it opens shares"),
        pytest.param(NOBODY, {("prepare", 0): {ALGO}}, {LAB, ARCHIVE, COACH}, id="with its mask key"),
        pytest.param(NOBODY, {("unmask", 0): {ALGO}}, {LAB, ARCHIVE, COACH, ALGO}, id="with its opened shares"),
    ],
)
def test_the_sum_is_exact_whenever_a_party_drops_out(
    four: Town, sums: Sums, away: Gone, lost: Gone, summed: set[PartyId]
) -> None:
    name = four.launch()
    four.run(name, Weather(four, away, lost))
    assert sums.exact()
    assert len(sums.bared) == 2
    assert [set(parties) for parties in four.parties(name)] == [summed, set(four.federation.nodes)]
    assert four.attempts(name) == [(0, 1, "committed"), (1, 2, "committed")]


P0, P1, P2, P3 = (PartyId(f"p-{number}") for number in range(4))


@pytest.mark.parametrize(
    ("away", "lost", "missed"),
    [
        pytest.param({("prepare", 0): {P0, P3}}, NOBODY, {P0, P3}, id="before mask keys"),
        pytest.param({("train", 0): {P0, P3}}, NOBODY, {P0, P3}, id="before training"),
        pytest.param({("unmask", 0): {P0, P3}}, NOBODY, set(), id="before opening"),
        pytest.param(
            NOBODY, {("train", 0): {P0}, ("agree", 0): {P1}, ("unmask", 0): {P2}}, {P0}, id="one at each step"
        ),
        pytest.param({("train", 0): {P0}, ("agree", 0): {P1}, ("unmask", 0): {P1}}, NOBODY, {P0}, id="for good"),
    ],
)
def test_as_many_may_drop_out_as_shares_can_spare(
    seven: Town, sums: Sums, away: Gone, lost: Gone, missed: set[PartyId]
) -> None:
    """Two of seven, at once or one after the other."""
    name = seven.launch(rounds=1)
    seven.run(name, Weather(seven, away, lost))
    assert sums.exact()
    assert seven.attempts(name) == [(0, 1, "committed")]
    [parties] = seven.parties(name)
    assert set(parties) == seven.federation.nodes.keys() - missed


@pytest.mark.parametrize(
    ("away", "reason"),
    [
        ({("train", 0): {LAB, ALGO}}, "a sum over 2 parties would be told; task {} allows no less than 3"),
        ({("train", 0): {LAB}, ("agree", 0): {COACH}}, "2 parties signed who is left; shares are opened for no less"),
        ({("unmask", 0): {LAB, COACH}}, "2 shares of the secrets of algo-works came, of which 3 must fit together"),
        ({("prepare", 0): {LAB, COACH}}, "unsafe"),
    ],
)
def test_one_dropout_too_many_fails_the_attempt_and_the_next_one_goes_on(
    four: Town, sums: Sums, away: Gone, reason: str
) -> None:
    name = four.launch(rounds=1)
    four.run(name, Weather(four, away))
    store = four.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(name).digest) if row.kind == "train")
    assert four.attempts(name) == [(0, 1, "failed"), (1, 1, "committed")]
    assert reason.format(name) in " ".join(failed.reasons.values())
    assert sums.exact()
    assert four.parties(name) == [tuple(sorted(four.federation.nodes))]


def test_too_few_for_any_attempt_fail_the_task_with_the_reason(four: Town, sums: Sums) -> None:
    name = four.launch(rounds=1)
    with pytest.raises(RoundFailed, match="a sum over 2 parties would be told"):
        four.run(name, Weather(four, {("train", number): {LAB, ALGO} for number in range(2)}))
    assert sums.bared == {}


def test_a_party_that_was_away_is_prepared_again_alone(four: Town, sums: Sums) -> None:
    name, everybody = four.launch(), tuple(sorted(four.federation.nodes))
    weather = Weather(four, {("prepare", 0): {LAB}, ("train", 0): {LAB}})
    four.run(name, weather)
    assert [line for line in weather.asked if line[0] == "prepare"] == [
        ("prepare", 0, everybody),
        ("prepare", 1, (LAB,)),
    ]
    assert sums.exact()
    assert four.parties(name)[1] == everybody


def test_a_party_that_accepts_late_holds_shares_of_everybody_from_then_on(four: Town, sums: Sums) -> None:
    """Else the round in which it is needed to open them would fail, however many rounds later."""
    name, store = four.launch(rounds=3), four.federation.coordinator.store
    digest = store.task(name).digest
    yes = taken_back(four, digest, COACH)
    weather = Weather(four, {("train", 2): {LAB}}, heard={("train", 0): lambda: store.add_acceptance(yes)})
    four.run(name, weather)
    assert four.attempts(name) == [(number, number + 1, "committed") for number in range(3)]
    assert four.parties(name) == [(ALGO, LAB, ARCHIVE), (ALGO, COACH, LAB, ARCHIVE), (ALGO, COACH, ARCHIVE)]
    assert sums.exact()


def test_who_cannot_deal_to_late_acceptors_misses_that_round_and_is_never_blamed_for_wrong_shares(
    seven: Town, sums: Sums
) -> None:
    """Its old shares open nothing: two of the seven hold none, and it drops out."""
    name, store = seven.launch(rounds=3), seven.federation.coordinator.store
    digest = store.task(name).digest
    late = [taken_back(seven, digest, party) for party in (P0, P1)]
    away = {("prepare", 1): {P3}, ("train", 1): {P3}}
    weather = Weather(seven, away, heard={("train", 0): lambda: [store.add_acceptance(yes) for yes in late]})
    seven.run(name, weather)
    everybody = seven.federation.nodes.keys()
    assert seven.attempts(name) == [(number, number + 1, "committed") for number in range(3)]
    assert [set(parties) for parties in seven.parties(name)] == [everybody - {P0, P1}, everybody - {P3}, everybody]
    assert sums.exact()


def taken_back(town: Town, digest: TaskDigest, party: PartyId) -> Acceptance:
    """The acceptance of a party that has not accepted yet after all."""
    store = town.federation.coordinator.store
    yes = next(found for found in store.acceptances(digest) if found.party == party)
    with store.transaction() as session:
        session.exec(
            delete(AcceptanceTable).where(col(AcceptanceTable.task) == digest, col(AcceptanceTable.party) == party)
        )
    return yes


def test_a_round_takes_two_trips_and_three_where_somebody_drops_out(four: Town) -> None:
    name, weather = four.launch(rounds=3), Weather(four, lost={("train", 1): {COACH}})
    four.run(name, weather)
    assert weather.kinds() == [
        *("initialise", "prepare", "train", "unmask"),
        *("train", "agree", "unmask"),
        *("prepare", "train", "unmask"),
    ]


def test_all_bytes_are_on_record(four: Town) -> None:
    name, weather = four.launch(), Weather(four, lost={("train", 0): {LAB}})
    four.run(name, weather)
    rows = four.asked(name)
    assert {(row.kind, row.attempt) for row in rows} == {
        *(("initialise", 0), ("prepare", 0), ("train", 0), ("agree", 0), ("unmask", 0)),
        *(("prepare", 1), ("train", 1), ("unmask", 1)),
    }
    assert {(row.kind, row.attempt, row.party): (row.bytes_down, row.bytes_up) for row in rows} == weather.sizes
    assert {row.outcome for row in rows if (row.kind, row.party) != ("train", LAB)} == {"answered"}


@pytest.mark.parametrize("gone", [set(), {COACH}], ids=["nobody gone", "one gone"])
def test_shared_noise_moves_the_model_by_the_sum_and_little_else(
    four: Town, sums: Sums, monkeypatch: pytest.MonkeyPatch, gone: set[PartyId]
) -> None:
    """Three of four, of whom one may tell its share, still have the noise that was agreed upon; all four have more."""
    bounded, sharers, share = [], [], clients.secure.add_share

    def shared(total: Any, noise_multiplier: float, honest: int, source: Any) -> Any:
        bounded.append(total.vector)
        sharers.append(honest)
        return share(total, noise_multiplier, honest, source)

    monkeypatch.setattr(clients.secure, "add_share", shared)
    name = four.launch(rounds=1, privacy=SHARED_NOISE, exchange=MASKED)
    four.run(name, Weather(four, lost={("train", 0): gone}))
    assert sums.exact()
    manifest = four.federation.coordinator.store.task(name).manifest()
    terms = manifest.privacy
    assert isinstance(terms, PersonTerms)
    [(context, bared)], levels = sums.bared.items(), terms.levels
    assert sharers == [3 - terms.colluding] * 4
    assert all(np.linalg.norm(vector) <= 6 * levels for vector in bounded)
    by_point = zip(sums.masked[context], bounded, strict=True)
    plain = np.sum([vector for point, vector in by_point if point in sums.survivors[context]], axis=0)
    noise = lane.unwrap(bared, BITS) - plain
    deviation = terms.noise_multiplier * levels * np.sqrt(len(sums.survivors[context]) / sharers[0])
    assert 0.5 * deviation < noise.std() < 1.5 * deviation
    assert np.abs(noise).max() < 6 * deviation
    moved = model(four, name, 1) - model(four, name, 0)
    [nonce] = _nonces(four, name)
    clear = lane.gather(plain * (terms.clip / steps_per_clip(levels, len(plain))), len(moved), int(nonce[:16], 16))
    error = moved * manifest.divisor() - clear
    assert 0 < np.abs(error).max() < 6 * deviation * terms.clip / levels


def test_public_rows_that_stand_for_many_people_take_no_memory_for_each(
    four: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are bounded as so many people, one after the other."""
    seen, bound = [], clients.secure.bound_integers

    def bounded(updates: torch.Tensor, *terms: Any) -> Any:
        seen.append((len(updates), updates.untyped_storage().nbytes() // updates[0].nbytes))
        return bound(updates, *terms)

    monkeypatch.setattr(clients.secure, "bound_integers", bounded)
    training = {"learning_rate": 0.05, "public_weight": 2000.0, "public_people": 4}
    name = four.launch(rounds=1, privacy=SHARED_NOISE, exchange=MASKED, training=training)
    four.run(name, Weather(four))
    assert (2000, 1) in seen


def _nonces(town: Town, name: str, attempts: int = 1) -> list[str]:
    """Of the training questions, as the first party was asked them."""
    node, store = town.federation.nodes[LAB], town.federation.coordinator.store
    blobs = [node.store.stored_answer(store.task(name).digest, number, "train") for number in range(attempts)]
    return [wire.read_answer(blob, node.identity.public_key, 1 << 20)[0].nonce for blob in blobs if blob is not None]


def test_two_tasks_of_the_same_parties_do_not_mix_their_masks(four: Town, sums: Sums) -> None:
    name, other, third = four.launch(), four.launch(), four.launch()
    between = {
        ("train", 0): lambda: four.run(other, Weather(four)),
        ("unmask", 0): lambda: four.run(third, Weather(four)),
    }
    four.run(name, Weather(four, heard=between))
    assert sums.exact()
    assert len(sums.bared) == 6
    for task in (name, other, third):
        assert four.attempts(task) == [(0, 1, "committed"), (1, 2, "committed")]


class Always:
    """A source of randomness that is none."""

    def read(self, size_bytes: int) -> bytes:
        return b"\x07" * size_bytes


def test_two_rounds_under_one_seed_have_no_mask_in_common(four: Town, sums: Sums) -> None:
    """A coordinator that takes the same nonce again learns no difference of two updates of one party."""
    name = four.launch()
    run_task(replace(four.federation.coordinator, source=Always()), Weather(four), name)
    assert sums.exact()
    first, second = sums.masked
    assert len(set(_nonces(four, name, 2))) == 1
    for point in range(1, 5):
        masks = [sums.sent[context][point] - sums.masked[context][point] for context in (first, second)]
        assert np.mean((masks[0] - masks[1]) % 2**BITS == 0) < 0.1


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Dies:
    """A link whose process is killed at each question that is new to it: as it is asked, or when all have answered.

    `spared`: questions at which it is not.
    """

    inner: Weather
    answered: bool
    spared: set[tuple[str, int]] = field(default_factory=set)
    kills: list[str] = field(default_factory=list)

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        about = self.inner.about(requests)
        fatal = about not in self.spared
        self.spared.add(about)
        replies = [] if fatal and not self.answered else list(self.inner.ask(requests, deadline_s))
        if fatal:
            self.kills.append(about[0])
            raise Killed
        yield from replies

    def run(self, name: str) -> None:
        """Start the coordinator again and again, until the task is done."""
        while self.inner.town.federation.coordinator.store.task(name).state is TaskState.RUNNING:
            with suppress(Killed):
                self.inner.town.run(name, self)


@pytest.mark.parametrize("answered", [False, True], ids=["as it asks", "as all have answered"])
def test_a_coordinator_that_is_killed_at_every_question_goes_on_and_nobody_trains_twice(
    four: Town, sums: Sums, answered: bool
) -> None:
    before = {party: reserved(node) for party, node in four.federation.nodes.items()}
    name = four.launch(privacy=NODE_NOISE | {"max_attempts": 2})
    dies = Dies(Weather(four, lost={("train", 0): {LAB}}), answered)
    dies.run(name)
    assert dies.kills == ["initialise", "prepare", "train", "agree", "unmask", "prepare", "train", "unmask"]
    assert four.attempts(name) == [(0, 1, "committed"), (1, 2, "committed")]
    charged = {party: reserved(node) - before[party] for party, node in four.federation.nodes.items()}
    assert charged == {LAB: 2, ARCHIVE: 2, COACH: 2, ALGO: 0}
    assert four.federation.coordinator.store.task(name).state is TaskState.COMPLETED
    assert sums.exact()
    assert [len(of_round) for of_round in sums.masked.values()] == [4, 4]


STEPS = ("initialise", "prepare", "train", "agree", "unmask")


def restarted(town: Town) -> Coordinator:
    """The coordinator of a process that knows only what the killed one left on disk."""
    return open_coordinator(town.federation.coordinator.folder.path)


@pytest.mark.parametrize("fatal", ["agree", "unmask"])
@pytest.mark.parametrize("answered", [False, True], ids=["as it asks", "as all have answered"])
def test_who_was_left_is_remembered_by_a_coordinator_that_is_killed(
    four: Town, sums: Sums, fatal: str, answered: bool
) -> None:
    """Whose answer came too late for the list stays out of the sum, though it comes again with the others'."""
    name = four.launch(rounds=1)
    spared = {(kind, 0) for kind in STEPS[: STEPS.index(fatal)]}
    dies = Dies(Weather(four, lost={("train", 0): {LAB}}), answered, spared)
    with pytest.raises(Killed):
        four.run(name, dies)
    assert dies.kills == [fatal]
    after = Weather(four)
    run_task(restarted(four), after, name)
    assert four.attempts(name) == [(0, 1, "committed")]
    assert four.parties(name) == [(ALGO, COACH, ARCHIVE)]
    assert {parties for _, _, parties in after.asked} == {(ALGO, COACH, ARCHIVE)}
    assert sums.exact()


def test_survivors_who_do_not_answer_again_after_a_crash_cost_the_attempt_and_no_second_list_is_asked_for(
    four: Town, sums: Sums
) -> None:
    """Shares for all four were opened; those for three others would bare the fourth one's update."""
    name = four.launch(rounds=1)
    dies = Dies(Weather(four), True, {(kind, 0) for kind in STEPS[:-1]})
    with pytest.raises(Killed):
        four.run(name, dies)
    assert dies.kills == ["unmask"]
    after = Weather(four, lost={("train", 0): {LAB}})
    run_task(restarted(four), after, name)
    assert four.attempts(name) == [(0, 1, "failed"), (1, 1, "committed")]
    assert [(kind, attempt) for kind, attempt, _ in after.asked] == [
        ("train", 0),
        *((kind, 1) for kind in ("prepare", "train", "unmask")),
    ]
    store = four.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(name).digest) if row.kind == "train")
    assert "another sum of this attempt can never be bared" in failed.reasons["the sum"]
    assert sums.exact()
