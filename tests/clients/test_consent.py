"""Consent: the latest statement holds, what is unknown is refused."""

import sqlite3
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from clients import consent, people
from clients.consent import ConsentStatement
from clients.store import open_store, verify
from federation.consent import Actor, ConsentState, Purpose
from federation.errors import Refusal, Refused, StoreError
from federation.ids import PersonNumber, TaskDigest

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TRAIN, PUBLISH = Purpose.TRAIN_MOTION_MODELS, Purpose.PUBLISH_SCORES
GIVEN, WITHDRAWN = ConsentState.GIVEN, ConsentState.WITHDRAWN


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, clock=lambda: NOW) as opened:
        people.person_numbers(opened, ["ann", "bob", "cem"])
        yield opened


def said(person=0, state=GIVEN, purpose=TRAIN, at=NOW, **more):
    more.setdefault("adult", "born" not in more)
    return ConsentStatement(
        person=PersonNumber(person), purpose=purpose, state=state, at=at, notice_version="2026-1", **more
    )


def who(store, at=NOW, purpose=TRAIN, **more):
    return set(consent.eligible(store, purpose, at, **more).people)


def events(store):
    with store.reading() as tx:
        return tx.connection().exec_driver_sql("SELECT * FROM consent_event").fetchall()


def test_nobody_is_eligible_who_said_nothing(store):
    assert who(store) == set()


def test_a_given_consent_permits_its_purpose_only(store):
    consent.record(store, said(1))
    assert (who(store), who(store, purpose=PUBLISH)) == ({1}, set())


def test_withdrawn_person_is_left_out_of_the_next_step(store):
    consent.record_all(store, [said(0), said(1)])
    snapshot = consent.eligible(store, TRAIN, NOW)
    consent.record(store, said(1, WITHDRAWN))
    assert set(snapshot.people) == {0, 1}
    assert set(consent.permitted(store, TRAIN, NOW, snapshot.people)) == {0}


def test_a_withdrawal_by_another_process_is_seen_at_once(store, tmp_path):
    consent.record(store, said(0))
    assert who(store) == {0}
    with open_store(tmp_path, clock=lambda: NOW) as desk:
        consent.record(desk, said(0, WITHDRAWN))
    assert consent.permitted(store, TRAIN, NOW, BitMap([0])) == BitMap()


def test_what_was_undone_with_its_transaction_permits_nothing(store):
    def undone():
        with store.transaction():
            consent.record(store, said(0))
            assert who(store) == {0}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        undone()
    assert who(store) == set()


@pytest.mark.parametrize("state", [state for state in ConsentState if state not in {GIVEN, ConsentState.RENEWED}])
def test_only_given_and_renewed_permit(store, state):
    consent.record(store, said(0))
    consent.record(store, said(0, state))
    assert who(store) == set()
    consent.record(store, said(0, ConsentState.RENEWED))
    assert who(store) == {0}


def test_consent_holds_within_its_time_only(store):
    day = timedelta(days=1)
    consent.record(store, said(0, valid_from=NOW + day, valid_until=NOW + 2 * day))
    moments = [NOW, NOW + day - timedelta(microseconds=1), NOW + day, NOW + 2 * day - timedelta(microseconds=1)]
    assert [who(store, moment) for moment in moments] == [set(), set(), {0}, {0}]
    assert who(store, NOW + 2 * day) == set()


def test_consent_never_reaches_back_before_it_was_given(store):
    consent.record(store, said(0, valid_from=NOW - timedelta(days=300)))
    assert who(store, NOW - timedelta(seconds=1)) == set()


SIXTEEN_TODAY, SIXTEEN_TOMORROW = date(2010, 5, 1), date(2010, 5, 2)


def test_a_minor_needs_a_guardian(store):
    with pytest.raises(Refused, match="under 16: a guardian has to state it") as refused:
        consent.record(store, said(0, born=SIXTEEN_TOMORROW))
    assert refused.value.code is Refusal.NO_CONSENT
    assert (events(store), who(store)) == ([], set())
    consent.record(store, said(0, born=SIXTEEN_TOMORROW, actor=Actor.GUARDIAN))
    consent.record(store, said(1, born=SIXTEEN_TODAY))
    assert who(store) == {0, 1}


def test_an_adult_states_for_themself(store):
    for age in ({"born": SIXTEEN_TODAY}, {"adult": True}):
        with pytest.raises(Refused, match="nobody else can permit for them"):
            consent.record(store, said(0, actor=Actor.GUARDIAN, **age))
    assert events(store) == []


def test_an_unknown_age_counts_as_that_of_a_minor(store):
    with pytest.raises(Refused, match="age is unknown: give the date of birth"):
        consent.record(store, said(0, adult=False))
    consent.record(store, said(0, adult=False, actor=Actor.GUARDIAN))
    assert who(store) == {0}


def test_a_minor_can_withdraw_what_a_guardian_gave(store):
    consent.record(store, said(0, born=SIXTEEN_TOMORROW, actor=Actor.GUARDIAN))
    consent.record(store, said(0, WITHDRAWN, adult=False))
    assert who(store) == set()


def test_a_date_of_birth_is_remembered_and_cannot_be_swapped_for_a_better_one(store):
    consent.record(store, said(0, born=SIXTEEN_TOMORROW, actor=Actor.GUARDIAN))
    with pytest.raises(Refused, match="under 16"):
        consent.record(store, said(0, adult=True))
    with pytest.raises(Refused, match="another date of birth"):
        consent.record(store, said(0, born=date(1990, 1, 1)))
    assert len(events(store)) == 1


def test_who_turns_out_to_be_a_minor_loses_what_they_permitted_alone(store):
    consent.record(store, said(0, purpose=PUBLISH))
    consent.record(store, said(0, born=SIXTEEN_TOMORROW, actor=Actor.GUARDIAN))
    assert (who(store), who(store, purpose=PUBLISH)) == ({0}, set())
    assert [event.state for event in consent.history(store, PersonNumber(0))] == ["given", "invalidated", "given"]


def test_a_raised_age_of_consent_also_holds_for_older_statements(store):
    consent.record(store, said(0))
    consent.record(store, said(1), age_of_consent_years=18)
    consent.record(store, said(2, adult=False, actor=Actor.GUARDIAN))
    assert who(store, age_of_consent_years=18) == {1, 2}
    assert who(store) == {0, 1, 2}


def test_an_old_form_cannot_undo_a_later_withdrawal(store):
    consent.record(store, said(0, at=NOW - timedelta(days=9)))
    consent.record(store, said(0, WITHDRAWN, at=NOW - timedelta(days=1)))
    with pytest.raises(Refused, match="before one that is recorded already"):
        consent.record(store, said(0, at=NOW - timedelta(days=2)))
    assert who(store) == set()


def test_a_late_withdrawal_holds_whatever_its_date(store):
    consent.record(store, said(0))
    consent.record(store, said(0, WITHDRAWN, at=NOW - timedelta(days=2)))
    assert who(store) == set()
    with pytest.raises(Refused, match="before one that is recorded already"):
        consent.record(store, said(0, at=NOW - timedelta(days=3)))


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (said(9), "knows no such person"),
        (said(0, at=NOW + timedelta(minutes=5)), "in the future; check the clock"),
        (said(0, valid_until=NOW), "before it begins"),
        (said(0, born=date(2030, 1, 1)), "date of birth is in the future"),
    ],
)
def test_what_cannot_be_is_not_recorded_with_anything_beside_it(store, statement, why):
    with pytest.raises(Refused, match=why):
        consent.record_all(store, [said(1), statement])
    assert (events(store), who(store)) == ([], set())


def test_a_moment_without_time_zone_is_refused():
    with pytest.raises(StoreError, match="without a time zone"):
        said(0, at=datetime(2026, 5, 1))


def test_the_digest_commits_to_task_purpose_moment_and_people_under_a_key(store, tmp_path):
    consent.record(store, said(0))
    snapshot = consent.eligible(store, TRAIN, NOW)
    later = consent.eligible(store, TRAIN, NOW + timedelta(seconds=1))
    task = consent.eligible(store, TRAIN, NOW, TaskDigest("a" * 64))
    consent.record(store, said(1))
    more = consent.eligible(store, TRAIN, NOW)
    digests = {made.digest for made in (snapshot, later, task, more)}
    assert len(digests) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
    assert consent.commitment(store, snapshot) == snapshot.digest
    (tmp_path / "other").mkdir()
    with open_store(tmp_path / "other") as other:
        assert consent.commitment(other, snapshot) != snapshot.digest


def test_a_snapshot_does_not_show_who_is_in_it(store):
    consent.record(store, said(2))
    assert "BitMap" not in repr(consent.eligible(store, TRAIN, NOW))


def test_the_log_cannot_be_changed_and_an_edited_file_is_found(store, tmp_path):
    consent.record_all(store, [said(0), said(1), said(0, WITHDRAWN)])
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    for statement in ("DELETE FROM consent_event", "UPDATE consent_event SET state = 'given'"):
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            raw.execute(statement)
    raw.executescript("DROP TRIGGER consent_event_no_update; UPDATE consent_event SET at = at - 1 WHERE sequence = 3")
    raw.close()
    with pytest.raises(StoreError, match="entry 3 of the log of consent is not what was written"):
        verify(store)


def test_no_identity_and_no_evidence_is_in_the_log(store, tmp_path):
    consent.record(store, said(0, born=date(1990, 4, 3), evidence="signed by Ann Example, drawer 7"))
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("node.sqlite*"))
    assert not any(secret in content for secret in (b"Example", b"ann", b"1990"))


moves = st.tuples(st.integers(0, 2), st.sampled_from([TRAIN, PUBLISH]), st.sampled_from([GIVEN, WITHDRAWN]))


@settings(max_examples=20, deadline=None)
@given(st.lists(moves, max_size=12), st.integers(0, 12))
def test_the_index_agrees_with_reading_the_log(tmp_path_factory, said_so, cut):
    with open_store(tmp_path_factory.mktemp("node"), clock=lambda: NOW) as store:
        people.person_numbers(store, ["ann", "bob", "cem"])
        for part in (said_so[:cut], said_so[cut:]):
            consent.record_all(store, [said(person, state, purpose) for person, purpose, state in part])
        latest = {(person, purpose): state for person, purpose, state in said_so}
        for purpose in (TRAIN, PUBLISH):
            plain = {person for (person, about), state in latest.items() if about is purpose and state is GIVEN}
            assert who(store, purpose=purpose) == plain
            assert set(consent.permitted(store, purpose, NOW, BitMap([0, 2, 7]))) == plain & {0, 2}
