"""People: known here by number, erasable, and nobody's spent budget is lost with them."""

import shutil
import sqlite3
from datetime import UTC, datetime

import numpy as np
import pytest
from pyroaring import BitMap

from clients import budget, consent, erasure, people
from clients.consent import ConsentStatement
from clients.store import open_store, registry, verify
from federation.consent import ConsentState, Purpose
from federation.errors import BudgetExhausted, SchemaError, StoreError
from federation.ids import TaskDigest
from federation.roles import Step
from privacy.accounting import SampledGaussian, epsilon, rdp

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TRAIN = Purpose.TRAIN_MOTION_MODELS
COST = SampledGaussian(1.0, 3.0)
CAP = budget.Cap(50, 1e-5)


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, clock=lambda: NOW) as opened:
        yield opened


def spend(store, attempt, who, cap=CAP):
    charge = budget.Charge(TaskDigest("b" * 64), attempt, Step.TRAIN_ON_PEOPLE, COST, BitMap(who), 1000)
    return budget.reserve(store, charge, cap, None, NOW)


def given(person):
    return ConsentStatement(
        person=person,
        purpose=TRAIN,
        state=ConsentState.GIVEN,
        at=NOW,
        notice_version="1",
        adult=True,
        evidence=f"form number {person}",
    )


def test_a_person_has_one_number_however_it_is_spelled(store):
    ann = people.person_number(store, "Ann É")
    assert people.person_number(store, " Ann E\u0301 ") == ann
    assert people.find_person(store, "Ann É") == ann
    assert people.external_id(store, ann) == "Ann É"
    assert people.person_number(store, "ann é") != ann
    assert people.everyone(store) == BitMap([0, 1])


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "x" * 201, "two\nlines"])
def test_a_name_that_cannot_be_is_refused(store, name):
    with pytest.raises(SchemaError, match="expected 1 to 200 printable characters"):
        people.person_numbers(store, ["fine", name])
    assert people.everyone(store) == BitMap()


def test_nobody_is_made_by_looking(store):
    with pytest.raises(SchemaError, match="nobody is called 'zoe' here"):
        people.find_person(store, "zoe")
    assert people.known_numbers(store, ["zoe"]) == {}
    with pytest.raises(SchemaError, match="not known who person 0 is"):
        people.external_id(store, 0)


def test_an_erased_person_cannot_be_found_in_any_file_while_the_log_still_verifies(store, tmp_path):
    numbers = people.person_numbers(store, ["Ann Example", "bob"])
    consent.record_all(store, [given(numbers["Ann Example"]), given(numbers["bob"])])
    spend(store, 0, [0])
    with store.identities.reading() as ids:
        pseudonym = registry.pseudonyms(ids, ["Ann Example"])["Ann Example"].encode()
    before = verify(store)
    erasure.forget(store, BitMap([numbers["Ann Example"]]), NOW)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"bob" in content
    assert b"form number 1" in content
    assert not any(trace in content for trace in (b"Ann Example", b"form number 0", pseudonym))
    assert verify(store).reservations == before.reservations
    assert set(consent.eligible(store, TRAIN, NOW).people) == {numbers["bob"]}
    assert people.everyone(store) == BitMap([numbers["bob"]])


def test_what_is_deleted_from_the_identities_is_overwritten(store):
    with store.identities.reading() as ids:
        assert ids.connection().exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_a_person_who_comes_back_is_somebody_else_with_the_same_spent_budget(store):
    ann = people.person_number(store, "ann")
    spend(store, 0, [ann])
    erasure.forget(store, BitMap([ann]), NOW)
    again = people.person_number(store, "ann")
    assert again != ann
    assert np.allclose(budget.spent(store, again), rdp(COST, 1))
    spend(store, 1, [again])
    erasure.forget(store, BitMap([again]), NOW)
    third = people.person_number(store, "ann")
    assert np.allclose(budget.spent(store, third), rdp(COST, 2))
    with pytest.raises(BudgetExhausted):
        spend(store, 2, [third], budget.Cap(epsilon(COST, 3, 1e-5) - 1e-6, 1e-5))
    assert verify(store).reservations == 4


def test_nothing_is_kept_of_an_erased_person_who_spent_nothing(store):
    erasure.forget(store, BitMap([people.person_number(store, "ann")]), NOW)
    with store.identities.reading() as ids:
        assert ids.connection().exec_driver_sql("SELECT count(*) FROM remembered").scalar() == 0


def test_an_erasure_cut_off_between_the_two_databases_is_finished_at_the_next_sight(store, monkeypatch):
    ann = people.person_number(store, "ann")
    spend(store, 0, [ann])
    with monkeypatch.context() as patch:
        patch.setattr(people, "finish_erasures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            erasure.forget(store, BitMap([ann]), NOW)
    again = people.person_number(store, "ann")
    assert again != ann
    assert np.allclose(budget.spent(store, again), rdp(COST, 1))
    with pytest.raises(SchemaError):
        people.external_id(store, ann)


def test_an_erasure_that_could_not_be_scrubbed_is_scrubbed_at_the_next_sight(store, monkeypatch, tmp_path):
    ann = people.person_number(store, "Ann Example")
    with monkeypatch.context() as patch:
        patch.setattr(store.identities, "scrub", lambda: interrupted(store))
        with pytest.raises(KeyboardInterrupt):
            erasure.forget(store, BitMap([ann]), NOW)
    assert any(b"Ann Example" in path.read_bytes() for path in tmp_path.iterdir())
    people.person_number(store, "bob")
    assert not any(b"Ann Example" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("file", ["identities.sqlite", "node.sqlite"])
def test_an_erasure_is_not_finished_while_somebody_reads_what_was_there(tmp_path, file):
    with open_store(tmp_path, lambda: NOW, busy_timeout_s=0.05) as store:
        ann = people.person_number(store, "Ann Example")
        backup = sqlite3.connect(tmp_path / file, isolation_level=None)
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with pytest.raises(StoreError, match="another process reads"):
            erasure.forget(store, BitMap([ann]), NOW)
        backup.close()
        assert people.finish_erasures(store)
        assert not any(b"Ann Example" in path.read_bytes() for path in tmp_path.iterdir())


def interrupted(_store):
    raise KeyboardInterrupt


def test_an_erased_identity_that_comes_back_with_a_backup_is_erased_again(tmp_path):
    with open_store(tmp_path, clock=lambda: NOW) as store:
        ann = people.person_number(store, "ann")
        spend(store, 0, [ann])
    shutil.copy(tmp_path / "identities.sqlite", tmp_path / "backup")
    with open_store(tmp_path, clock=lambda: NOW) as store:
        erasure.forget(store, BitMap([ann]), NOW)
    shutil.copy(tmp_path / "backup", tmp_path / "identities.sqlite")
    with open_store(tmp_path, clock=lambda: NOW) as store:
        again = people.person_number(store, "ann")
        assert again != ann
        assert np.allclose(budget.spent(store, again), rdp(COST, 1))


def test_identities_of_a_transaction_that_failed_are_taken_up_again(store):
    def failing():
        with store.transaction():
            people.person_number(store, "ann")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert people.everyone(store) == BitMap()
    assert people.person_numbers(store, ["bob", "ann"]) == {"bob": 1, "ann": 0}


def test_numbers_are_never_given_twice(store):
    ann = people.person_number(store, "ann")
    erasure.forget(store, BitMap([ann]), NOW)
    assert people.person_number(store, "bob") > ann


def test_everything_about_a_person_can_be_listed_even_of_one_who_was_erased(store):
    ann = people.person_number(store, "ann")
    consent.record(store, given(ann))
    erasure.forget(store, BitMap([ann]), NOW)
    assert [event.state for event in consent.history(store, ann)] == ["given", "withdrawn"]
