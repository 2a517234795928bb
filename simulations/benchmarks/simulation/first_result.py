"""How long it takes until a small scenario shows its first round, and until it is done with its report."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from federation.errors import PacelineError

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
FIRST = """\
import sys
from pathlib import Path
from simulations import engine, scenario
def watch(outcome):
    print("first", flush=True)
engine.run(scenario.read(Path(sys.argv[1])), 1, watch)
"""


def measured(repeats: int) -> dict[str, list[float]]:
    """Seconds from the start of a process, for each of `repeats`."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for what, words in (("without privacy", SCENARIO), ("with privacy per person", SCENARIO + PRIVATE)):
            path = Path(folder) / "scenario.toml"
            path.write_text(words, "utf-8")
            seconds = [until_first_line([sys.executable, "-c", FIRST, str(path)]) for _ in range(repeats)]
            found[f"first round of a small scenario {what}, from the start of Python"] = seconds
    return found


def until_first_line(command: list[str]) -> float:
    """Seconds until a program prints its first line; it is left to end."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        process.stdout.readline()
        seconds = time.perf_counter() - began
        process.communicate()
    if process.returncode != 0:
        raise PacelineError(f"the small scenario ended with exit code {process.returncode}; no page was written.")
    return round(seconds, 2)
