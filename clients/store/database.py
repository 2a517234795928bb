"""One SQLite file, opened so that several processes and a crash at any moment do no harm.

Write-ahead log, ``synchronous = FULL`` (a commit is on the disk), ``BEGIN IMMEDIATE`` for writes, a busy timeout,
foreign keys. Whatever SQLite or SQLAlchemy raise becomes a `StoreError` that says what to do.
"""

import os
import secrets
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, MetaData, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, create_engine

from clients.store.prepared import Prepared, Value
from federation.errors import StoreError


class Transaction(Session):
    """What is read and written in one transaction; made by a `Database` only.

    Prepared statements go straight to the driver, ten times faster than the rest of what a `Session` can do; both
    see one another's rows, and none of it is written before the other. Used again for the next one: making a `Session`
    takes longer than most of what is done in it.
    """

    def __init__(self, engine: Engine, raw: sqlite3.Connection) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._raw = raw

    def rows(self, statement: Prepared, **values: Value) -> list[Any]:
        """What a prepared statement finds, as tuples; nothing for one that writes."""
        if self.in_transaction():  # more than prepared statements was asked of it
            self.flush()
        return self._raw.execute(statement.text, {**statement.constants, **values}).fetchall()

    def first(self, statement: Prepared, **values: Value) -> Any | None:
        """The first row, a tuple, or None."""
        found = self.rows(statement, **values)
        return found[0] if found else None


@dataclass(frozen=True)
class Layout:
    """What a file must hold: tables, triggers, keys in its table ``secret``, marks in its header.

    `erases`: deleted content is overwritten. A version differs from the one before by tables, or by columns
    that may be empty, which it adds.
    """

    metadata: MetaData
    triggers: Sequence[str]
    keys: Sequence[str]
    application_id: int
    version: int
    erases: bool = False


class Database:
    """An open file; one connection, used by one thread at a time."""

    def __init__(self, path: Path, layout: Layout, busy_timeout_s: float) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._session: Transaction | None = None
        with translated(path):
            if not path.exists():
                _create(path, layout)
            self._raw = _connect(path, layout, busy_timeout_s)
            try:
                _add_tables(self._raw, path, layout)
                _require_layout(self._raw, path, layout)
            except BaseException:
                self._raw.close()
                raise
        self._engine = create_engine("sqlite://", creator=lambda: self._raw, poolclass=StaticPool)
        event.listen(self._engine, "handle_error", _keep_connection)
        self._engine.connect().close()  # SQLAlchemy's first look at a database ends with a rollback: not inside of ours
        self._spare = Transaction(self._engine, self._raw)
        self._undone = 0

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything inside is written at its end, or nothing is. Inside another one it joins that one."""
        with self._begun("BEGIN IMMEDIATE") as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One consistent view of the file; waits for nobody."""
        with self._begun("BEGIN") as session:
            yield session

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open here, so that what is written now may still be undone."""
        return self._session is not None

    def version(self) -> tuple[int, int, int]:
        """Inside a transaction: another one than before if anybody wrote, or something was undone, in between."""
        (by_others,) = self._raw.execute("PRAGMA data_version").fetchone()
        return by_others, self._raw.total_changes, self._undone

    def empty_log(self) -> bool:
        """Move what is in the log into the file, so that deleted content is in neither; False while others read it."""
        with self._lock, translated(self.path):
            ((busy, _, _),) = self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return not busy

    def scrub(self) -> bool:
        """Remove deleted content from the file and its log for good; False while others read it."""
        with self._lock, translated(self.path):
            self._raw.execute("VACUUM").fetchall()
            return self.empty_log()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._lock, translated(self.path):
            self._engine.dispose()
            self._raw.close()

    @contextmanager
    def _begun(self, how: str) -> Iterator[Transaction]:
        with self._lock, translated(self.path):
            if self._session is not None:
                yield self._session
                return
            # The driver is in autocommit mode, so that nothing but this line decides how a transaction begins.
            self._raw.execute(how)
            self._session = self._spare
            try:
                yield self._spare
                if self._spare.in_transaction():
                    self._spare.commit()
                self._raw.commit()
            except BaseException:
                self._undone += 1
                self._raw.rollback()
                raise
            finally:
                self._session = None
                if self._spare.in_transaction() or self._spare.identity_map:
                    self._spare.close()


def _keep_connection(context: ExceptionContext) -> None:
    """Ctrl-C in a statement makes SQLAlchemy close the connection; that of a file can still roll back."""
    context.is_disconnect = False


def _create(path: Path, layout: Layout) -> None:
    """Make the file aside and move it into place whole, so that nobody ever opens one that is half made."""
    if not path.parent.is_dir():
        raise StoreError(f"there is no folder {path.parent}; expected a node's folder. Check --dir.")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        _write_schema(new, layout)
        with suppress(FileExistsError):  # another process was faster; its file is as good
            os.link(new, path)
        _persist_name(path)
    except OSError as error:
        raise StoreError(f"{path.name} cannot be made in {path.parent}: {error.strerror}. Check the disk.") from error
    finally:
        for leftover in path.parent.glob(f"{new.name}*"):
            leftover.unlink(missing_ok=True)


def _persist_name(path: Path) -> None:
    """A file whose name is lost when the power fails would come back as an empty ledger."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_schema(new: Path, layout: Layout) -> None:
    engine = create_engine(f"sqlite:///{new}")
    with engine.connect() as connection:
        # The mode is stored in the file: set before a second process can see it, else "database is locked".
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("BEGIN")
        layout.metadata.create_all(connection)
        for trigger in layout.triggers:
            connection.exec_driver_sql(trigger)
        for name in layout.keys:
            connection.exec_driver_sql("INSERT INTO secret VALUES (?, ?)", (name, secrets.token_hex(32)))
        connection.exec_driver_sql(f"PRAGMA application_id = {layout.application_id}")
        connection.exec_driver_sql(f"PRAGMA user_version = {layout.version}")
        connection.commit()
        # Closing would move it all into the file, too, but says nothing where the disk is full.
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _connect(path: Path, layout: Layout, busy_timeout_s: float) -> sqlite3.Connection:
    raw = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    for name, value in (
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        ("recursive_triggers", "ON"),  # else REPLACE would delete rows without asking the triggers
        ("secure_delete", "ON" if layout.erases else "OFF"),
    ):
        raw.execute(f"PRAGMA {name} = {value}")
    return raw


def _add_tables(raw: sqlite3.Connection, path: Path, layout: Layout) -> None:
    """Bring a file of an earlier version to this one."""
    if _mark(raw, "application_id") != layout.application_id or not 0 < _mark(raw, "user_version") < layout.version:
        return
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        layout.metadata.create_all(connection)
        _add_columns(connection, layout.metadata)
        connection.exec_driver_sql(f"PRAGMA user_version = {layout.version}")
        connection.commit()
    engine.dispose()


def _add_columns(connection: Connection, metadata: MetaData) -> None:
    """Columns that a later version added are empty in older rows, so that they mean what those rows meant."""
    for table in metadata.sorted_tables:
        known = {found[1] for found in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
        for column in table.columns:
            if column.name not in known:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")


def _mark(raw: sqlite3.Connection, name: str) -> int:
    return int(raw.execute(f"PRAGMA {name}").fetchone()[0])


def _require_layout(raw: sqlite3.Connection, path: Path, layout: Layout) -> None:
    if _mark(raw, "application_id") != layout.application_id:
        raise StoreError(f"{path.name} is not this node's database. Move it away, or check --dir.")
    version = _mark(raw, "user_version")
    if version != layout.version:
        raise StoreError(
            f"{path.name} has schema version {version}; this Paceline knows version {layout.version}. "
            "Install the version of Paceline that wrote it, or a newer one."
        )
    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raise StoreError(f"{path.name} is not in WAL mode. Keep it on a local disk; restore it from a backup.")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn exceptions of SQLite and SQLAlchemy into `StoreError`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"{path.name}: {_advice(str(error))}") from error


ADVICE = (
    (
        "locked",
        "database is locked: another process has been writing for too long. Wait for it to end, "
        "or find it with `paceline node status`; nothing was written.",
    ),
    ("full", "disk is full; nothing was written. Free some space and try again."),
    ("append-only", "its log is append-only: what was recorded cannot be changed; nothing was written."),
    ("readonly", "the file cannot be written by this user. Check its owner and mode; nothing was written."),
    ("malformed", "the file is damaged. Restore the newest backup; a ledger that is too old will be noticed."),
    ("not a database", "the file is not a database. Restore the newest backup, or check --dir."),
    ("unable to open", "the file cannot be opened. Check that it exists and who owns it."),
    ("closed", "the store is closed; open it again."),
)


def _advice(message: str) -> str:
    for symptom, advice in ADVICE:
        if symptom in message.lower():
            return advice
    # Only the driver's own first line: SQLAlchemy's text goes on with the values, which may be of a person.
    return f"the database refused ({message.splitlines()[0][:200]}); nothing was written."
