"""The part of the environment that every command reads."""

import os


def debug() -> bool:
    """Whether ``PACELINE_DEBUG=1`` asks for tracebacks."""
    return os.environ.get("PACELINE_DEBUG", "") not in ("", "0")
