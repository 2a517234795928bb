"""What the coordinator remembers, on every kind of database."""

import hashlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from federation import audit
from federation.consent import Purpose
from federation.errors import ManifestError, StoreError
from federation.ids import Fingerprint, LedgerHead, PartyId, TaskDigest
from federation.manifest import Manifest, Member, WorkloadPin
from federation.roles import Role
from federation.terms import ExchangeTerms, TrainingTerms, Unprotected
from server.store import (
    EvaluationRecord,
    PartyRound,
    RoundRecord,
    ServerStore,
    TaskState,
    Traffic,
    memory_store,
    open_url,
    tables,
)
from server.store.database import connect
from server.store.open import migrate

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CITY, HILL = PartyId("city"), PartyId("hill")


def manifest(name: str = "pace") -> Manifest:
    return Manifest(
        name=name,
        title="x",
        workload=WorkloadPin(name="running_pace", version=1, digest="a" * 64),
        purpose=Purpose.TRAIN_MOTION_MODELS,
        rounds=3,
        privacy=Unprotected(unit="none"),
        training=TrainingTerms(learning_rate=0.1),
        exchange=ExchangeTerms(min_parties=1),
        cohort=(Member(party=CITY, name="City", role=Role.DATA_PROVIDER, fingerprint=Fingerprint("b" * 64), people=9),),
        coordinator=Fingerprint("c" * 64),
        issued_at=AT,
        expires_at=AT + timedelta(days=1),
    )


@pytest.fixture(params=["memory", "file", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "sqlite://"
    if request.param == "file":
        return f"sqlite:///{tmp_path}/c.sqlite"
    new_database: Callable[[], str] = request.getfixturevalue("postgresql")
    return new_database()


@pytest.fixture
def store(url: str) -> Iterator[ServerStore]:
    store = open_url(url, lambda: AT)
    yield store
    store.close()


@pytest.fixture
def task(store: ServerStore) -> TaskDigest:
    return store.add_task(manifest()).digest


def record(task: TaskDigest, round: int, attempt: int) -> RoundRecord:
    return RoundRecord(
        task=task,
        round=round,
        attempt=attempt,
        model=b"weights %d" % round,
        parties=(
            PartyRound(CITY, "answered", bytes_up=5, bytes_down=7, seconds=0.5, snapshot="d" * 64),
            PartyRound(HILL, "refused", "paused", bytes_down=7),
        ),
        shrink=0.5,
        seconds=1.5,
        heads={CITY: LedgerHead("e" * 64)},
    )


def everything(store: ServerStore, task: TaskDigest) -> list[object]:
    """All that a failed call must leave as it was."""
    return [
        store.rounds(task),
        store.latest_model(task),
        store.attempts(task),
        store.party_rounds(task),
        store.heads(),
        store.audit_entries(),
    ]


def begin(store: ServerStore, task: TaskDigest, round: int, kind: str = "train") -> int:
    return store.begin_attempt(task, kind, round, "f" * 64, b"request")


def test_the_migrations_make_exactly_the_tables_of_the_code(store: ServerStore) -> None:
    with store.transaction() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, tables.METADATA) == []


def test_a_committed_round_holds_everything_at_once(store: ServerStore, task: TaskDigest) -> None:
    store.commit_initial(task, b"first")
    digest = store.commit_round(record(task, 1, begin(store, task, 1)))
    latest = store.latest_model(task)
    assert latest is not None
    assert (latest.round, latest.digest, latest.data) == (1, digest, b"weights 1")
    row = store.rounds(task)[1]
    assert (row.parties, row.shrink, row.bytes_up, row.bytes_down) == ((CITY,), 0.5, 5, 14)
    assert store.heads() == {CITY: "e" * 64}
    assert store.open_attempt(task, "train") is None
    assert [(item.party, item.code, item.round) for item in store.refusals(task)] == [(HILL, "paused", 1)]
    assert store.audit_entries()[-1].kind == "round"


def test_a_rounds_bytes_are_those_of_all_its_questions_but_scores(store: ServerStore, task: TaskDigest) -> None:
    store.commit_initial(task, b"first")
    asked = (PartyRound(CITY, "answered", bytes_up=11, bytes_down=100),)
    for kind in ("prepare", "agree", "unmask", "evaluate"):
        store.close_attempt(task, kind, begin(store, task, 1, kind), asked)
    failed = (PartyRound(CITY, "late", bytes_down=50), PartyRound(HILL, "answered", bytes_up=9, bytes_down=50))
    store.fail_attempt(task, "train", begin(store, task, 1), {CITY: "late"}, failed)
    store.commit_round(record(task, 1, begin(store, task, 1)))
    store.close_attempt(task, "prepare", begin(store, task, 2, "prepare"), asked)
    assert (store.last_round(task).bytes_up, store.last_round(task).bytes_down) == (3 * 11 + 9 + 5, 300 + 100 + 14)
    first, second = Traffic(up=47, down=414, asked=4, answered=2), Traffic(up=11, down=100)
    assert store.traffic(task) == {1: first, 2: second}
    assert store.traffic(task, since_round=2) == {2: second}


def remembering(task: TaskDigest, round: int, attempt: int) -> RoundRecord:
    return replace(record(task, round, attempt), memory=b"memory %d" % round)


def test_the_optimisers_memory_is_committed_with_its_round(store: ServerStore, task: TaskDigest) -> None:
    store.commit_initial(task, b"first")
    assert latest_memory(store, task) == b""
    for round in (1, 2):
        store.commit_round(remembering(task, round, begin(store, task, round)))
        assert latest_memory(store, task) == b"memory %d" % round
    with pytest.raises(StoreError, match="cannot follow round 2"):
        store.commit_round(remembering(task, 2, begin(store, task, 2)))
    assert latest_memory(store, task) == b"memory 2"


def test_a_round_that_leaves_nothing_to_remember_deletes_what_was_remembered(
    store: ServerStore, task: TaskDigest
) -> None:
    store.commit_initial(task, b"first")
    store.commit_round(remembering(task, 1, begin(store, task, 1)))
    store.commit_round(record(task, 2, begin(store, task, 2)))
    assert latest_memory(store, task) == b""
    with store.reading() as session:
        assert session.get(tables.MemoryTable, task) is None


@pytest.mark.parametrize(
    ("change", "found"),
    [("DELETE FROM optimiser_memory", "missing"), ("UPDATE optimiser_memory SET data = {}", "damaged")],
)
def test_a_memory_that_is_not_the_rounds_own_is_found(
    store: ServerStore, task: TaskDigest, change: str, found: str
) -> None:
    store.commit_initial(task, b"first")
    store.commit_round(remembering(task, 1, begin(store, task, 1)))
    with store.transaction() as session:
        connection = session.connection()
        value = "CAST('memory 0' AS BLOB)" if connection.dialect.name == "sqlite" else "'memory 0'"
        connection.exec_driver_sql(change.format(value))
    with pytest.raises(StoreError, match=f"optimiser remembers of round 1 is {found}"):
        store.latest_model(task)


def latest_memory(store: ServerStore, task: TaskDigest) -> bytes:
    latest = store.latest_model(task)
    assert latest is not None
    return latest.memory


def test_a_database_of_the_first_version_keeps_its_rounds(url: str) -> None:
    if url == "sqlite://":
        pytest.skip("gone once it is closed")
    engine = connect(url)
    with engine.begin() as connection:
        migrate(connection, "r0001")
        for statement in A_ROUND_OF_THE_FIRST_VERSION:
            connection.execute(text(statement), {"task": "a" * 64, "at": AT.replace(tzinfo=None), "data": b"first"})
    engine.dispose()
    with open_url(url) as store:
        latest = store.latest_model(TaskDigest("a" * 64))
        assert latest is not None
        assert (latest.round, latest.data, latest.memory) == (0, b"first", b"")


A_ROUND_OF_THE_FIRST_VERSION = (
    "INSERT INTO task (digest, name, manifest_json, state, message, created_at) "
    "VALUES (:task, 'pace', '{}', 'running', '', :at)",
    f"INSERT INTO model (digest, data) VALUES ('{hashlib.sha256(b'first').hexdigest()}', :data)",
    "INSERT INTO round (task, round, model, parties, shrink, seconds, bytes_up, bytes_down, committed_at) "
    f"VALUES (:task, 0, '{hashlib.sha256(b'first').hexdigest()}', '[]', 1, 0, 0, 0, :at)",
)


@pytest.mark.parametrize("round", [0, 1, 3, -1])
def test_a_round_that_does_not_follow_is_refused_and_changes_nothing(
    store: ServerStore, task: TaskDigest, round: int
) -> None:
    store.commit_initial(task, b"first")
    store.commit_round(record(task, 1, begin(store, task, 1)))
    attempt = begin(store, task, 2)
    before = everything(store, task)
    with pytest.raises(StoreError, match="cannot follow round 1; nothing was applied"):
        store.commit_round(record(task, round, attempt))
    assert everything(store, task) == before


def test_a_round_before_the_first_weights_is_refused(store: ServerStore, task: TaskDigest) -> None:
    attempt = begin(store, task, 1)
    with pytest.raises(StoreError, match="cannot follow round None"):
        store.commit_round(record(task, 1, attempt))
    assert store.latest_model(task) is None


def test_an_attempt_is_committed_once_and_for_its_own_round(store: ServerStore, task: TaskDigest) -> None:
    store.commit_initial(task, b"first")
    attempt = begin(store, task, 1)
    store.commit_round(record(task, 1, attempt))
    before = everything(store, task)
    with pytest.raises(StoreError, match="attempt 0 is committed, not open"):
        store.commit_round(record(task, 2, attempt))
    with pytest.raises(StoreError, match="attempt 9 is unknown, not open"):
        store.commit_round(record(task, 2, 9))
    assert everything(store, task) == before
    with pytest.raises(StoreError, match="begun for round 7, not 2"):
        store.commit_round(record(task, 2, begin(store, task, 7)))
    assert store.rounds(task)[-1].round == 1


def test_the_first_weights_are_never_replaced(store: ServerStore, task: TaskDigest) -> None:
    store.commit_initial(task, b"first")
    with pytest.raises(StoreError, match="never replaced"):
        store.commit_initial(task, b"other")
    latest = store.latest_model(task)
    assert latest is not None
    assert latest.data == b"first"


def test_attempt_numbers_count_over_the_whole_task_and_per_kind(store: ServerStore, task: TaskDigest) -> None:
    assert store.next_attempt(task, "train") == begin(store, task, 1) == 0
    with pytest.raises(StoreError, match="attempt of this task is open"):
        begin(store, task, 1)
    opened = store.open_attempt(task, "train")
    assert opened is not None
    assert (opened.number, opened.round, opened.request) == (0, 1, b"request")
    store.fail_attempt(task, "train", 0, {"city": "too late"}, [PartyRound(CITY, "late")])
    assert store.last_reasons(task) == {"city": "too late"}
    assert store.next_attempt(task, "train") == begin(store, task, 1) == 1
    assert begin(store, task, 1, "evaluate") == 0
    store.close_attempt(task, "evaluate", 0)
    with pytest.raises(StoreError, match="is failed, not open"):
        store.fail_attempt(task, "train", 0, {})


def test_weights_that_were_changed_on_disk_are_found(store: ServerStore, task: TaskDigest) -> None:
    digest = store.commit_initial(task, b"first")
    with store.transaction() as session:
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER model_no_update")
        else:
            connection.exec_driver_sql("ALTER TABLE model DISABLE TRIGGER ALL")
        value = "CAST('other' AS BLOB)" if connection.dialect.name == "sqlite" else "'other'"
        connection.exec_driver_sql(f"UPDATE model SET data = {value}")
    with pytest.raises(StoreError, match="damaged"):
        store.latest_model(task)
    with pytest.raises(StoreError, match="missing"):
        store.model("0" * 64)
    assert len(digest) == 64


@pytest.mark.parametrize("table", ["audit_entry", "evaluation", "model", "party_round", "round"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET {} = {}"])
def test_what_is_recorded_can_never_be_changed(store: ServerStore, task: TaskDigest, table: str, change: str) -> None:
    store.commit_initial(task, b"first")
    store.commit_round(record(task, 1, begin(store, task, 1)))
    store.record_evaluation(EvaluationRecord(task, 1, CITY, "published", 2, {"rows": 4.0}, {"accuracy": 0.5}))
    column = {"audit_entry": "kind", "model": "digest"}.get(table, "task")
    statement = change.format(table, column, column)
    with pytest.raises(StoreError, match="never changed"), store.transaction() as session:
        session.connection().exec_driver_sql(statement)


def test_scores_are_recorded_once_per_party_and_round(store: ServerStore, task: TaskDigest) -> None:
    scores = EvaluationRecord(task, 1, CITY, "published", 2, {"rows": 4.0}, {"accuracy": 0.5})
    store.record_evaluation(scores)
    with pytest.raises(StoreError, match="contradicting entry"):
        store.record_evaluation(scores)
    assert [dict(item.summary) for item in store.evaluations(task)] == [{"accuracy": 0.5}]


def test_a_task_is_found_by_name_and_by_digest(store: ServerStore, task: TaskDigest) -> None:
    assert store.task("pace") == store.task(task)
    with pytest.raises(ManifestError, match="no task 'other' here"):
        store.task("other")


def test_a_task_moves_only_along_its_life(store: ServerStore, task: TaskDigest) -> None:
    with pytest.raises(StoreError, match="is draft and cannot become running"):
        store.set_task_state("pace", TaskState.RUNNING)
    with pytest.raises(StoreError, match="is draft and cannot become completed"):
        store.set_task_state("pace", TaskState.COMPLETED)
    assert store.task(task).state is TaskState.DRAFT


def test_the_log_has_no_gaps_and_its_leaves_are_those_of_its_entries(store: ServerStore) -> None:
    for number in range(5):
        assert store.audit("tried", {"n": number}) == number
    entries = store.audit_entries()
    assert [entry.number for entry in entries] == list(range(store.audit_size()))
    assert all(audit.leaf_hash(entry.body.encode()).hex() == entry.leaf for entry in entries)


def test_a_nonce_works_once_until_its_window_has_passed(url: str) -> None:
    now = [AT]
    with open_url(url, lambda: now[0]) as store:
        assert store.spend_nonce("n", timedelta(seconds=600))
        assert not store.spend_nonce("n", timedelta(seconds=600))
        now[0] += timedelta(seconds=601)
        assert store.spend_nonce("n", timedelta(seconds=600))


def test_moments_come_back_as_they_went_in(url: str) -> None:
    moment = datetime(2026, 7, 1, 14, 30, 0, 123456, tzinfo=UTC)
    with open_url(url, lambda: moment) as store:
        assert store.add_task(manifest()).created_at == moment
        assert store.task("pace").created_at == moment


def test_two_processes_that_commit_at_once_apply_a_round_once(store: ServerStore, task: TaskDigest, url: str) -> None:
    store.commit_initial(task, b"first")
    attempt = begin(store, task, 1)
    outcomes: list[str] = []

    def commit() -> None:
        try:
            store.commit_round(record(task, 1, attempt))
            outcomes.append("done")
        except StoreError:
            outcomes.append("refused")

    if url == "sqlite://":
        pytest.skip("one connection only")
    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused", "refused", "refused"]
    assert [row.round for row in store.rounds(task)] == [0, 1]


def test_two_stores_take_different_numbers_of_the_log(url: str) -> None:
    if url == "sqlite://":
        pytest.skip("one connection only")
    with open_url(url) as first, open_url(url) as second:
        threads = [threading.Thread(target=lambda s=s: [s.audit("x", {}) for _ in range(10)]) for s in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [entry.number for entry in first.audit_entries()] == list(range(20))


COMMIT_FOR_EVER = """
import sys
from server.store import PartyRound, RoundRecord, open_url
store = open_url(sys.argv[1])
task = store.task("pace").digest
while True:
    round = store.latest_model(task).round + 1
    opened = store.open_attempt(task, "train")
    attempt = opened.number if opened else store.begin_attempt(task, "train", round, "f" * 64, b"request")
    parties = (PartyRound("city", "answered"), PartyRound("hill", "refused"))
    store.commit_round(RoundRecord(task, round, attempt, b"weights %d" % round, parties, 1.0, 1.0))
"""


def test_killed_at_any_instant_no_round_is_lost_or_half_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.sqlite"
    store = open_url(url)
    task = store.add_task(manifest()).digest
    store.commit_initial(task, b"first")
    seen = 1
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", COMMIT_FOR_EVER, url])
        while len(store.rounds(task)) < seen + 3:
            assert process.poll() is None
            time.sleep(0.001)
        committed = len(store.rounds(task))
        process.kill()
        process.wait()
        rounds = store.rounds(task)
        assert len(rounds) >= committed
        assert [row.round for row in rounds] == list(range(len(rounds)))
        assert [row.attempt for row in rounds[1:]] == list(range(len(rounds) - 1))
        assert len(store.party_rounds(task)) == 2 * (len(rounds) - 1)
        seen = len(rounds)
    store.close()


def test_a_locked_database_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.store import database

    monkeypatch.setattr(database, "PRAGMAS", ("PRAGMA busy_timeout=50",))
    with open_url(f"sqlite:///{tmp_path}/c.sqlite") as store:
        other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked by another process.*Nothing was written"):
            store.audit("x", {})
        other.execute("ROLLBACK")
        other.close()
        assert store.audit_entries() == []


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path) -> None:
    with open_url(f"sqlite:///{tmp_path}/c.sqlite") as store:
        task = store.add_task(manifest()).digest
        with store.transaction() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count=1")
        with pytest.raises(StoreError, match="disk of the database is full"):
            store.commit_initial(task, bytes(2**20))
        assert store.latest_model(task) is None


def test_a_damaged_or_newer_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="damaged"):
        open_url(f"sqlite:///{tmp_path}/damaged.sqlite")
    with open_url(f"sqlite:///{tmp_path}/newer.sqlite") as store, store.transaction() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = 'r9999'")
    with pytest.raises(StoreError, match="newer paceline"):
        open_url(f"sqlite:///{tmp_path}/newer.sqlite")


@pytest.mark.parametrize("url", ["nonsense", "mysql+nothing://x", "sqlite:////no/such/folder/x.sqlite"])
def test_a_url_that_cannot_be_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(StoreError):
        open_url(url)


def test_a_password_in_the_url_does_not_show() -> None:
    with pytest.raises(StoreError) as caught:
        open_url("postgresql+psycopg://me:sesame@127.0.0.1:1/x?connect_timeout=1")
    assert "sesame" not in str(caught.value)


def test_sqlite_is_durable(tmp_path: Path) -> None:
    with open_url(f"sqlite:///{tmp_path}/c.sqlite") as store, store.reading() as session:
        ask = session.connection().exec_driver_sql
        assert ask("PRAGMA journal_mode").scalar_one() == "wal"
        assert ask("PRAGMA synchronous").scalar_one() == 2
        assert ask("PRAGMA foreign_keys").scalar_one() == 1


def test_a_memory_store_needs_no_file() -> None:
    with memory_store() as store:
        assert store.tasks() == []
