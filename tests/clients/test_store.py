"""The node's store: answers, tasks, imports, logs; and what happens when the disk says no."""

import json
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from pyroaring import BitMap
from sqlalchemy import Engine, event

from clients import consent, people
from clients.consent import ConsentStatement
from clients.store import Answered, Imported, open_store, verify
from federation.audit import leaf_hash, root
from federation.consent import ConsentState, Purpose
from federation.errors import ImportRejected, Refusal, Refused, StoreError
from federation.ids import TaskDigest

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TASK = TaskDigest("c" * 64)
TRAIN = Purpose.TRAIN_MOTION_MODELS


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, clock=lambda: NOW) as opened:
        yield opened


def answered(attempt=0, kind="train", blob=b"bytes", who=None, at=NOW):
    return Answered(TASK, 1, attempt, kind, blob, TRAIN, who, "d" * 64, at)


def everything(tmp_path):
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    try:
        return list(raw.iterdump())
    finally:
        raw.close()


def test_what_was_written_is_there_after_opening_again(tmp_path):
    with open_store(SimpleNamespace(path=tmp_path)) as store:
        store.set_paused(True)
        store.record_answer(answered())
    with open_store(tmp_path) as store:
        assert store.paused()
        assert store.stored_answer(TASK, 0, "train") == b"bytes"
        store.set_paused(False)
        assert not store.paused()


def test_both_files_can_be_read_by_their_owner_only(store, tmp_path):
    store.set_paused(True)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_an_attempt_is_answered_once_and_resent_word_for_word(store):
    assert store.stored_answer(TASK, 0, "train") is None
    store.record_answer(answered())
    with pytest.raises(Refused, match="was answered already") as refused:
        store.record_answer(answered(blob=b"other"))
    assert refused.value.code is Refusal.ATTEMPT_LOST
    assert store.stored_answer(TASK, 0, "train") == b"bytes"
    assert store.stored_answer(TASK, 0, "evaluate") is None
    assert len(store.audit_entries()) == 1


def test_old_answers_are_dropped_but_never_given_again(store):
    for attempt in range(4):
        store.record_answer(answered(attempt))
    assert store.stored_answer(TASK, 2, "train") == b"bytes"
    with pytest.raises(Refused, match="its bytes are not kept") as refused:
        store.stored_answer(TASK, 1, "train")
    assert refused.value.code is Refusal.ATTEMPT_LOST
    with pytest.raises(Refused, match="was answered already"):
        store.record_answer(answered(1))


def test_an_answer_its_activity_and_its_audit_entry_are_written_together(store, tmp_path, monkeypatch):
    before = everything(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("clients.store.audit_log.append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.record_answer(answered(who=BitMap([0])))
    assert everything(tmp_path) == before
    store.record_answer(answered(who=BitMap([0])))
    assert (len(store.activities()), len(store.audit_entries())) == (1, 1)


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_person_can_ask_which_rounds_used_their_data_under_which_consent(store):
    numbers = people.person_numbers(store, ["ann", "bob"])

    def said(notice, state=ConsentState.GIVEN, name="ann"):
        consent.record(
            store,
            ConsentStatement(
                person=numbers[name], purpose=TRAIN, state=state, at=NOW, notice_version=notice, adult=True
            ),
        )

    said("first")
    store.record_answer(answered(0, who=BitMap([numbers["ann"]])))
    said("", ConsentState.WITHDRAWN)
    store.record_answer(answered(1, who=BitMap([numbers["bob"]])))
    said("second", ConsentState.RENEWED)
    store.record_answer(answered(2, who=BitMap([numbers["ann"]])))
    store.record_answer(answered(0, "initialise"))
    used = store.activities_of(numbers["ann"])
    assert [(use.activity.attempt, use.consent.notice_version) for use in used] == [(0, "first"), (2, "second")]
    assert [use.consent for use in store.activities_of(numbers["bob"])] == [None]
    assert len(store.activities(TASK)) == 3


def test_a_task_is_accepted_until_it_is_left(store):
    signed = json.dumps({"manifest": {"name": "t"}, "signatures": []})
    assert store.accepted_task(TASK) is None
    store.accept_task(signed, TASK, NOW)
    accepted = store.accepted_task(TASK)
    assert (accepted.signed_json, accepted.manifest_json, accepted.accepted_at) == (signed, '{"name": "t"}', NOW)
    store.leave_task(TASK, NOW)
    assert store.accepted_task(TASK) is None
    assert [task.left_at for task in store.accepted_tasks()] == [NOW]
    store.accept_task(signed, TASK, NOW)
    assert store.accepted_task(TASK) is not None
    with pytest.raises(Refused, match="was never accepted here"):
        store.leave_task(TaskDigest("e" * 64), NOW)


def test_a_nonce_is_new_once_and_forgotten_only_after_its_message_expired(tmp_path):
    now = [NOW]
    with open_store(tmp_path, clock=lambda: now[0]) as store:
        expires = NOW + timedelta(minutes=5)
        assert [store.seen_nonce("a" * 32, expires), store.seen_nonce("a" * 32, expires)] == [False, True]
        now[0] = expires + timedelta(hours=23)
        assert store.seen_nonce("a" * 32, expires)
        now[0] = expires + timedelta(hours=25)
        store.seen_nonce("b" * 32, now[0])
        with store.reading() as tx:
            assert tx.connection().exec_driver_sql("SELECT nonce FROM nonce").fetchall() == [("b" * 32,)]


def imported(file="data/x/1", who=(0, 1), held_out=False, recordings=("1", "2"), workload="x"):
    return Imported(workload, file, 10, BitMap(who), "f" * 64, held_out, tuple(recordings))


def test_an_import_is_registered_with_its_people(store):
    store.add_dataset(imported())
    store.add_dataset(imported("data/y/1", workload="y"))
    assert [(data.file, list(data.people), data.rows, data.at) for data in store.datasets("x")] == [
        ("data/x/1", [0, 1], 10, NOW)
    ]
    assert len(store.datasets()) == 2
    assert store.known_recordings("x", ["1", "9"]) == {"1"}
    assert [entry.kind for entry in store.audit_entries()] == ["imported", "imported"]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (imported("b", recordings=("2", "3")), "1 of 2 recordings were imported before"),
        (imported("b", recordings=("3", "3")), "stands twice in this import"),
        (imported("b", who=(1, 2), held_out=True, recordings=("3",)), "1 people of this import have rows on the other"),
    ],
)
def test_an_import_that_would_spoil_the_data_is_refused_whole(store, tmp_path, second, why):
    store.add_dataset(imported())
    before = everything(tmp_path)
    with pytest.raises(ImportRejected, match=why):
        store.add_dataset(second)
    assert everything(tmp_path) == before


def test_a_removed_import_can_come_again(store):
    store.remove_dataset(store.add_dataset(imported()).number)
    assert store.datasets() == ()
    store.add_dataset(imported())


def test_people_and_their_import_are_registered_together(store):
    def failing():
        with store.transaction():
            who = people.person_numbers(store, ["ann"])
            store.add_dataset(imported(who=who.values()))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert (store.datasets(), people.everyone(store)) == ((), BitMap())


def test_the_audit_log_is_a_merkle_tree_whose_edits_are_found(store, tmp_path):
    store.audit("paused", {"why": "holiday"})
    store.audit("resumed", {})
    leaves = [entry.leaf for entry in store.audit_entries()]
    assert leaves[0] == leaf_hash(
        b'{"at":1777636800000000,"body":"{\\"why\\":\\"holiday\\"}","kind":"paused","number":1}'
    )
    assert len(root(leaves)) == 32
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    with pytest.raises(sqlite3.DatabaseError, match="append-only"):
        raw.execute("DELETE FROM audit_entry")
    raw.executescript("DROP TRIGGER audit_entry_no_delete; DELETE FROM audit_entry WHERE number = 1")
    raw.close()
    with pytest.raises(StoreError, match="entry 1 of the audit log is not what was written"):
        verify(store)


def test_a_database_locked_by_somebody_else_is_an_error_within_the_timeout(tmp_path):
    with open_store(tmp_path, busy_timeout_s=0.2) as store:
        other = sqlite3.connect(tmp_path / "node.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        before, start = everything(tmp_path), time.monotonic()
        with pytest.raises(StoreError, match=r"database is locked: another process .* nothing was written"):
            store.set_paused(True)
        assert time.monotonic() - start < 20
        assert not store.paused()  # readers wait for nobody
        other.execute("ROLLBACK")
        other.close()
        assert everything(tmp_path) == before
        store.set_paused(True)


def test_a_full_disk_is_an_error_and_nothing_is_half_written(store, tmp_path):
    store.record_answer(answered(0))
    before = everything(tmp_path)
    with store.reading() as tx:
        pages = tx.connection().exec_driver_sql("PRAGMA page_count").scalar()
        tx.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="disk is full; nothing was written"):
        store.record_answer(answered(1, blob=bytes(100_000)))
    assert everything(tmp_path) == before
    with store.reading() as tx:
        tx.connection().exec_driver_sql("PRAGMA max_page_count = 100000")
    store.record_answer(answered(1, blob=bytes(100_000)))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("PRAGMA user_version = 99", r"schema version 99; this Paceline knows version \d\. Install"),
        ("PRAGMA application_id = 7", "not this node's database"),
        ("PRAGMA journal_mode = DELETE", "not in WAL mode"),
    ],
)
@pytest.mark.parametrize("name", ["node.sqlite", "identities.sqlite"])
def test_a_file_of_another_kind_or_version_is_left_alone(tmp_path, name, damage, why):
    open_store(tmp_path).close()
    raw = sqlite3.connect(tmp_path / name)
    raw.execute(damage)
    raw.close()
    before = (tmp_path / name).read_bytes()
    with pytest.raises(StoreError, match=rf"{name} .*{why}"):
        open_store(tmp_path)
    assert (tmp_path / name).read_bytes() == before


def test_a_file_that_is_no_database_and_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "node.sqlite").write_bytes(b"hello" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match="there is no folder"):
        open_store(tmp_path / "nowhere")


def test_ctrl_c_in_a_statement_undoes_its_transaction_and_the_store_goes_on(store):
    def press(cursor, statement, parameters, context):
        raise KeyboardInterrupt

    event.listen(Engine, "do_execute", press)
    try:
        with pytest.raises(KeyboardInterrupt), store.transaction():
            people.person_numbers(store, ["ann"])
    finally:
        event.remove(Engine, "do_execute", press)
    assert people.known_numbers(store, ["ann"]) == {}
    assert people.person_numbers(store, ["ann"]).keys() == {"ann"}


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StoreError, match="store is closed"):
        store.paused()
    store.close()


def test_an_error_of_the_database_does_not_show_values(store):
    with pytest.raises(StoreError) as error, store.transaction() as tx:
        tx.connection().exec_driver_sql("INSERT INTO nonce VALUES (?, NULL)", ("secret",))
    assert "secret" not in str(error.value)


def test_threads_take_turns(store):
    threads = [threading.Thread(target=store.audit, args=("turn", {"who": number})) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(store).audit_entries == 8
