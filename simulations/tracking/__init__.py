"""Rounds as they happen, for TensorBoard and MLflow: whoever is told of rounds can be a tracker."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.outcome import RoundOutcome
from simulations.sweep.plan import Job

if TYPE_CHECKING:
    from simulations.sweep.board import Board


@dataclass(frozen=True)
class Several:
    """Tells each of its boards."""

    boards: "Sequence[Board]"

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """See `simulations.sweep.board.Board`."""
        for board in self.boards:
            board.begin(jobs, done)

    def start(self, job: Job) -> None:
        """See `simulations.sweep.board.Board`."""
        for board in self.boards:
            board.start(job)

    def round(self, job: Job, done: RoundOutcome) -> None:
        """See `simulations.sweep.board.Board`."""
        for board in self.boards:
            board.round(job, done)

    def end(self, job: Job, problem: str) -> None:
        """See `simulations.sweep.board.Board`."""
        for board in self.boards:
            board.end(job, problem)


@contextmanager
def trackers(folder: Path | None, uri: str) -> "Iterator[list[Board]]":
    """The trackers that were asked for: TensorBoard into `folder`, MLflow at `uri`; closed at the end."""
    found: list[Board] = []
    with ExitStack() as stack:
        if folder is not None:
            from simulations.tracking.tensorboard import EventFiles

            found.append(stack.enter_context(EventFiles(folder)))
        if uri:
            from simulations.tracking.mlflow import TrackedRuns

            found.append(stack.enter_context(TrackedRuns(uri)))
        yield found


def figures(done: RoundOutcome) -> dict[str, float]:
    """A round as figures with names, which begin with what they are about."""
    return {
        **{f"score/{name}": float(value) for name, value in done.scores.items()},
        **{f"seconds/{name}": float(value) for name, value in done.timing.items()},
        "seconds/round": done.seconds,
        "bytes/up": float(done.bytes_up),
        "bytes/down": float(done.bytes_down),
        "bytes/fp32": float(done.fp32_up + done.fp32_down),
        "privacy/epsilon": done.epsilon,
        "parties/answered": float(done.answered),
        "parties/attempts": float(done.attempts),
    }
