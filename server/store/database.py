"""The connection to the coordinator's database: locking, durability, errors of ours only."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Session

from federation.errors import StoreError

BUSY_TIMEOUT_S = 5
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}",
)


class Transaction(Session):
    """What is read and written in one transaction; made by a `Database` only.

    `core` runs statements that were built once, without the objects that a `Session` makes of rows. It does not see
    what the session was told of but has not flushed.
    """

    def __init__(self, core: Connection) -> None:
        super().__init__(core, expire_on_commit=False)
        self.core = core


class Database:
    """One database of any kind that SQLAlchemy knows; `clock` gives the moments that are written."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._writer = engine
        self._reader = engine.execution_options(reads_only=True)
        self.clock = clock

    def close(self) -> None:
        """Give back all connections."""
        self._writer.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing, one writer at a time; a database error becomes `StoreError` and nothing is written."""
        with _begun(self._writer) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One consistent view; waits for no writer."""
        with _begun(self._reader) as session:
            yield session


def connect(url: str) -> Engine:
    """An engine for `url`, or `StoreError`. On SQLite every writing transaction takes the lock when it begins."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True, isolation_level="READ COMMITTED")
        memory = parsed.database in (None, "", ":memory:")
        engine = create_engine(parsed, **(_in_memory() if memory else {}))
    except (ArgumentError, ImportError, TypeError) as error:
        raise StoreError(
            f"the database URL cannot be used ({type(error).__name__}: {error}). Expected for example "
            "postgresql+psycopg://user@host/paceline (pip install 'paceline[postgresql]'), or none for SQLite."
        ) from error
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the database as `StoreError`, with what to do next."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(f"the database refused a contradicting entry: {_first_line(error.orig)}.") from error
    except DBAPIError as error:
        raise StoreError(f"{_advice(str(error.orig))} Nothing was written.") from error
    except SQLAlchemyError as error:
        raise StoreError(f"the database cannot be used: {_first_line(error)}. Nothing was written.") from error


def private_file(path: Path) -> None:
    """Create the database's file with mode 0600 before SQLite does with wider rights."""
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); check the folder and its rights.") from error


@contextmanager
def _begun(engine: Engine) -> Iterator[Transaction]:
    with translated(), engine.connect() as core, core.begin(), Transaction(core) as session:
        yield session
        if session.in_transaction():  # more than `core` was used
            session.commit()  # joins the connection's: what it was told of is written, and that one ends it


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in PRAGMAS:
        connection.execute(pragma).close()


def _begin(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _in_memory() -> dict[str, Any]:
    return {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}


def _advice(message: str) -> str:
    line = message.strip().splitlines()[0] if message.strip() else "no message"
    if "locked" in line or "busy" in line:
        return f"the database is locked by another process for over {BUSY_TIMEOUT_S} s; stop it, or try again."
    if "full" in line or "No space" in line:
        return "the disk of the database is full; make room and try again."
    if "readonly" in line or "unable to open" in line:
        return f"the database cannot be written ({line}); check the folder and its rights."
    if "malformed" in line or "not a database" in line:
        return f"the database is damaged ({line}); restore it from a backup."
    return f"the database cannot be used: {line}."


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
