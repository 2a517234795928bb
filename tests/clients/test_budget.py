"""The budget ledger: charged once, for everyone, never past the cap."""

import hashlib
import hmac
import shutil
import sqlite3
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from clients import budget, erasure, people
from clients.budget import Cap, Charge, reserve
from clients.store import chain, ledger, open_store, verify
from federation.errors import BudgetExhausted, LedgerRolledBack, Refusal, Refused, StoreError, TermsError
from federation.ids import GENESIS, LedgerHead, TaskDigest
from federation.roles import Step
from privacy.accounting import SampledGaussian, SampledSkellam, epsilon, epsilon_from_rdp, rdp

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
TASK = TaskDigest("a" * 64)
COST = SampledGaussian(0.5, 2.0)
CAP = Cap(8.0, 1e-5)


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, clock=lambda: AT) as opened:
        people.person_numbers(opened, [f"runner {number}" for number in range(20)])
        yield opened


def charge(attempt, who=range(20), cost=COST, step=Step.TRAIN_ON_PEOPLE, task=TASK, limit=1000):
    return Charge(task, attempt, step, cost, BitMap(who), limit)


def rows(store):
    with store.reading() as tx:
        return tx.connection().exec_driver_sql("SELECT * FROM reservation").fetchall()


def test_a_reservation_moves_the_head_and_charges_everyone_eligible(store):
    assert budget.head(store) == GENESIS
    made = reserve(store, charge(0, range(5)), CAP, GENESIS, AT)
    assert (made.number, made.head) == (1, budget.head(store))
    assert budget.head(store) != GENESIS
    assert np.allclose(budget.spent(store, 4), rdp(COST, 1))
    assert not budget.spent(store, 5).any()


def test_nobody_passes_the_cap_and_the_refused_charge_leaves_no_trace(store):
    cap = Cap(epsilon(COST, 3, 1e-5) + 1e-9, 1e-5)
    for attempt in range(3):
        reserve(store, charge(attempt, [7]), cap, None, AT)
    before, head = rows(store), budget.head(store)
    with pytest.raises(BudgetExhausted, match=r"would take 1 of 20 people past this node's cap of ε = .* Nothing was"):
        reserve(store, charge(3), cap, None, AT)
    assert (rows(store), budget.head(store)) == (before, head)
    reserve(store, charge(3, set(range(20)) - {7}), cap, None, AT)


def test_who_can_still_pay_is_known_without_charging(store):
    cap = Cap(epsilon(COST, 2, 1e-5) + 1e-9, 1e-5)
    for attempt in range(2):
        reserve(store, charge(attempt, [1, 2]), cap, None, AT)
    assert budget.affordable(store, BitMap([1, 2, 3]), COST, cap) == BitMap([3])
    assert budget.affordable(store, BitMap(), COST, cap) == BitMap()


def test_an_attempt_is_charged_once(store):
    reserve(store, charge(0), CAP, None, AT)
    before = rows(store)
    with pytest.raises(Refused, match="its answer was lost") as refused:
        reserve(store, charge(0), CAP, None, AT)
    assert refused.value.code is Refusal.ATTEMPT_LOST
    assert rows(store) == before
    reserve(store, charge(0, step=Step.EVALUATE_PEOPLE), CAP, None, AT)


def test_an_empty_charge_is_recorded_all_the_same(store):
    assert reserve(store, charge(0, []), CAP, None, AT).number == 1


def test_strangers_and_the_erased_cannot_be_charged(store):
    with pytest.raises(StoreError, match="person 20 is to be charged but is not"):
        reserve(store, charge(0, [20]), CAP, None, AT)
    erasure.forget(store, BitMap([3]), AT)
    with pytest.raises(Refused, match="has been erased") as refused:
        reserve(store, charge(0), CAP, None, AT)
    assert refused.value.code is Refusal.ATTEMPT_LOST
    assert rows(store) == []


@pytest.mark.parametrize(("epsilon_", "delta"), [(float("nan"), 1e-5), (float("inf"), 1e-5), (0, 1e-5), (1, 0), (1, 1)])
def test_an_absurd_cap_cannot_be_made(epsilon_, delta):
    with pytest.raises(TermsError, match="expected ε > 0 and 0 < δ < 1"):
        Cap(epsilon_, delta)


def test_a_restored_backup_is_noticed_through_the_head_that_others_saw(tmp_path):
    with open_store(tmp_path, clock=lambda: AT) as store:
        people.person_number(store, "ann")
        reserve(store, charge(0, [0]), CAP, None, AT)
    shutil.copy(tmp_path / "node.sqlite", tmp_path / "backup")
    with open_store(tmp_path, clock=lambda: AT) as store:
        seen = reserve(store, charge(1, [0]), CAP, None, AT).head
    for leftover in tmp_path.glob("node.sqlite*"):
        leftover.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "node.sqlite")
    with open_store(tmp_path, clock=lambda: AT) as store:
        before = rows(store)
        assert verify(store).reservations == 1  # by itself an old copy looks whole
        with pytest.raises(LedgerRolledBack, match=f"others have seen this ledger at head {seen[:12]}"):
            reserve(store, charge(1, [0]), CAP, seen, AT)
        assert rows(store) == before


def test_the_head_that_travels_does_not_tell_by_trying_who_was_charged(tmp_path):
    """Two nodes with the same people, terms and moments: others who guess all that still cannot check the guess."""
    heads = set()
    for name in ("ours", "guess"):
        (tmp_path / name).mkdir()
        with open_store(tmp_path / name, clock=lambda: AT) as store:
            people.person_numbers(store, "abc")
            heads.add(reserve(store, charge(0, [0, 1, 2]), CAP, None, AT).head)
    assert len(heads) == 2


def test_shared_noise_is_charged_as_such_and_read_again_from_the_disk(store, tmp_path):
    shared = SampledSkellam(0.5, 2.0, 30)
    assert budget.affordable(store, BitMap([1]), shared, Cap(epsilon(COST, 1, 1e-5), 1e-5)) == BitMap()
    reserve(store, charge(0, [1], shared), CAP, None, AT)
    reserve(store, charge(1, [1]), CAP, None, AT)
    with open_store(tmp_path, clock=lambda: AT) as again:
        assert np.allclose(budget.spent(again, 1), rdp(shared, 1) + rdp(COST, 1))
        assert (rdp(shared, 1) > rdp(COST, 1)).all()


def test_levels_are_part_of_the_chain_and_rows_without_them_hash_as_before(store, tmp_path):
    reserve(store, charge(0, [1]), CAP, None, AT)
    with store.reading() as tx:
        secret = ledger.key(tx)
    who = hmac.new(secret, b"ledger" + BitMap([1]).serialize(), hashlib.sha256).hexdigest()
    terms = {"task": TASK, "attempt": 0, "step": Step.TRAIN_ON_PEOPLE, "sampling_rate": 0.5, "noise_multiplier": 2.0}
    body = {"number": 1, "entry": "reservation", "curve": None, "at": 1777636800000000, **terms, "people_hmac": who}
    assert budget.head(store) == chain.link_hash(ledger.LOG, GENESIS, body)
    reserve(store, charge(1, [1], SampledSkellam(0.5, 2.0, 30)), CAP, None, AT)
    store.close()
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    raw.executescript("DROP TRIGGER reservation_no_update; UPDATE reservation SET levels = 3000 WHERE number = 2")
    raw.close()
    with open_store(tmp_path) as changed, pytest.raises(StoreError, match="ledger"):
        verify(changed)


def test_a_ledger_from_before_there_were_levels_goes_on(store, tmp_path):
    before = reserve(store, charge(0, [1]), CAP, None, AT)
    store.close()
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    raw.executescript("ALTER TABLE reservation DROP COLUMN levels; PRAGMA user_version = 2")
    raw.close()
    shared = SampledSkellam(0.5, 2.0, 30)
    with open_store(tmp_path, clock=lambda: AT) as opened:
        assert budget.head(opened) == before.head
        reserve(opened, charge(1, [1], shared), CAP, before.head, AT)
        verify(opened)
        assert np.allclose(budget.spent(opened, 1), rdp(COST, 1) + rdp(shared, 1))


def test_a_store_restored_under_a_running_node_is_read_anew(store):
    reserve(store, charge(0, [1]), CAP, None, AT)

    def written_and_undone():
        with store.transaction() as tx:
            ledger.append(tx, ledger.Reserved(TASK, 9, "x", 1.0, 1.0, BitMap([2])), 0)
            assert budget.spent(store, 2).any()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        written_and_undone()
    assert not budget.spent(store, 2).any()
    assert budget.spent(store, 1).any()


def test_the_ledger_cannot_be_changed_through_sql(store, tmp_path):
    reserve(store, charge(0), CAP, None, AT)
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    for statement in (
        "UPDATE reservation SET noise_multiplier = 100",
        "DELETE FROM reservation",
        "PRAGMA recursive_triggers = 1; REPLACE INTO reservation SELECT * FROM reservation",
    ):
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            raw.executescript(statement)
    raw.close()
    assert verify(store).reservations == 1


def test_our_own_connection_cannot_replace_a_row_either(store):
    reserve(store, charge(0), CAP, None, AT)
    with pytest.raises(StoreError, match="its log is append-only"), store.transaction() as tx:
        tx.connection().exec_driver_sql("REPLACE INTO reservation SELECT * FROM reservation")
    assert verify(store).reservations == 1


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE reservation SET noise_multiplier = 100 WHERE number = 2",
        "UPDATE reservation SET people = (SELECT people FROM reservation WHERE number = 1) WHERE number = 2",
        "UPDATE reservation SET at = at + 1 WHERE number = 2",
        "UPDATE reservation SET attempt = 40 WHERE number = 2",
        "DELETE FROM reservation WHERE number = 2",
        "UPDATE reservation SET previous_hash = '0' WHERE number = 2",
    ],
)
def test_an_edited_file_is_found_and_nothing_can_be_charged_on_it(tmp_path, edit):
    with open_store(tmp_path, clock=lambda: AT) as store:
        people.person_numbers(store, "abc")
        for attempt in range(3):
            reserve(store, charge(attempt, range(attempt + 1)), CAP, None, AT)
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    raw.executescript(f"DROP TRIGGER reservation_no_update; DROP TRIGGER reservation_no_delete; {edit};")
    raw.close()
    with open_store(tmp_path, clock=lambda: AT) as store:
        before = rows(store)
        with pytest.raises(StoreError, match="entry 2 of the ledger is not what was written"):
            verify(store)
        with pytest.raises(StoreError, match="entry 2 of the ledger is not what was written"):
            reserve(store, charge(7, [0]), CAP, None, AT)
        assert rows(store) == before


def test_a_reservation_inside_a_transaction_is_refused_because_it_could_be_undone(store):
    with store.transaction(), pytest.raises(StoreError, match="must be on disk before it returns"):
        reserve(store, charge(0), CAP, None, AT)
    assert rows(store) == []


def test_the_table_shows_groups_with_the_same_history(store):
    reserve(store, charge(0, range(10)), CAP, None, AT)
    reserve(store, charge(1, range(5, 15)), CAP, None, AT)
    found = {tuple(group.people): group.charges for group in budget.table(store)}
    # Who was charged once is one group, whether by the first or by the second attempt.
    assert found == {(0, 1, 2, 3, 4, 10, 11, 12, 13, 14): 1, (5, 6, 7, 8, 9): 2}


costs = st.sampled_from([SampledGaussian(0.5, 2.0), SampledGaussian(1.0, 5.0), SampledGaussian(0.1, 1.0)])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(costs, st.sets(st.integers(0, 19))), max_size=8))
def test_groups_agree_with_adding_up_person_by_person(tmp_path_factory, charges):
    with open_store(tmp_path_factory.mktemp("node"), clock=lambda: AT) as store:
        people.person_numbers(store, [str(number) for number in range(20)])
        for attempt, (cost, who) in enumerate(charges):
            reserve(store, charge(attempt, who, cost), Cap(100, 1e-5), None, AT)
        for person in range(20):
            plain = sum((rdp(cost, 1) for cost, who in charges if person in who), np.zeros_like(rdp(COST, 1)))
            assert np.allclose(budget.spent(store, person), plain)


def test_an_order_of_many_groups_is_kept_small(store):
    for attempt in range(40):
        reserve(store, charge(attempt, [attempt % 20]), Cap(100, 1e-5), None, AT)
    assert epsilon_from_rdp(budget.spent(store, 3), 1e-5) == pytest.approx(epsilon(COST, 2, 1e-5))


def test_a_head_that_never_was_is_refused(store):
    with pytest.raises(LedgerRolledBack):
        reserve(store, charge(0), CAP, LedgerHead("f" * 64), AT)
