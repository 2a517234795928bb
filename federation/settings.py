"""The part of the environment that every command shares."""

import os
from pathlib import Path

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def debug() -> bool:
    """Whether ``PACELINE_DEBUG=1`` asks for tracebacks."""
    return os.environ.get("PACELINE_DEBUG", "") not in ("", "0")


def default_folders() -> tuple[Path, ...]:
    """Where a command works that was given no ``--dir``: $PACELINE_SERVER and $PACELINE_NODE, else the current one."""
    named = [os.environ.get(name, "") for name in ("PACELINE_SERVER", "PACELINE_NODE")]
    return tuple(Path(name) for name in named if name) or (Path(),)


def quiet_flower() -> None:
    """Nothing of ours calls home or installs packages at run time; Flower reads this when it is imported."""
    os.environ.update(QUIET)
