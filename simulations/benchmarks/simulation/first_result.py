"""How long it takes until a small scenario shows its first round."""

import contextlib
import io
import os
import pty
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from federation.errors import PacelineError
from simulations.shell import program

SCENARIO = """\
format = "paceline-scenario-1"
name = "first-result"
title = "A small scenario"
workload = "running_pace"
rounds = 5
[data]
people = 100
rows_per_person = 10
[training]
learning_rate = 0.05
"""
PRIVATE = """\
[privacy]
unit = "person"
sampling_rate = 0.2
noise_multiplier = 1.0
clip = 1.0
rows_per_person = 10
max_attempts = 10
delta = 1e-3
"""
SHOWN = b"1 of 5"
"""What stands in the table of runs once the first round is committed."""


def measured(repeats: int) -> dict[str, list[float]]:
    """Seconds from the call of `paceline simulate` to the first round's score on the terminal, `repeats` times."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for what, words in (("without privacy", SCENARIO), ("with privacy per person", SCENARIO + PRIVATE)):
            path = Path(folder) / "scenario.toml"
            path.write_text(words, "utf-8")
            simulate = [*program(), "simulate", str(path), "--out"]
            seconds = [until_shown([*simulate, f"{folder}/{what}-{number}"], SHOWN) for number in range(repeats)]
            found[f"first round of a small scenario {what}, from the command to the screen"] = seconds
    return found


def until_shown(command: list[str], words: bytes) -> float:
    """Seconds until a program has written `words` to its terminal; it is left to end."""
    began, (ours, theirs) = time.perf_counter(), pty.openpty()
    called = ["env", "TERM=xterm", "COLUMNS=120", *command]
    with (
        os.fdopen(ours, "rb", buffering=0) as screen,
        subprocess.Popen(called, stdin=theirs, stdout=theirs, stderr=theirs) as process,
    ):
        os.close(theirs)
        shown, seconds = b"", 0.0
        for data in _written(screen):
            shown += data
            seconds = seconds or (time.perf_counter() - began if words in shown else 0.0)
    if process.returncode != 0 or not seconds:
        raise PacelineError(
            f"{' '.join(command)} ended with exit code {process.returncode} and "
            f"{'' if seconds else 'never '}showed {words.decode()!r}; no page was written."
        )
    return round(seconds, 2)


def _written(screen: io.RawIOBase) -> Iterator[bytes]:
    """What is written to a terminal, as it comes, until nobody has it open any more: Linux calls that an error."""
    with contextlib.suppress(OSError):
        while data := screen.read(1 << 16):
            yield data
