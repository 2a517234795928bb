"""A coordinator's folder: where each file lies, and what `server.toml` says."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from federation.errors import UsageError
from federation.misfits import misfits
from federation.terms import PRINTABLE

Port = Annotated[int, Field(ge=1, le=65535)]


@dataclass(frozen=True)
class ServerFolder:
    """The files of one coordinator."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Human-readable settings."""
        return self.path / "server.toml"

    @property
    def identity_key(self) -> Path:
        """Ed25519 key that signs tasks, memberships and releases (0600)."""
        return self.path / "identity.key"

    @property
    def pki(self) -> Path:
        """Certificates and their keys (0700)."""
        return self.path / "pki"

    @property
    def ca_key(self) -> Path:
        """Key of the federation's own certificate authority (0600)."""
        return self.pki / "ca.key"

    @property
    def ca_certificate(self) -> Path:
        """Certificate that the nodes pin."""
        return self.pki / "ca.crt"

    @property
    def server_key(self) -> Path:
        """TLS key (0600)."""
        return self.pki / "server.key"

    @property
    def server_certificate(self) -> Path:
        """TLS certificate."""
        return self.pki / "server.crt"

    @property
    def database(self) -> Path:
        """Our database, unless `server.toml` names another."""
        return self.path / "coordinator.sqlite"

    @property
    def superlink_database(self) -> Path:
        """Flower's database."""
        return self.path / "superlink.sqlite"

    @property
    def secrets(self) -> Path:
        """Secrets of the private port (0700)."""
        return self.path / "secrets"

    @property
    def releases(self) -> Path:
        """One folder per released task."""
        return self.path / "releases"

    @property
    def logs(self) -> Path:
        """Logs of the processes."""
        return self.path / "logs"


class ServerSettings(BaseModel):
    """What `server.toml` says.

    `host` and `port` is where partners reach us, `bind` the address to listen on; `private_port` is on 127.0.0.1 only.
    `database` is a SQLAlchemy URL, for example ``postgresql+psycopg://user@/paceline``; empty for the folder's file.
    `licence` is written into the cards of releases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=PRINTABLE)]
    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")] = "127.0.0.1"
    bind: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Port = 9092
    private_port: Port = 9093
    database: str = ""
    licence: Annotated[str, Field(min_length=1, max_length=200)] = "for the recipients named in the card only"

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port == self.private_port:
            raise ValueError(f"port and private_port are both {self.port}; expected two different ones")
        return self

    @property
    def address(self) -> str:
        """What partners connect to, as it stands in tokens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    def database_url(self, folder: ServerFolder) -> str:
        """The SQLAlchemy URL of our database."""
        return self.database or f"sqlite:///{folder.database.resolve()}"


def find_folder(path: Path | None) -> ServerFolder:
    """The coordinator's folder: `path`, or $PACELINE_SERVER, or here; `UsageError` if it holds no `server.toml`."""
    folder = ServerFolder(path or Path(os.environ.get("PACELINE_SERVER", ".")))
    if not folder.settings_file.is_file():
        raise UsageError(
            f"{folder.path.resolve()} is not a coordinator's folder: it holds no server.toml. "
            "Pass --dir, set PACELINE_SERVER, or make one with: paceline server init --dir DIR"
        )
    return folder


def load(folder: ServerFolder) -> ServerSettings:
    """The settings, or `UsageError` that names each line that cannot be."""
    try:
        return ServerSettings.model_validate(tomllib.loads(folder.settings_file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{folder.settings_file} cannot be read: {error}.") from error
    except ValidationError as error:
        raise UsageError(f"{folder.settings_file}:\n{_problems(error)}") from error


def make(path: Path, settings: ServerSettings) -> ServerFolder:
    """Create the folder with its private parts and `server.toml`; `UsageError` if there is one already."""
    folder = ServerFolder(path)
    if folder.settings_file.exists():
        raise UsageError(f"{path.resolve()} is a coordinator's folder already; choose another --dir.")
    path.mkdir(parents=True, exist_ok=True)
    for private in (folder.pki, folder.secrets, folder.logs):
        private.mkdir(mode=0o700, exist_ok=True)
    folder.releases.mkdir(exist_ok=True)
    save(folder, settings)
    return folder


def save(folder: ServerFolder, settings: ServerSettings) -> None:
    """Write `server.toml`, readable by its owner only: a database URL may hold a password."""
    write_private(folder.settings_file, tomli_w.dumps(settings.model_dump()).encode())


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data` in one step; the file never exists with wider rights."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def parse(values: dict[str, object]) -> ServerSettings:
    """Settings from the words of a command line, or `UsageError`."""
    try:
        return ServerSettings.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"these settings cannot be:\n{_problems(error)}") from error


def _problems(error: ValidationError) -> str:
    return "\n".join(f"  {line}" for line in misfits(error, ServerSettings))
