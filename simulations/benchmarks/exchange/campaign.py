"""Measures every part of the exchange that has not been measured yet, then writes the pages."""

import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from federation.errors import PacelineError, UsageError
from simulations.benchmarks.exchange.jobs import Job
from simulations.benchmarks.exchange.parts import PARTS, Part, every
from simulations.benchmarks.kept import Kept, picked

MODULE = "simulations.benchmarks.exchange"
FILE = "exchange.jsonl"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    out: Path
    only: tuple[str, ...]
    again: bool

    @property
    def kept(self) -> Kept:
        """Finished jobs: the raw figures of all pages."""
        return Kept(self.out / FILE)


def run(wish: Wish, say: Say) -> Path:
    """Measure what is asked for, each part in a process of its own, and write the pages; returns that of all parts.

    Finished jobs are kept; `again` forgets those that are asked for first. A part that fails leaves the others alone.
    """
    from simulations.benchmarks.exchange import pages  # and matplotlib with it

    names = picked(every(), wish.only)
    if wish.again:
        wish.kept.forget(names)
    failed = []
    for part in PARTS:
        left = missing(part, wish.kept, wish.only)
        if left:
            say(f"{part.name}: {len(left)} to measure. {part.about}")
            if alone(part, wish) != 0:
                failed.append(part.name)
    page = pages.write(wish.out, wish.kept)
    if failed:
        raise PacelineError(f"{', '.join(failed)} failed, as said above; {page} holds the rest. Run the command again.")
    return page


def missing(part: Part, kept: Kept, only: Sequence[str]) -> dict[str, Job]:
    """The part's jobs that are asked for and not kept."""
    done = kept.parts()
    asked = frozenset(picked(every(), only))
    return {name: job for name, job in part.names().items() if name in asked and name not in done}


def alone(part: Part, wish: Wish) -> int:
    """The exit code of a process that measures the part on one thread: no part meets the memory of another."""
    command = ["env", "OMP_NUM_THREADS=1", sys.executable, "-m", MODULE, part.name, str(wish.kept.file), *wish.only]
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


def measure(part: Part, kept: Kept, only: Sequence[str], say: Say) -> None:
    """Run the part's missing jobs here; one that needs what is not there is left out."""
    with closing(_finished(missing(part, kept, only), part.at_once)) as finished:
        for name, result in finished:
            try:
                kept.keep(name, result())
            except UsageError as error:
                say(f"{name} left out: {error}")
                continue
            say(f"{name} done")


def _finished(jobs: Mapping[str, Job], at_once: int) -> Generator[tuple[str, Job], None, None]:
    """Each job's name, and how to get its result, as they end; one at a time runs here, when its result is wanted."""
    if at_once == 1:
        yield from jobs.items()
        return
    with ProcessPoolExecutor(at_once) as pool:
        names = {pool.submit(job): name for name, job in jobs.items()}
        try:
            for future in as_completed(names):
                yield names[future], future.result
        finally:
            pool.shutdown(cancel_futures=True)
