"""A party of a secure round that lies: it is left out or named, and stops no other; what it hides stays hidden."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

import clients.secure
import server.shares
from clients.policy import Policy
from federation import secure, wire
from federation.acceptance import seal_seed
from federation.codecs import lane
from federation.errors import Refusal
from federation.ids import PartyId
from federation.link import Reply
from federation.messages import PreparedAnswer, RefusalAnswer, UnmaskedAnswer
from federation.roles import Role
from federation.workloads import find
from privacy.secagg.sealing import seal
from privacy.secagg.shamir import SHARE_BYTES
from server.rounds import run_task
from simulations.loopback import faithful
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
ALL, WORKLOAD = (ALGO, COACH, LAB, ARCHIVE), "running_pace"
Message = tuple[wire.AnyAnswer, bytes]
Lie = Callable[[Message, "Liars"], Message]


@dataclass
class Liars:
    """Parties whose answers of one kind go through `lie` and are signed again by their own keys."""

    federation: Federation
    name: str
    kind: str
    lie: Lie
    party: PartyId = LAB
    times: int = 100

    def fault(self, party: PartyId, blob: bytes) -> list[Reply]:
        key = self.federation.nodes[party].identity
        header, payload = wire.read_answer(blob, key.public_key, 1 << 20)
        if header.kind != self.kind or not self.times:
            return faithful(party, blob)
        self.times -= 1
        self.party = party
        return [Reply(party, wire.pack(*self.lie((header, bytes(payload)), self), key))]


@dataclass
class Task:
    """A task with hostile parties."""

    federation: Federation
    name: str

    def lies(self, kind: str, lie: Lie, *parties: PartyId, times: int = 100) -> None:
        for party in parties:
            self.federation.link.faults[party] = Liars(self.federation, self.name, kind, lie, times=times).fault

    def run(self) -> None:
        run_task(self.federation.coordinator, self.federation.link, self.name)

    def rounds(self) -> list[tuple[PartyId, ...]]:
        store = self.federation.coordinator.store
        return [tuple(row.parties) for row in store.rounds(store.task(self.name).digest)[1:]]

    def said(self, kind: str, attempt: int, party: PartyId = LAB) -> tuple[str, str]:
        store = self.federation.coordinator.store
        rows = store.party_rounds(store.task(self.name).digest)
        found = next(row for row in rows if (row.kind, row.attempt, row.party) == (kind, attempt, party))
        return found.outcome, found.code


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether every sum that was bared is that of exactly its parties' lanes."""
    masked: dict[tuple[bytes, int], lane.Lanes] = {}
    wrong, mask, unmask = [], clients.secure.mask, server.shares.unmask

    def masking(lanes: Any, bits: int, own: Any, point: int, publics: Any, context: bytes) -> Any:
        masked[context, point] = lanes.copy()
        return mask(lanes, bits, own, point, publics, context)

    def unmasking(total: Any, bits: int, own: Any, dropped: Any, publics: Any, context: bytes) -> Any:
        found = unmask(total, bits, own, dropped, publics, context)
        expected = sum(masked[context, point].astype(np.int64) for point in own) % 2**bits
        wrong.extend([context] if not np.array_equal(found, expected) else [])
        return found

    monkeypatch.setattr(clients.secure, "mask", masking)
    monkeypatch.setattr(server.shares, "unmask", unmasking)
    return lambda: bool(masked) and not wrong


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, waiving: Callable[..., Policy]) -> Federation:
    """Three parties with people and one without, on which many tasks are tried."""
    rows, path = find(WORKLOAD).invent, tmp_path_factory.mktemp("federation")
    cast = [Cast(party, Role.DATA_PROVIDER, rows(seed, 6, 2)) for seed, party in enumerate((LAB, ARCHIVE, COACH))]
    cast.append(Cast(ALGO, Role.ALGORITHM_PROVIDER))
    return gather(path, WORKLOAD, cast, waiving(*(f"task-{number}" for number in range(100))), SeededSource(1))


@pytest.fixture
def task(federation: Federation, tmp_path: Path) -> Task:
    """Two rounds of four parties; shares open with three."""
    federation.link.faults.clear()
    terms: dict[str, Any] = {
        "name": f"task-{len(federation.coordinator.store.tasks())}",
        "title": "A test",
        "workload": WORKLOAD,
        "purpose": "train-motion-models",
        "rounds": 2,
        "round_deadline_s": 30.0,
        "privacy": {"unit": "none"},
        "training": {"learning_rate": 0.05, "batch_rows": 16, "public_weight": 1.0, "public_people": 4},
        "exchange": {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20, "clip": 5.0},
        "cohort": [{"party": party, "people": 0 if party == ALGO else 6} for party in ALL],
    }
    file = tmp_path / "task.toml"
    file.write_text(tomli_w.dumps(terms), "utf-8")
    return Task(federation, agree(federation, file))


def advertised(message: Message, liars: Liars, **changes: Any) -> Message:
    """A mask key with `changes`, under the party's genuine signature."""
    header, payload = message
    assert isinstance(header, PreparedAnswer)
    changed = header.advertisement.model_copy(update=changes)
    key = liars.federation.nodes[liars.party].identity
    signature = key.sign(secure.MASK_KEY, secure._words(changed, (header.task, 0))).hex()
    return header.model_copy(update={"advertisement": changed.model_copy(update={"signature": signature})}), payload


def unsigned(message: Message, _: Liars, **changes: Any) -> Message:
    header, payload = message
    assert isinstance(header, PreparedAnswer)
    return header.model_copy(update={"advertisement": header.advertisement.model_copy(update=changes)}), payload


def cut(message: Message, _: Liars, size: int) -> Message:
    """A payload that is `size` bytes shorter, or longer."""
    header, payload = message
    return header, payload[:-size] if size > 0 else payload + bytes(-size)


def other_kind(message: Message, _: Liars) -> Message:
    header, _payload = message
    fields = {name: getattr(header, name) for name in ("task", "round", "attempt", "nonce", "party", "ledger_head")}
    return RefusalAnswer(**fields, code=Refusal.PAUSED), b""


LIES_WHEN_PREPARING: dict[str, tuple[Lie, str]] = {
    "an unsigned key": (partial(unsigned, mask_key="09" * 32), "signature"),
    "a key that hides nothing": (partial(advertised, mask_key="00" * 32), "small subgroup"),
    "a key in another name": (partial(advertised, party=ARCHIVE), "prepared"),
    "too few shares": (partial(cut, size=1), "motion-lab prepared 327 bytes of shares; expected 328 of its own"),
    "too many shares": (partial(cut, size=-82), "bytes"),
    "no shares": (partial(cut, size=328), "motion-lab prepared 0 bytes of shares"),
}


@pytest.mark.parametrize("lie", LIES_WHEN_PREPARING)
def test_a_party_whose_key_cannot_be_used_is_left_out_of_the_round(
    task: Task, exact: Callable[[], bool], lie: str
) -> None:
    made, says = LIES_WHEN_PREPARING[lie]
    task.lies("prepared", made, LAB, times=1)
    task.run()
    outcome, why = task.said("prepare", 0)
    assert outcome == "invalid"
    assert says in why
    assert task.rounds() == [(ALGO, COACH, ARCHIVE), ALL]
    assert exact()


def test_a_party_that_will_not_prepare_is_on_record_with_its_reason(task: Task, exact: Callable[[], bool]) -> None:
    task.lies("prepared", other_kind, LAB, times=1)
    task.run()
    assert task.said("prepare", 0) == ("refused", "paused")
    assert task.rounds() == [(ALGO, COACH, ARCHIVE), ALL]
    assert exact()


@pytest.mark.parametrize("kind", ["prepared", "agreed", "unmasked"])
def test_an_answer_to_another_question_or_of_another_kind_counts_as_none(task: Task, kind: str) -> None:
    def elsewhere(message: Message, _: Liars) -> Message:
        return message[0].model_copy(update={"nonce": "ee" * 16}), message[1]

    question = {"prepared": "prepare", "agreed": "agree", "unmasked": "unmask"}[kind]
    task.lies(kind, elsewhere, LAB, times=1)
    if kind == "agreed":  # asked where somebody drops out: then all who are left must sign
        task.lies("update", partial(cut, size=1), ALGO, times=1)
    task.run()
    outcome, why = task.said(question, 0)
    assert outcome == "invalid"
    assert "the answer is to another question, or of another party" in why
    assert task.rounds()[-1] == ALL


@pytest.mark.parametrize("size", [1, -1, -80, 80])
def test_lanes_of_another_length_are_left_out_of_the_sum(task: Task, exact: Callable[[], bool], size: int) -> None:
    task.lies("update", partial(cut, size=size), LAB, times=1)
    task.run()
    outcome, why = task.said("train", 0)
    assert outcome == "invalid"
    assert "lanes of 20 bits; expected exactly 80" in why or "the task allows at most 80" in why
    assert task.rounds() == [(ALGO, COACH, ARCHIVE), ALL]
    assert exact()


def shares_of(message: Message, _: Liars, change: Callable[[bytes], bytes]) -> Message:
    """Opened shares of four parties, changed; what follows them stays."""
    header, payload = message
    assert isinstance(header, UnmaskedAnswer)
    return header, change(payload[: 4 * SHARE_BYTES]) + payload[4 * SHARE_BYTES :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zero": lambda shares: bytes(len(shares)),
    "outside of the field": lambda shares: b"\xff" * len(shares),
    "off by one": lambda shares: bytes([shares[0] ^ 1]) + shares[1:],
    "in another order": lambda shares: shares[SHARE_BYTES:] + shares[:SHARE_BYTES],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_wrong_shares_of_one_party_are_found_and_left_out(task: Task, exact: Callable[[], bool], damage: str) -> None:
    task.lies("unmasked", partial(shares_of, change=DAMAGES[damage]), LAB)
    task.run()
    assert task.rounds() == [ALL, ALL]
    assert exact()


def test_more_wrong_shares_than_can_be_spared_fail_one_attempt_and_only_whom_they_accuse_is_left_out(
    task: Task, exact: Callable[[], bool]
) -> None:
    task.lies("unmasked", partial(shares_of, change=DAMAGES["off by one"]), LAB, COACH, times=1)
    task.run()
    store = task.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(task.name).digest) if row.kind == "train")
    assert failed.state == "failed"
    assert (
        "4 shares of the secrets of algo-works came, of which 3 must fit together; they do not"
        in (failed.reasons["the sum"])
    )
    assert task.rounds() == [(COACH, LAB, ARCHIVE)] * 2
    assert exact()


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (1, "motion-lab prepared 327 bytes of shares; expected 328 of its own"),
        (-82, "a payload of 542 bytes; the task allows at most 460"),
        (329, "131 bytes of shares; expected at least 132"),
        (10**3, "0 bytes of shares; expected at least 132"),
    ],
)
def test_an_opened_answer_that_is_cut_off_or_too_long_counts_as_far_as_it_goes(
    task: Task, exact: Callable[[], bool], size: int, says: str
) -> None:
    task.lies("unmasked", partial(cut, size=size), LAB, times=1)
    task.run()
    outcome, why = task.said("unmask", 0)
    assert outcome == "invalid"
    assert says in why
    assert task.rounds() == [ALL, ALL]
    assert exact()


def garbage_for(message: Message, liars: Liars, committed: bool) -> Message:
    """Shares that open well, but are of no polynomial; or of another secret than `commitment` says."""
    header, payload = message
    assert isinstance(header, PreparedAnswer)
    if committed:
        return advertised(message, liars, commitment="ab" * 32)
    federation = liars.federation
    manifest = federation.coordinator.store.task(liars.name).manifest()
    key, sealed = seal_seed(federation.nodes[LAB].identity, manifest.digest()), []
    yeses = {yes.party: yes for yes in federation.coordinator.store.acceptances(manifest.digest())}
    for party, point in secure.points(manifest).items():
        bound = secure.sealing((header.task, 0), header.advertisement.mask_key, LAB, party)
        plain = bytes([point]) * (2 * SHARE_BYTES - 1) + b"\0"
        other = bytes.fromhex(yeses[party].seal_key)
        sealed.append(payload[:82] if party == LAB else seal(key, other, bound, plain))
    return header, b"".join(sealed)


@pytest.mark.parametrize("committed", [False, True], ids=["no polynomial", "another commitment"])
def test_a_party_that_deals_wrong_shares_fails_one_attempt_and_is_left_out_from_then_on(
    task: Task, exact: Callable[[], bool], committed: bool
) -> None:
    """Else it would fail every attempt, each of which is charged to everybody's people."""
    task.lies("prepared", partial(garbage_for, committed=committed), LAB, times=1)
    task.run()
    store = task.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(task.name).digest) if row.kind == "train")
    assert failed.state == "failed"
    assert "motion-lab dealt wrong shares, or too many opened wrong ones" in failed.reasons["the sum"]
    assert task.said("train", 0) == ("invalid", "dealt wrong shares")
    assert task.rounds() == [(ALGO, COACH, ARCHIVE)] * 2
    assert exact()


def test_two_parties_with_one_mask_key_are_left_out(task: Task, exact: Callable[[], bool]) -> None:
    """Nobody would take part beside them. The two that are left are too few: they refuse before they train."""
    task.lies("prepared", partial(advertised, mask_key="09" + "00" * 31), LAB, ARCHIVE, times=1)
    task.run()
    store = task.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(task.name).digest) if row.kind == "train")
    assert failed.reasons == {ALGO: "unsafe-round", COACH: "unsafe-round"}
    assert task.rounds() == [ALL, ALL]
    assert exact()


def test_a_party_that_signs_no_survivors_is_missed_where_all_are_needed(task: Task, exact: Callable[[], bool]) -> None:
    task.lies("update", partial(cut, size=1), ALGO, times=1)
    task.lies("agreed", other_kind, LAB, times=1)
    task.run()
    store = task.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(task.name).digest) if row.kind == "train")
    assert failed.reasons["the sum"].startswith("2 parties signed who is left")
    assert task.rounds() == [ALL, ALL]
    assert exact()


def test_a_signature_under_other_survivors_does_not_count(task: Task, exact: Callable[[], bool]) -> None:
    def forged(message: Message, liars: Liars) -> Message:
        header, _ = message
        key = liars.federation.nodes[liars.party].identity
        return header.model_copy(update={"agreement": secure.sign_survivors(key, b"x" * 32, ALL)}), b""

    task.lies("update", partial(cut, size=1), ALGO, times=1)
    task.lies("agreed", forged, LAB, times=1)
    task.run()
    store = task.federation.coordinator.store
    failed = next(row for row in store.attempts(store.task(task.name).digest) if row.kind == "train")
    assert failed.reasons["the sum"].startswith("2 parties signed who is left")
    assert task.rounds() == [ALL, ALL]
    assert exact()
