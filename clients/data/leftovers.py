"""Folders below data/ that nothing refers to: what killed imports left, and imports that were written anew."""

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from federation.errors import StoreError

INCOMING = ".incoming-"
"""Beginning of the name of an import's folder while it is written; the number of its process follows."""
KEPT = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
"""Name of an import's folder once it is in place."""


def sweep(root: Path) -> None:
    """Delete what imports left in `root` whose process was killed: rows that nobody registered must not stay."""
    for left in root.glob(f"{INCOMING}*"):
        number = left.name.removeprefix(INCOMING).split("-")[0]
        if not _is_alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def clear(data: Path, registered: Collection[str]) -> None:
    """Delete all imports below `data` that are not `registered` by their names there, or `StoreError`.

    Inside a transaction of node.sqlite: an import moves into place within the one that registers it.
    """
    for root in data.iterdir() if data.is_dir() else ():
        sweep(root)
        for path in root.iterdir() if root.is_dir() else ():
            if KEPT.fullmatch(path.name) and str(path.relative_to(data)) not in registered:
                _delete(path)


def _delete(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise StoreError(
            f"rows of people who were erased are still in {path} and cannot be deleted: {error.strerror}. "
            "Delete that folder, or see who owns it and try again."
        ) from error


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
