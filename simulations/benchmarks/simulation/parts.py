"""What the comparison measures, part by part: a program on one kind of work with so many registered people."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.settings import QUIET
from simulations.benchmarks.kept import Kept
from simulations.benchmarks.simulation.environments import FLOWER, PFL, Environment, Pip, code, python
from simulations.benchmarks.simulation.peers.clock import WARM_UP
from simulations.settings import ray_environment

LIMIT_S = 420
PACKAGE = "simulations.benchmarks.simulation"


@dataclass(frozen=True)
class Program:
    """One of those that are compared; a part for each number of `threads` that torch is told."""

    name: str
    title: str
    module: str
    threads: tuple[int, ...]
    environment: Environment | None = None
    parties: int = 1
    engine: str = "inline"


PROGRAMS = (
    Program("updates", "paceline, local training alone", "ours.updates", (1, 2)),
    Program("inline-1", "paceline, whole rounds, 1 party", "ours.inline", (2,)),
    Program("inline-4", "paceline, whole rounds, 4 parties", "ours.inline", (2,), parties=4),
    Program("plain", "plain PyTorch loop", "peers.plain_loop", (1, 2)),
    Program("pfl", "pfl 0.6", "peers.pfl_loop", (1, 2), PFL),
    Program("flower-ray", "Flower 1.41 with Ray, 2 workers", "peers.flower_ray", (1,), FLOWER),
)
ENGINES = (
    Program("engine-inline", "paceline, engine inline, 4 parties", "ours.installed", (2,), parties=4),
    Program("engine-ray", "paceline, engine ray, 4 parties, 2 workers", "ours.installed", (1,), None, 4, "ray"),
)
"""Our two engines on a workload that is installed, as Ray's workers need it."""


@dataclass(frozen=True)
class Cell:
    """What all of `programs` do: `rounds` timed ones, in each of which `sampled` of `registered` people train."""

    work: str
    registered: int
    sampled: int
    rounds: int
    programs: tuple[Program, ...] = PROGRAMS


PLAN = (
    Cell("convolutional", 1_000, 50, 14),
    Cell("trivial", 1_000, 50, 40),
    Cell("trivial", 1_000, 500, 20),
    Cell("recurrent", 1_000, 50, 5),
    Cell("attentive", 1_000, 50, 10),
    Cell("convolutional", 100, 50, 14),
    Cell("trivial", 100, 50, 40),
    Cell("convolutional", 100_000, 50, 14),
    Cell("trivial", 100_000, 50, 40),
    Cell("exercise_recognition", 100, 50, 10, ENGINES),
)
"""The most important first. Flower with Ray takes at most ten rounds."""


@dataclass(frozen=True)
class Part:
    """One measurement."""

    cell: Cell
    program: Program
    threads: int

    @property
    def name(self) -> str:
        """What `--only` picks from."""
        cell = self.cell
        return f"{cell.work}-{cell.registered}-{cell.sampled}-{self.program.name}-t{self.threads}"

    @property
    def rounds(self) -> int:
        """Timed rounds after the warm-up."""
        return min(self.cell.rounds, 10) if self.program.environment is FLOWER else self.cell.rounds

    def about(self) -> dict[str, str | int]:
        """What the page says of it."""
        return {
            "work": self.cell.work,
            "registered": self.cell.registered,
            "sampled": self.cell.sampled,
            "program": self.program.name,
            "title": self.program.title,
            "threads": self.threads,
        }


@dataclass(frozen=True)
class Place:
    """Where things lie, in `cache`: environments, people's rows, finished measurements."""

    cache: Path
    pip: Pip

    @property
    def rows(self) -> Path:
        """People's rows."""
        return self.cache / "rows"

    @property
    def kept(self) -> Kept:
        """Finished measurements."""
        return Kept(self.cache / "parts.jsonl")


def plan() -> dict[str, Part]:
    """All parts by name; programs of one cell are neighbours."""
    every = ((cell, program) for cell in PLAN for program in cell.programs)
    parts = (Part(cell, program, threads) for cell, program in every for threads in program.threads)
    return {part.name: part for part in parts}


def measured(part: Part, place: Place) -> dict[str, Any]:
    """Run the part's program in a process of its own; its answer, or why there is none."""
    interpreter, home = Path(sys.executable), Path.cwd()
    if part.program.environment:
        interpreter, home = python(place.cache, part.program.environment, place.pip), code(place.cache)
    variables = {**QUIET, **ray_environment(local=True, token=secrets.token_hex(32)), "OMP_NUM_THREADS": part.threads}
    command = ["env", *(f"{key}={value}" for key, value in variables.items()), str(interpreter)]
    command += ["-m", f"{PACKAGE}.{part.program.module}", *_words(part, place)]
    return _answer(command, home)


def _words(part: Part, place: Place) -> list[str]:
    """The question on a program's command line."""
    asked = {
        "work": part.cell.work,
        "folder": place.rows.resolve(),
        "registered": part.cell.registered,
        "sampled": part.cell.sampled,
        "rounds": part.rounds + WARM_UP,
        "threads": part.threads,
        "parties": part.program.parties,
        "engine": part.program.engine,
    }
    return [word for name, value in asked.items() for word in (f"--{name}", str(value))]


def _answer(command: list[str], home: Path) -> dict[str, Any]:
    """The last line that a program prints; a process group of its own, so that nothing of it stays behind."""
    with subprocess.Popen(
        command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            said, errors = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {LIMIT_S} s"}
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing of it is left, as it should be
                os.killpg(process.pid, signal.SIGKILL)
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if process.returncode != 0 or not lines:
        reason = (errors.strip().splitlines() or ["no message"])[-1]
        return {"failed": f"exit code {process.returncode}: {reason[:200]}"}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
