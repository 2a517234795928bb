"""What a person watches while runs are made: the running ones, and how long the rest will take."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from simulations.outcome import RoundOutcome
from simulations.sweep.plan import Job

MAX_ROWS = 16
REDRAW_S = 0.2
LINE_EVERY_S = 10.0


class Board(Protocol):
    """Something that is told how runs stand; calls come from several threads."""

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """There are `jobs`, of which `done` were finished before."""

    def start(self, job: Job) -> None:
        """`job` is begun: its people and parties are made."""

    def round(self, job: Job, done: RoundOutcome) -> None:
        """A round of `job` is committed."""

    def end(self, job: Job, problem: str) -> None:
        """`job` is finished, or failed because of `problem`."""


@dataclass
class Standing:
    """How all runs stand. `pace` is the clock's seconds per round, of all runs together."""

    clock: Callable[[], float] = time.monotonic
    jobs: int = 0
    finished: int = 0
    failed: int = 0
    rounds_left: int = 0
    rounds_done: int = 0
    began: float = 0.0
    running: dict[str, tuple[Job, RoundOutcome | None]] = field(default_factory=dict)

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """See `Board`."""
        self.jobs, self.finished, self.began = len(jobs), len(done), self.clock()
        self.rounds_left = sum(job.scenario.rounds for job in jobs) - sum(job.scenario.rounds for job in done)

    def start(self, job: Job) -> None:
        """See `Board`."""
        self.running[job.digest] = (job, None)

    def round(self, job: Job, done: RoundOutcome) -> None:
        """See `Board`."""
        if done.round > 0:
            self.rounds_left -= 1
            self.rounds_done += 1
        _, last = self.running.get(job.digest, (job, None))
        self.running[job.digest] = (job, replace(done, scores=last.scores) if last and not done.scores else done)

    def end(self, job: Job, problem: str) -> None:
        """See `Board`; the rounds that a failed run did not make are not waited for."""
        _, last = self.running.pop(job.digest, (job, None))
        self.rounds_left -= job.scenario.rounds - (last.round if last else 0)
        self.finished += not problem
        self.failed += bool(problem)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first round."""
        if not self.rounds_done:
            return None
        return (self.clock() - self.began) / self.rounds_done * max(0, self.rounds_left)


class _Drawn:
    """A table on a terminal."""

    def __init__(self, live: Live, standing: Standing) -> None:
        self._live, self._standing = live, standing
        self._lock, self._drawn_at = threading.Lock(), 0.0

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        with self._lock:
            self._standing.begin(jobs, done)
            self._draw()

    def start(self, job: Job) -> None:
        with self._lock:
            self._standing.start(job)
            self._draw()

    def round(self, job: Job, done: RoundOutcome) -> None:
        with self._lock:
            self._standing.round(job, done)
            if time.monotonic() - self._drawn_at > REDRAW_S:
                self._draw()

    def end(self, job: Job, problem: str) -> None:
        with self._lock:
            self._standing.end(job, problem)
            if problem:
                self._live.console.print(Text(f"{job.label} failed: {_first_line(problem)}", "red"))
            self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._live.update(drawn(self._standing), refresh=True)


class _Lines:
    """For logs and pipes: a line when a run ends, and from time to time."""

    def __init__(self, console: Console, standing: Standing) -> None:
        self._console, self._standing = console, standing
        self._lock, self._spoke_at = threading.Lock(), time.monotonic()

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        with self._lock:
            self._standing.begin(jobs, done)
            if done:
                self._console.print(f"{len(done)} of {len(jobs)} runs were finished before.")

    def start(self, job: Job) -> None:
        with self._lock:
            self._standing.start(job)

    def round(self, job: Job, done: RoundOutcome) -> None:
        with self._lock:
            self._standing.round(job, done)
            if time.monotonic() - self._spoke_at > LINE_EVERY_S:
                self._say(f"{job.label}: round {done.round} of {job.scenario.rounds}, {_score(done)}")

    def end(self, job: Job, problem: str) -> None:
        with self._lock:
            _, last = self._standing.running.get(job.digest, (job, None))
            self._standing.end(job, problem)
            self._say(f"{job.label}: {f'failed: {_first_line(problem)}' if problem else _score(last)}")

    def _say(self, words: str) -> None:
        self._spoke_at = time.monotonic()
        self._console.print(f"{words} ({_left(self._standing)})", markup=False, soft_wrap=True)


@contextmanager
def board(console: Console) -> Iterator[Board]:
    """A live table on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield _Lines(console, Standing())
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _Drawn(live, Standing())


def drawn(standing: Standing) -> Group:
    """The table of the running runs, under a bar for all."""
    bar = Progress(TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    ended = standing.finished + standing.failed
    bar.add_task(_left(standing), total=max(1, standing.jobs), completed=ended)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "round", "score", "ε", "s per round"):
        table.add_column(name, justify="left" if name == "run" else "right")
    rows = list(standing.running.values())
    for job, last in rows[:MAX_ROWS]:
        if last is None:
            table.add_row(job.label, f"0 of {job.scenario.rounds}", "people and parties are made", "–", "–")
            continue
        spent = f"{last.epsilon:.2f}" if last.epsilon else "–"
        table.add_row(job.label, f"{last.round} of {job.scenario.rounds}", _score(last), spent, f"{last.seconds:.2f}")
    more = [Text(f"and {len(rows) - MAX_ROWS} more")] if len(rows) > MAX_ROWS else []
    return Group(bar, table, *more)


def _score(done: RoundOutcome | None) -> str:
    if done is None or not done.scores:
        return "no score yet"
    name, value = next(iter(done.scores.items()))
    return f"{name} {value:.4g}"


def _first_line(problem: str) -> str:
    """The rest is told once, at the end."""
    return problem.partition("\n")[0]


def _left(standing: Standing) -> str:
    if standing.finished + standing.failed == standing.jobs:
        return "done"
    seconds = standing.seconds_left
    return "time left not known yet" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
