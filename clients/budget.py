"""The budget of privacy: spent on disk before anything is computed on people, never refunded (DESIGN §3.4, §7).

Every person has a lifetime cap (ε, δ), enforced by an RDP filter: charges add up order by order, and a charge is
refused if it would take anyone past the cap (Feldman & Zrnic 2020; Lécuyer 2021 for several orders).
"""

import math
from dataclasses import dataclass, field
from datetime import datetime

from pyroaring import BitMap

from clients.spending import GroupSpend, SpendIndex
from clients.store import NodeStore, ledger, registry
from clients.store.database import Transaction
from clients.store.moments import to_micros
from federation.errors import BudgetExhausted, LedgerRolledBack, Refusal, Refused, StoreError, TermsError
from federation.ids import LedgerHead, PersonNumber, TaskDigest
from federation.roles import Step
from privacy import accounting
from privacy.accounting import Curve, SampledSkellam, rdp


@dataclass(frozen=True)
class Charge:
    """What one attempt costs everyone eligible, sampled or not.

    `limit`: how many attempts of the task may ever be charged for `step`; ε was promised for so many.
    """

    task: TaskDigest
    attempt: int
    step: Step
    cost: accounting.Charge
    people: BitMap = field(repr=False)
    limit: int


@dataclass(frozen=True)
class Cap:
    """What all tasks together may ever cost one person."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0 and 0 < self.delta < 1):
            raise TermsError(f"found a cap of ε = {self.epsilon!r}, δ = {self.delta!r}; expected ε > 0 and 0 < δ < 1.")


@dataclass(frozen=True)
class Reservation:
    """Proof that a charge is on the disk; only `reserve` makes it."""

    number: int
    head: LedgerHead


def reserve(store: NodeStore, charge: Charge, cap: Cap, seen_head: LedgerHead | None, at: datetime) -> Reservation:
    """Charge all of `charge.people`, durably, or raise and write nothing.

    `seen_head`: the last head of this ledger that others saw; `LedgerRolledBack` unless it is in our chain.
    `BudgetExhausted` if anyone would pass `cap`; `Refused` if the attempt was charged before, if `charge.limit` of
    them were, or if somebody was erased.
    """
    store.require_own_transaction("a reservation")
    with store.transaction() as tx:
        index = _followed(store, tx)
        _require_not_rolled_back(tx, seen_head)
        _require_first(tx, charge)
        _require_promised(tx, charge)
        _require_known(tx, charge.people)
        _require_within(index, charge, cap)
        entry = ledger.append(tx, _reserved(charge), to_micros(at))
    return Reservation(entry.number, entry.head)


def affordable(store: NodeStore, people: BitMap, cost: accounting.Charge, cap: Cap) -> BitMap:
    """Those of `people` who can pay `cost` once more, so that others can go on without whoever is exhausted."""
    with store.reading() as tx:
        return _followed(store, tx).affordable(people, rdp(cost, 1), cap.epsilon, cap.delta)


def head(store: NodeStore) -> LedgerHead:
    """What commits to the whole ledger; others hold it for us."""
    with store.reading() as tx:
        return ledger.last(tx)[1]


def spent(store: NodeStore, person: PersonNumber) -> Curve:
    """RDP that one person has spent, at `privacy.accounting.ORDERS`."""
    with store.reading() as tx:
        return _followed(store, tx).curve_of(person)


def charged_attempts(store: NodeStore, task: TaskDigest, step: Step) -> frozenset[int]:
    """The attempts of a task that were charged for `step`."""
    with store.reading() as tx:
        return ledger.attempts_of(tx, task, step)


def table(store: NodeStore) -> tuple[GroupSpend, ...]:
    """Who has spent what, by groups of people with the same history."""
    with store.reading() as tx:
        return _followed(store, tx).groups()


def _reserved(charge: Charge) -> ledger.Reserved:
    cost = charge.cost
    return ledger.Reserved(
        charge.task,
        charge.attempt,
        charge.step,
        cost.sampling_rate,
        cost.noise_multiplier,
        charge.people,
        cost.levels if isinstance(cost, SampledSkellam) else 0,
    )


def _followed(store: NodeStore, tx: Transaction) -> SpendIndex:
    return store.followed(SpendIndex, tx)


def _require_not_rolled_back(tx: Transaction, seen_head: LedgerHead | None) -> None:
    if seen_head is not None and not ledger.holds(tx, seen_head):
        raise LedgerRolledBack(
            f"others have seen this ledger at head {seen_head[:12]}, which it does not hold: node.sqlite is an old "
            "copy, and charges are missing in it. Put the newest copy back. Nothing was spent, nothing is trained."
        )


def _require_first(tx: Transaction, charge: Charge) -> None:
    if ledger.reserved(tx, charge.task, charge.attempt, charge.step):
        raise Refused(
            Refusal.ATTEMPT_LOST,
            f"attempt {charge.attempt} of task {charge.task[:12]} was charged before, and its answer was lost; "
            "a reservation pays for one training only. Ask for a new attempt.",
        )


def _require_promised(tx: Transaction, charge: Charge) -> None:
    """Count what this ledger holds: attempt numbers are the coordinator's, and it may number them as it likes."""
    if ledger.charges_of(tx, charge.task, charge.step) >= charge.limit:
        raise Refused(
            Refusal.POLICY,
            f"task {charge.task[:12]} was charged {charge.limit} times for {charge.step}, and ε was promised for no "
            "more. Nothing was spent. Ask for a new task.",
        )


def _require_known(tx: Transaction, people: BitMap) -> None:
    if people & registry.forgotten(tx):
        raise Refused(Refusal.ATTEMPT_LOST, "somebody who was eligible has been erased meanwhile; take a new snapshot.")
    if people and people.max() > registry.highest(tx):
        raise StoreError(f"person {people.max()} is to be charged but is not in node.sqlite. Import the data again.")


def _require_within(index: SpendIndex, charge: Charge, cap: Cap) -> None:
    fit = index.affordable(charge.people, rdp(charge.cost, 1), cap.epsilon, cap.delta)
    over = len(charge.people) - len(fit)
    if over:
        raise BudgetExhausted(
            f"attempt {charge.attempt} of task {charge.task[:12]} would take {over} of {len(charge.people)} people "
            f"past this node's cap of ε = {cap.epsilon:g} (δ = {cap.delta:g}) per person. Nothing was spent. "
            "See `paceline budget show`; raise max_epsilon in node.toml only if their consent covers it."
        )
