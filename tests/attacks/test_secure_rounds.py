"""What a coordinator of secure rounds can learn of one party, honest or lying: nothing but sums of enough of them."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from scipy.stats import chisquare

import clients.secure
import server.shares
from clients.node import Node
from clients.policy import Policy
from clients.rounds import answer
from federation import secure, wire
from federation.acceptance import ACCEPTANCE, Acceptance, accept
from federation.codecs import lane
from federation.consent import Purpose
from federation.errors import Refusal, SecaggError
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.messages import (
    Advertisement,
    AgreedAnswer,
    AgreeRequest,
    PreparedAnswer,
    PrepareRequest,
    RefusalAnswer,
    TrainRequest,
    UnmaskedAnswer,
    UnmaskRequest,
    UpdateAnswer,
)
from federation.roles import Role
from federation.signing import canonical
from federation.workloads import find
from privacy.secagg import masking
from privacy.secagg.secrets import Secrets, pair_keys, self_key
from privacy.secagg.shamir import SHARE_BYTES
from server.coordinator import Model, run_of, to_wire
from server.questions import pose
from server.rounds import run_task
from server.shares import Shares
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

WORKLOAD, BITS, LANES = "running_pace", 20, 32
LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
ALL = (ALGO, COACH, LAB, ARCHIVE)
STRANGER = PartyId("stranger")
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=40.0,
    delta=1e-3,
    max_epsilon_per_task=20.0,
    min_parties=2,
    min_people=1,
    allow_unprotected=tuple(f"open-{number}" for number in range(100)),
)
NODE_NOISE = {
    "unit": "person",
    "sampling_rate": 1.0,
    "noise_multiplier": 30.0,
    "clip": 0.5,
    "rows_per_person": 4,
    "max_attempts": 5,
    "delta": 1e-3,
}


@dataclass
class Town:
    path: Path
    federation: Federation
    tasks: int = 0

    def launch(self, **changes: Any) -> str:
        self.tasks += 1
        task: dict[str, Any] = {
            "name": f"task-{self.tasks}" if "privacy" not in changes else f"open-{self.tasks}",
            "title": "A test",
            "workload": WORKLOAD,
            "purpose": "train-motion-models",
            "rounds": 2,
            "round_deadline_s": 30.0,
            "privacy": NODE_NOISE,
            "training": {"learning_rate": 0.05, "batch_rows": 16, "public_weight": 1.0, "public_people": 4},
            "exchange": {"min_parties": 2, "secure": True, "up": "lane", "up_bits": BITS, "clip": 5.0},
            "cohort": [{"party": party, "people": 0 if party == ALGO else 6} for party in ALL],
        }
        file = self.path / "task.toml"
        file.write_text(tomli_w.dumps(task | changes), "utf-8")
        return agree(self.federation, file)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    rows, path = find(WORKLOAD).invent, tmp_path_factory.mktemp("town")
    cast = [Cast(party, Role.DATA_PROVIDER, rows(seed, 6, 2)) for seed, party in enumerate((LAB, ARCHIVE, COACH))]
    cast.append(Cast(ALGO, Role.ALGORITHM_PROVIDER))
    return Town(path, gather(path, WORKLOAD, cast, POLICY, SeededSource(1)))


Said = tuple[wire.AnyAnswer, bytes]


class Liar:
    """A coordinator that asks single parties what it likes, under its own key; `number` counts its questions."""

    def __init__(self, town: Town, **changes: Any) -> None:
        self.town, self.federation, self.number = town, town.federation, 0
        coordinator = town.federation.coordinator
        self.name = town.launch(**changes)
        self.run = run_of(coordinator.store.task(self.name).manifest())
        posed = pose(coordinator, self.run, "train", Model(0, self.run.workload.initial(0)), 1, {"roster": ()})
        self.question, payload = wire.read_request(posed.blob, coordinator.identity.public_key, 1 << 20)
        self.payload = bytes(payload)

    def common(self) -> dict[str, Any]:
        self.number += 1
        fields = self.question.model_dump(include={"task", "round", "issued_at", "expires_at", "ledger_heads"})
        return fields | {"attempt": self.number, "nonce": f"{self.number:032x}", "model": "0" * 64}

    def ask(self, party: PartyId, question: wire.AnyRequest, payload: bytes = b"") -> Said:
        node, key = self.federation.nodes[party], self.federation.coordinator.identity
        blob = answer(node, wire.pack(question, payload, key))
        header, opened = wire.read_answer(blob, node.identity.public_key, 1 << 20)
        return header, bytes(opened)

    def refused(self, party: PartyId, question: wire.AnyRequest, payload: bytes = b"") -> tuple[Refusal, str]:
        """The code and the words of a refusal, which changes nothing at the node."""
        node = self.federation.nodes[party]
        before = held(node)
        header, body = self.ask(party, question, payload)
        assert isinstance(header, RefusalAnswer), header
        assert body == b""
        assert held(node) == before
        return header.code, node.store.audit_entries()[-1].body

    def yeses(self) -> tuple[Acceptance, ...]:
        return tuple(self.federation.coordinator.store.acceptances(self.run.digest))

    def to_prepare(self, attempt: int = 0, yeses: Sequence[Acceptance] | None = None) -> PrepareRequest:
        return PrepareRequest(
            **self.common(), of_attempt=attempt, acceptances=tuple(self.yeses() if yeses is None else yeses)
        )

    def prepared(
        self, attempt: int = 0, parties: Sequence[PartyId] = ALL
    ) -> dict[PartyId, tuple[Advertisement, bytes]]:
        found = {}
        for party in parties:
            header, sealed = self.ask(party, self.to_prepare(attempt))
            assert isinstance(header, PreparedAnswer), header
            found[party] = (header.advertisement, sealed)
        return found

    def to_train(self, roster: Sequence[Advertisement], attempt: int = 0, **changes: Any) -> TrainRequest:
        assert isinstance(self.question, TrainRequest)
        fields = {"roster": tuple(roster), "attempt": attempt, "nonce": f"{1000 + attempt:032x}"}
        return self.question.model_copy(update=fields | changes)

    def to_agree(self, survivors: Sequence[PartyId], attempt: int = 0) -> AgreeRequest:
        return AgreeRequest(**self.common(), of_attempt=attempt, survivors=tuple(survivors))

    def to_unmask(
        self, survivors: Sequence[PartyId], agreed: Mapping[PartyId, str] | None = None, attempt: int = 0
    ) -> UnmaskRequest:
        signed = dict(agreed or {})
        return UnmaskRequest(**self.common(), of_attempt=attempt, survivors=tuple(survivors), agreed=signed)


@dataclass
class Masked:
    """A round whose masked updates are in; `question` is what all were asked."""

    liar: Liar
    dealt: dict[PartyId, tuple[Advertisement, bytes]]
    question: TrainRequest
    updates: dict[PartyId, bytes] = field(default_factory=dict)

    @property
    def roster(self) -> tuple[Advertisement, ...]:
        return tuple(self.dealt[party][0] for party in ALL)

    def sealed_for(self, party: PartyId, as_if: PartyId | None = None) -> bytes:
        """What all sealed for a party; `as_if`: what they sealed for this one instead."""
        start, size = ALL.index(as_if or party) * secure.SEALED_BYTES, secure.SEALED_BYTES
        return b"".join(self.dealt[other][1][start : start + size] for other in ALL)

    def signed(self, survivors: Sequence[PartyId], parties: Sequence[PartyId]) -> dict[PartyId, str]:
        """Genuine signatures of `parties` under a list."""
        found = {}
        for party in parties:
            header, _ = self.liar.ask(party, self.liar.to_agree(survivors, self.question.attempt))
            assert isinstance(header, AgreedAnswer), header
            found[party] = header.agreement
        return found

    def opened(self, party: PartyId, question: UnmaskRequest) -> Said:
        return self.liar.ask(party, question, self.sealed_for(party))

    def refused(self, party: PartyId, question: AgreeRequest | UnmaskRequest) -> tuple[Refusal, str]:
        payload = self.sealed_for(party) if isinstance(question, UnmaskRequest) else b""
        return self.liar.refused(party, question, payload)


def mask(liar: Liar, attempt: int = 0) -> Masked:
    dealt = liar.prepared(attempt)
    stage = Masked(liar, dealt, liar.to_train([dealt[party][0] for party in ALL], attempt))
    for party in ALL:
        header, payload = liar.ask(party, stage.question, liar.payload)
        assert isinstance(header, UpdateAnswer), header
        stage.updates[party] = payload
    return stage


@pytest.fixture(scope="module")
def stage(town: Town) -> Masked:
    """A round that is masked, for questions that are all refused; nobody was told yet who survived."""
    return mask(Liar(town))


def held(node: Node) -> dict[str, list[tuple[Any, ...]]]:
    """What a node has reserved, masked, answered and seen."""
    with closing(sqlite3.connect(f"file:{node.folder.database}?mode=ro", uri=True)) as opened:
        return {
            table: opened.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in ("reservation", "mask", "answer", "processing_activity")
        }


def files(node: Node) -> bytes:
    """Every byte of the node's databases and their logs."""
    return b"".join(path.read_bytes() for path in sorted(node.folder.path.rglob("*.sqlite*")))


# An honest coordinator, and whoever steals all that it ever had.


@dataclass
class Hears:
    """A link that keeps every byte."""

    inner: Link
    bytes: list[bytes] = field(default_factory=list)

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        self.bytes += requests.values()
        for reply in self.inner.ask(requests, deadline_s):
            self.bytes.append(reply.blob or b"")
            yield reply


@dataclass
class Round:
    """One round: lanes before and under the masks by point, and the seeds that the shares gave."""

    clear: dict[int, lane.Lanes] = field(default_factory=dict)
    masked: dict[int, lane.Lanes] = field(default_factory=dict)
    own: dict[int, bytes] = field(default_factory=dict)
    dropped: dict[int, bytes] = field(default_factory=dict)
    publics: dict[int, bytes] = field(default_factory=dict)

    def residual(self, context: bytes, points: Sequence[int]) -> lane.Lanes:
        """The masked updates of `points` without all masks that anybody can take off who knows the opened seeds."""
        total = (sum(self.masked[point].astype(np.int64) for point in points) % 2**BITS).astype(np.uint32)
        bound = masking._bound_to(self.publics, context)
        keys = [(self_key(self.own[point], bound), np.subtract) for point in points if point in self.own]
        for gone, seed in self.dropped.items():
            for point in points:
                if point != gone:
                    (key,) = pair_keys(seed, [self.publics[point]], bound)
                    known = np.subtract if point < gone else np.add
                    keys += [(key, known)] if gone not in points else []
        masking._apply(total, BITS, keys)
        return total

    def sum_of(self, points: Sequence[int]) -> lane.Lanes:
        return (sum(self.clear[point].astype(np.int64) for point in points) % 2**BITS).astype(np.uint32)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Round]:
    """By context, as they happen."""
    found: dict[bytes, Round] = {}
    make, take_off = clients.secure.mask, server.shares.unmask

    def masks(lanes: lane.Lanes, bits: int, own: Any, point: int, publics: Any, context: bytes) -> Any:
        of_round = found.setdefault(context, Round())
        of_round.clear[point], of_round.publics = lanes.copy(), dict(publics)
        share = make(lanes, bits, own, point, publics, context)
        of_round.masked[point] = share.lanes.copy()
        return share

    def unmasks(total: Any, bits: int, own: Any, dropped: Any, publics: Any, context: bytes) -> Any:
        found[context].own, found[context].dropped = dict(own), dict(dropped)
        return take_off(total, bits, own, dropped, publics, context)

    monkeypatch.setattr(clients.secure, "mask", masks)
    monkeypatch.setattr(server.shares, "unmask", unmasks)
    return found


def looks_random(lanes: lane.Lanes, clear: lane.Lanes) -> bool:
    """Uniform in its highest and its lowest bits, and without a trace of `clear`."""
    uniform = all(chisquare(np.bincount((lanes >> shift) & 7, minlength=8)).pvalue > 1e-6 for shift in (0, 8, BITS - 3))
    trace = abs(np.corrcoef(lane.unwrap(lanes, BITS), lane.unwrap(clear, BITS))[0, 1])
    return bool(uniform and trace < 6 / np.sqrt(len(lanes)) and np.mean(lanes == clear) < 0.01)


def test_no_combination_of_answers_but_the_whole_sum_says_anything_of_anybody(
    town: Town, rounds: dict[bytes, Round]
) -> None:
    """Also not that of a party which is said to have dropped out, but whose masked answer came."""
    name = town.launch(rounds=8, privacy={"unit": "none"})
    federation = town.federation

    class Late(Hears):
        def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
            training = b'"kind":"train"' in next(iter(requests.values()))
            for reply in self.inner.ask(requests, deadline_s):
                yield Reply(ARCHIVE, None, "said to be late") if training and reply.party == ARCHIVE else reply

    run_task(federation.coordinator, Late(federation.link), name)
    assert len(rounds) == 8
    survivors = (1, 2, 3)
    assert all(set(one.own) == set(survivors) and set(one.dropped) == {4} for one in rounds.values())
    for size in range(1, 5):
        for points in combinations((1, 2, 3, 4), size):
            left = np.concatenate([one.residual(context, points) for context, one in rounds.items()])
            clear = np.concatenate([one.sum_of(points) for one in rounds.values()])
            assert np.array_equal(left, clear) if points == survivors else looks_random(left, clear), points
    for context, one in rounds.items():
        with pytest.raises(SecaggError, match="each of"):
            masking.unmask(one.masked[1].copy(), BITS, {1: one.own[1]}, one.dropped, one.publics, context)


def test_neither_the_wire_nor_the_coordinators_files_hold_an_update_or_a_seed(
    town: Town, rounds: dict[bytes, Round], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[bytes] = []
    genuine = Secrets.fresh.__func__  # type: ignore[attr-defined]

    def fresh(kind: type[Secrets], source: Any) -> Secrets:
        secrets: Secrets = genuine(kind, source)
        seeds.extend((secrets.mask_seed, secrets.self_seed))
        return secrets

    monkeypatch.setattr(Secrets, "fresh", classmethod(fresh))
    federation, hears = town.federation, Hears(town.federation.link)
    run_task(federation.coordinator, hears, town.launch(privacy={"unit": "none"}))
    folder = federation.coordinator.folder.path
    seen = b"".join([*hears.bytes, *(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())])
    for one in rounds.values():
        for point, clear in one.clear.items():
            assert lane.pack(one.masked[point], BITS) in seen
            for form in (lane.pack(clear, BITS), clear.tobytes(), lane.unwrap(clear, BITS).tobytes()):
                assert form not in seen
                assert form.hex().encode() not in seen
    assert len(seeds) == 2 * 4 * 2
    assert not any(seed in seen or seed.hex().encode() in seen for seed in seeds)


# A coordinator that lies about who is left.

LIES_ABOUT_SURVIVORS: list[tuple[tuple[PartyId, ...], str]] = [
    ((COACH, LAB), "a sum over 2 parties would be told; task"),
    ((COACH,), "a sum over 1 parties would be told"),
    ((ALGO, COACH, LAB, STRANGER), "the survivors hold a stranger, name a party twice, or are not in order"),
    ((COACH, LAB, LAB, ARCHIVE), "the survivors hold a stranger, name a party twice, or are not in order"),
    ((LAB, COACH, ARCHIVE), "the survivors hold a stranger, name a party twice, or are not in order"),
    ((ALGO, LAB, ARCHIVE), "this node is said to have dropped out, but it answered"),
]


@pytest.mark.parametrize(("survivors", "says"), LIES_ABOUT_SURVIVORS)
def test_a_list_of_survivors_that_cannot_be_is_neither_signed_nor_opened(
    stage: Masked, survivors: tuple[PartyId, ...], says: str
) -> None:
    for question in (stage.liar.to_agree(survivors), stage.liar.to_unmask(survivors)):
        code, why = stage.refused(COACH, question)
        assert code is Refusal.UNSAFE
        assert says in why


def test_shares_for_a_shorter_list_need_genuine_signatures_under_that_list(town: Town) -> None:
    liar = Liar(town)
    other, stage, left = mask(liar), mask(liar, 1), (ALGO, COACH, LAB)
    signed, of_other = stage.signed(left, left), other.signed(left, left)
    of_longer = stage.signed(ALL, [ARCHIVE])
    forged = secure.sign_survivors(liar.federation.coordinator.identity, secure.context(stage.question), left)
    lies: list[dict[PartyId, str]] = [
        {},
        {party: signed[party] for party in (ALGO, LAB)},
        {ALGO: signed[ALGO], LAB: signed[LAB], COACH: signed[LAB]},
        {ALGO: signed[ALGO], LAB: signed[LAB], COACH: forged},
        {ALGO: signed[ALGO], LAB: signed[LAB], STRANGER: forged},
        {ALGO: signed[ALGO], LAB: signed[LAB], ARCHIVE: of_longer[ARCHIVE]},
        {ALGO: signed[ALGO], LAB: signed[LAB], COACH: of_other[COACH]},
        of_other,
    ]
    for agreed in lies:
        code, why = stage.refused(COACH, liar.to_unmask(left, agreed, 1))
        assert code is Refusal.UNSAFE
        assert "parties signed who is left; expected at least 3" in why
    header, _ = stage.opened(COACH, liar.to_unmask(left, signed, 1))
    assert isinstance(header, UnmaskedAnswer)


@pytest.mark.parametrize("opened", [False, True], ids=["agreed", "opened"])
@pytest.mark.parametrize("shorter_first", [False, True], ids=["all first", "fewer first"])
def test_a_node_bears_out_one_list_of_survivors_so_that_of_nobody_both_kinds_of_share_are_opened(
    town: Town, opened: bool, shorter_first: bool
) -> None:
    """Though ARCHIVE sides with the coordinator, and signs that it is gone."""
    liar = Liar(town)
    stage, left = mask(liar), (ALGO, COACH, LAB)
    key = liar.federation.nodes[ARCHIVE].identity
    signed = stage.signed(left, [ALGO, LAB])
    signed |= {ARCHIVE: secure.sign_survivors(key, secure.context(stage.question), left)}
    told, other = (left, ALL) if shorter_first else (ALL, left)
    question = liar.to_unmask(told, signed) if opened else liar.to_agree(told)
    header, _ = stage.opened(COACH, question) if opened else liar.ask(COACH, question)
    assert isinstance(header, UnmaskedAnswer | AgreedAnswer)
    for question in (liar.to_agree(other), liar.to_unmask(other, signed)):
        code, why = stage.refused(COACH, question)
        assert code is Refusal.UNSAFE
        assert "with both, one party's update would be bared" in why


def test_an_opened_answer_holds_one_kind_of_share_for_each_party(town: Town) -> None:
    liar = Liar(town)
    stage, left = mask(liar), (ALGO, COACH, LAB)
    signed = stage.signed(left, left)
    header, payload = stage.opened(COACH, liar.to_unmask(left, signed))
    assert isinstance(header, UnmaskedAnswer)
    assert len(payload) == SHARE_BYTES * 4 + secure.SEALED_BYTES * 4
    assert len({payload[place * SHARE_BYTES : (place + 1) * SHARE_BYTES] for place in range(4)}) == 4


def test_nothing_is_signed_or_opened_of_an_attempt_that_was_not_masked(town: Town) -> None:
    liar = Liar(town)
    stage = Masked(liar, liar.prepared(), liar.to_train(()))
    for question in (liar.to_agree(ALL), liar.to_unmask(ALL)):
        code, why = stage.refused(LAB, question)
        assert code is Refusal.UNSAFE
        assert "sent no masked update in attempt 0" in why
    for question in (liar.to_agree(ALL, 3), liar.to_unmask(ALL, attempt=3)):
        assert stage.refused(LAB, question)[0] is Refusal.ATTEMPT_LOST


# A coordinator that lies about keys.

Lie = Callable[[Liar, dict[PartyId, Advertisement]], Sequence[Advertisement]]


def signed_by(key: Any, party: PartyId, liar: Liar, mask_key: bytes = b"\x09" * 32) -> Advertisement:
    return secure.advertise(key, party, (liar.question.task, 0), mask_key, b"s" * 32)


def instead(ads: dict[PartyId, Advertisement], party: PartyId, other: Advertisement) -> list[Advertisement]:
    return [other if one == party else ads[one] for one in ALL]


LIES_ABOUT_KEYS: dict[str, tuple[Lie, Refusal, str]] = {
    "of another attempt": (
        lambda liar, ads: instead(ads, LAB, liar.prepared(1, [LAB])[LAB][0]),
        Refusal.BAD_SIGNATURE,
        "does not fit",
    ),
    "of another task": (
        lambda liar, ads: instead(ads, LAB, Liar(liar.town).prepared(0, [LAB])[LAB][0]),
        Refusal.BAD_SIGNATURE,
        "does not fit",
    ),
    "under another name": (
        lambda _, ads: instead(ads, LAB, ads[ARCHIVE].model_copy(update={"party": LAB})),
        Refusal.BAD_SIGNATURE,
        "the mask key of motion-lab is signed by another key than the task names for it",
    ),
    "under another name, with the right identity": (
        lambda _, ads: instead(
            ads, LAB, ads[ARCHIVE].model_copy(update={"party": LAB, "public_key": ads[LAB].public_key})
        ),
        Refusal.BAD_SIGNATURE,
        "does not fit",
    ),
    "of the coordinator": (
        lambda liar, ads: instead(ads, LAB, signed_by(liar.federation.coordinator.identity, LAB, liar)),
        Refusal.BAD_SIGNATURE,
        "the mask key of motion-lab is signed by another key than the task names for it",
    ),
    "another commitment": (
        lambda _, ads: instead(ads, LAB, ads[LAB].model_copy(update={"commitment": "ab" * 32})),
        Refusal.BAD_SIGNATURE,
        "does not fit",
    ),
    "of low order": (
        lambda liar, ads: instead(ads, LAB, signed_by(liar.federation.nodes[LAB].identity, LAB, liar, bytes(32))),
        Refusal.UNSAFE,
        "small subgroup",
    ),
    "of two parties": (
        lambda liar, ads: instead(
            ads,
            LAB,
            signed_by(liar.federation.nodes[LAB].identity, LAB, liar, bytes.fromhex(ads[ARCHIVE].mask_key)),
        ),
        Refusal.UNSAFE,
        "two parties of the roster have one mask key",
    ),
    "without the node's own": (
        lambda _, ads: [ads[party] for party in ALL if party != COACH],
        Refusal.UNSAFE,
        "does not hold this node's own mask key",
    ),
    "of too few": (lambda _, ads: [ads[COACH], ads[LAB]], Refusal.UNSAFE, "a sum over 2 parties would be told"),
    "of nobody": (lambda *_: (), Refusal.UNSAFE, "a sum over 0 parties would be told"),
    "one twice": (lambda _, ads: [ads[ALGO], ads[COACH], ads[COACH], ads[LAB]], Refusal.UNSAFE, "names a party twice"),
    "not in order": (lambda _, ads: [ads[COACH], ads[ALGO], ads[LAB], ads[ARCHIVE]], Refusal.UNSAFE, "is not in order"),
    "a stranger": (
        lambda _, ads: [*(ads[party] for party in ALL[:3]), ads[ARCHIVE].model_copy(update={"party": STRANGER})],
        Refusal.UNSAFE,
        "names a stranger",
    ),
}


@pytest.mark.parametrize("lie", LIES_ABOUT_KEYS)
def test_a_node_takes_no_part_beside_keys_that_are_not_their_parties_own(town: Town, lie: str) -> None:
    liar = Liar(town)
    roster, code, says = LIES_ABOUT_KEYS[lie]
    ads = {party: found for party, (found, _) in liar.prepared().items()}
    found, why = liar.refused(COACH, liar.to_train(roster(liar, ads)), liar.payload)
    assert found is code
    assert says in why


def test_a_roster_does_not_belong_into_a_task_without_masks(town: Town, stage: Masked) -> None:
    liar = Liar(town, exchange={"min_parties": 2})
    code, why = liar.refused(COACH, liar.to_train(stage.roster), liar.payload)
    assert code is Refusal.BAD_MESSAGE
    assert "the updates of this task are not masked" in why
    code, why = liar.refused(COACH, liar.to_prepare())
    assert code is Refusal.BAD_MESSAGE
    assert "the updates of this task are not masked" in why


def test_an_old_key_of_the_node_is_worth_nothing_once_it_made_another(town: Town) -> None:
    liar = Liar(town)
    ads = {party: found for party, (found, _) in liar.prepared().items()}
    again = liar.prepared(0, [COACH])[COACH][0]
    assert again.mask_key != ads[COACH].mask_key
    code, why = liar.refused(COACH, liar.to_train(instead(ads, COACH, ads[COACH])), liar.payload)
    assert code is Refusal.UNSAFE
    assert "does not hold this node's own mask key" in why
    header, _ = liar.ask(COACH, liar.to_train(instead(ads, COACH, again)), liar.payload)
    assert isinstance(header, UpdateAnswer)


def test_the_same_question_for_a_key_gets_the_same_key(town: Town) -> None:
    liar = Liar(town)
    question = liar.to_prepare()
    assert liar.ask(LAB, question) == liar.ask(LAB, question)
    before = held(liar.federation.nodes[LAB])["mask"]
    other = question.model_copy(update={"nonce": "ee" * 16})
    assert liar.refused(LAB, other)[0] is Refusal.REPLAYED
    assert held(liar.federation.nodes[LAB])["mask"] == before


def test_a_key_that_masked_an_update_masks_no_other(town: Town) -> None:
    liar = Liar(town)
    stage = mask(liar)
    assert liar.ask(LAB, stage.question, liar.payload)[1] == stage.updates[LAB]
    code, why = liar.refused(LAB, stage.question.model_copy(update={"nonce": "ee" * 16}), liar.payload)
    assert code is Refusal.REPLAYED
    assert "answered under another nonce" in why
    code, why = liar.refused(LAB, liar.to_prepare())
    assert code is Refusal.REPLAYED
    assert "attempt 0 of task" in why
    assert "it gets no other mask key" in why


def test_a_crash_between_mask_and_answer_neither_uses_the_key_nor_loses_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    liar = Liar(town, privacy={"unit": "none"})
    ads = [found for found, _ in liar.prepared().values()]
    monkeypatch.setattr("clients.updates.record", killed)
    with pytest.raises(Killed):
        liar.ask(LAB, liar.to_train(ads), liar.payload)
    monkeypatch.undo()
    header, _ = liar.ask(LAB, liar.to_train(ads), liar.payload)
    assert isinstance(header, UpdateAnswer)


def test_secrets_are_nowhere_on_the_disk_once_they_masked_an_update(town: Town) -> None:
    liar = Liar(town)
    dealt, node = liar.prepared(), liar.federation.nodes[LAB]
    with closing(sqlite3.connect(f"file:{node.folder.database}?mode=ro", uri=True)) as opened:
        seeds = opened.execute("SELECT mask_seed, self_seed FROM mask WHERE task = ?", (liar.run.digest,)).fetchone()
    assert [len(seed) for seed in seeds] == [32, 32]
    assert all(seed in files(node) for seed in seeds)
    liar.ask(LAB, liar.to_train([dealt[party][0] for party in ALL]), liar.payload)
    assert not any(seed in files(node) for seed in seeds)


def answers_to(liar: Liar, questions: Mapping[PartyId, tuple[TrainRequest, bytes]]) -> lane.Lanes:
    """The sum of the masked answers to questions of which each party got its own."""
    total = np.zeros(LANES, np.uint32)
    for party, (question, payload) in questions.items():
        header, update = liar.ask(party, question, payload)
        assert isinstance(header, UpdateAnswer), header
        total += lane.unpack(update, LANES, BITS)
    return total & (2**BITS - 1)


@pytest.mark.parametrize("lie", ["another model", "another roster", "another nonce", "another phase or round"])
def test_parties_that_were_told_different_things_sum_up_to_noise(
    town: Town, rounds: dict[bytes, Round], lie: str
) -> None:
    liar = Liar(town)
    dealt = liar.prepared()
    roster = [dealt[party][0] for party in ALL]
    told = {party: (liar.to_train(roster), liar.payload) for party in ALL}
    question, payload = told[COACH]
    if lie == "another model":
        weights = np.frombuffer(liar.payload, "<f4") + np.float32(1)
        payload, digest = to_wire(liar.run, weights.astype(np.float32), 0)
        question = question.model_copy(update={"model": digest})
    elif lie == "another roster":
        question = liar.to_train([found for found in roster if found.party != ARCHIVE])
    elif lie == "another nonce":
        question = question.model_copy(update={"nonce": "ee" * 16})
    else:
        question = question.model_copy(update={"round": 2})
    total = answers_to(liar, told | {COACH: (question, payload)})
    clear = sum(lanes.astype(np.int64) for one in rounds.values() for lanes in one.clear.values()) % 2**BITS
    assert len(rounds) == 2
    stage = Masked(liar, dealt, liar.to_train(roster))
    opened = {}
    for party in ALL:
        if lie == "another roster" and party == COACH:
            assert stage.refused(COACH, liar.to_unmask(ALL))[0] is Refusal.UNSAFE
            continue
        header, shares = stage.opened(party, liar.to_unmask(ALL))
        assert isinstance(header, UnmaskedAnswer)
        opened[party] = shares[: 4 * SHARE_BYTES]
    bared: list[lane.Lanes] = []
    shares_of = Shares(liar.run.manifest, stage.question, ALL, opened)
    object.__setattr__(shares_of, "_read", lambda lanes, _: bared.append(lanes.copy()))
    shares_of.bare(total, liar.run.workload.initial(0)["head.weight"].numel())
    assert not np.any(bared[0] == clear)
    assert chisquare(np.bincount(bared[0] >> (BITS - 2), minlength=4)).pvalue > 1e-6


# A coordinator that lies about who accepted, or hands on what nobody sealed.


def test_a_key_to_seal_to_counts_only_with_its_partys_acceptance_of_this_task(town: Town) -> None:
    liar = Liar(town)
    yeses, nodes = {yes.party: yes for yes in liar.yeses()}, liar.federation.nodes
    at, coordinator = yeses[LAB].accepted_at, liar.federation.coordinator.identity
    other_key = yeses[LAB].model_copy(update={"seal_key": yeses[ARCHIVE].seal_key})
    elsewhere = accept(nodes[LAB].identity, LAB, Liar(town).run.digest, at)
    for forged, code, says in (
        (accept(coordinator, LAB, liar.run.digest, at), Refusal.BAD_SIGNATURE, "motion-lab signed with key"),
        (other_key, Refusal.BAD_SIGNATURE, "does not fit"),
        (elsewhere, Refusal.BAD_SIGNATURE, "the terms were changed after the acceptance"),
    ):
        found, why = liar.refused(COACH, liar.to_prepare(0, [*(yeses | {LAB: forged}).values()]))
        assert found is code
        assert says in why
    few = [yeses[LAB], yeses[LAB], yeses[COACH]]
    code, why = liar.refused(COACH, liar.to_prepare(0, few))
    assert code is Refusal.UNSAFE
    assert "2 parties accepted; shares need at least 3 to open them" in why


def yes_with(liar: Liar, party: PartyId, seal_key: str) -> Acceptance:
    """The party's genuine acceptance, but of another key to seal to."""
    yes = next(found for found in liar.yeses() if found.party == party).model_copy(update={"seal_key": seal_key})
    body = canonical(yes.model_dump(mode="json", exclude={"signature"}))
    return yes.model_copy(update={"signature": liar.federation.nodes[party].identity.sign(ACCEPTANCE, body).hex()})


def test_a_party_with_a_useless_key_to_seal_to_is_refused_by_whoever_deals(town: Town) -> None:
    liar = Liar(town)
    yeses = {yes.party: yes for yes in liar.yeses()}
    code, why = liar.refused(COACH, liar.to_prepare(0, [*(yeses | {LAB: yes_with(liar, LAB, "00" * 32)}).values()]))
    assert code is Refusal.UNSAFE
    assert "small subgroup" in why


def test_shares_for_a_party_that_took_over_anothers_key_to_seal_to_are_not_opened_by_the_other(town: Town) -> None:
    """A node opens one share of each secret: its own."""
    liar = Liar(town)
    yeses = {yes.party: yes for yes in liar.yeses()}
    yeses[LAB] = yes_with(liar, LAB, yeses[COACH].seal_key)
    dealt = {}
    for party in ALL:
        header, sealed = liar.ask(party, liar.to_prepare(0, [*yeses.values()]))
        assert isinstance(header, PreparedAnswer), header
        dealt[party] = (header.advertisement, sealed)
    stage = Masked(liar, dealt, liar.to_train([dealt[party][0] for party in ALL]))
    for party in ALL:
        liar.ask(party, stage.question, liar.payload)
    for as_if, opens in ((LAB, {COACH}), (COACH, {ALGO, COACH, ARCHIVE})):
        header, payload = liar.ask(COACH, liar.to_unmask(ALL), stage.sealed_for(COACH, as_if))
        assert isinstance(header, UnmaskedAnswer)
        shares = {party: payload[place * SHARE_BYTES : (place + 1) * SHARE_BYTES] for place, party in enumerate(ALL)}
        assert {party for party, share in shares.items() if share != secure.NO_SHARE} == opens


def test_nothing_is_dealt_for_attempts_that_the_contract_does_not_have(town: Town) -> None:
    liar = Liar(town)
    code, why = liar.refused(COACH, liar.to_prepare(liar.run.manifest.max_questions))
    assert code is Refusal.POLICY
    assert "has no round 1, attempt 5" in why


@pytest.mark.parametrize("size", [0, 1, 4 * secure.SEALED_BYTES - 1, 4 * secure.SEALED_BYTES + 1, 10**5])
def test_sealed_shares_of_another_length_are_refused(stage: Masked, size: int) -> None:
    code, why = stage.liar.refused(COACH, stage.liar.to_unmask(ALL), bytes(size))
    assert code is Refusal.BAD_MESSAGE
    assert f"{size} bytes of sealed shares; expected {secure.SEALED_BYTES} of each of 4" in why


def swapped(stage: Masked, genuine: bytes) -> bytes:
    """Those of the first two dealers in each other's place."""
    size = secure.SEALED_BYTES
    return genuine[2 * size : 3 * size] + genuine[size : 2 * size] + genuine[:size] + genuine[3 * size :]


def flipped(stage: Masked, genuine: bytes) -> bytes:
    """A bit of all but the node's own."""
    data = bytearray(genuine)
    for place in (0, 2, 3):
        data[place * secure.SEALED_BYTES + 40] ^= 4
    return bytes(data)


def of_others(stage: Masked, _: bytes) -> bytes:
    """What was sealed for LAB."""
    return stage.sealed_for(COACH, LAB)


@pytest.mark.parametrize(("damage", "lost"), [(swapped, {0, 2}), (flipped, {0, 2, 3}), (of_others, {0, 2, 3})])
def test_a_share_that_was_not_sealed_for_this_node_by_its_dealer_is_not_opened(
    town: Town, damage: Callable[[Masked, bytes], bytes], lost: set[int]
) -> None:
    liar = Liar(town)
    stage = mask(liar)
    header, payload = liar.ask(COACH, liar.to_unmask(ALL), damage(stage, stage.sealed_for(COACH)))
    assert isinstance(header, UnmaskedAnswer)
    shares = [payload[place * SHARE_BYTES : (place + 1) * SHARE_BYTES] for place in range(4)]
    assert {place for place, share in enumerate(shares) if share == secure.NO_SHARE} == lost
