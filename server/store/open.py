"""Opening the coordinator's store, which brings its tables to the version of this program."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, make_url, text

from federation.errors import StoreError
from server import settings as server_settings
from server.settings import ServerFolder
from server.store.database import connect, private_file, translated
from server.store.mask_keys import MaskKeys
from server.store.progress import Progress
from server.store.rounds import Rounds
from server.store.tasks import Tasks

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x7061_6365
"""Number of PostgreSQL's advisory lock, so that two processes do not migrate at once."""


class ServerStore(Rounds, Tasks, Progress, MaskKeys):
    """Everything that the coordinator remembers; safe for several processes at once."""

    def __enter__(self) -> "ServerStore":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def now() -> datetime:
    """The operating system's clock."""
    return datetime.now(UTC)


def open_store(folder: ServerFolder | Path, clock: Callable[[], datetime] = now) -> ServerStore:
    """The store of `folder`, created or brought up to date; `StoreError` if it cannot be used."""
    place = ServerFolder(folder) if isinstance(folder, Path) else folder
    settings = server_settings.load(place)
    if not settings.database:
        private_file(place.database)
    return open_url(settings.database_url(place), clock)


def memory_store(clock: Callable[[], datetime] = now) -> ServerStore:
    """A store that lives as long as the process: for simulations and tests."""
    return open_url("sqlite://", clock)


def open_url(url: str, clock: Callable[[], datetime] = now) -> ServerStore:
    """The store behind any SQLAlchemy URL."""
    engine = connect(url)
    try:
        with translated(), engine.begin() as connection:
            migrate(connection)
    except StoreError as error:
        engine.dispose()
        raise StoreError(f"{without_password(url)}: {error}") from error
    return ServerStore(engine, clock)


def without_password(url: str) -> str:
    """A SQLAlchemy URL as it may be shown."""
    return make_url(url).render_as_string(hide_password=True)


def migrate(connection: Connection, version: str = "head") -> None:
    """Run the migrations up to `version` that are missing, in the caller's transaction.

    `StoreError` if the database is newer than this program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    found, newest = MigrationContext.configure(connection).get_current_revision(), script.get_current_head()
    if found == newest:
        return
    config.attributes["connection"] = connection
    from alembic import command

    try:
        command.upgrade(config, version)
    except CommandError as error:
        raise StoreError(
            f"the database has version {found}, which this program (version {newest}) does not know; "
            "it was written by a newer paceline. Install that version."
        ) from error
