"""Secrets that open the private port, one file each, readable by their owner only."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from server.settings import write_private

SECRET_BYTES = 32


@dataclass(frozen=True)
class Secrets:
    """`control` starts and stops runs; `executor` fetches tasks to run."""

    control: bytes = field(repr=False)
    executor: bytes = field(repr=False)


def load(folder: Path) -> Secrets:
    """The secrets in `folder`, made at the first call."""
    return Secrets(control=_secret(folder / "control"), executor=_secret(folder / "executor"))


def _secret(path: Path) -> bytes:
    if not path.is_file():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_hex(SECRET_BYTES).encode())
    return path.read_bytes().strip()
