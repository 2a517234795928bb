"""Runs all points of a scenario's sweep with all its seeds, several at a time; what is done stays done."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.outcome import Outcome
from simulations.scenario import Scenario
from simulations.sweep.folder import Folder, claim
from simulations.sweep.plan import Job, jobs, require_data

if TYPE_CHECKING:
    from simulations.sweep.board import Board

__all__ = ["Folder", "Job", "Swept", "claim", "jobs", "sweep"]


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended: what every run brought, and why some brought nothing."""

    folder: Folder
    scenario: Scenario
    jobs: tuple[Job, ...]
    outcomes: tuple[Outcome, ...]
    failures: dict[str, str]


def sweep(scenario: Scenario, out: Path, at_once: int, resume: bool, board: "Board") -> Swept:
    """Make every run of `scenario` that is not yet in `out`, `at_once` side by side.

    One run alone has all cores. Several have one thread each, whatever `at_once` is, so that a run computes the same
    sums in the same order whether it is made first, resumed or repeated.
    """
    wanted = jobs(scenario)
    folder = claim(out, scenario, wanted, resume)
    done = folder.finished(wanted)
    open_jobs = [job for job in wanted if job not in done]
    require_data(open_jobs)
    board.begin(wanted, done)
    failures = _alone(folder, open_jobs[0], board) if len(wanted) == len(open_jobs) == 1 else {}
    if len(wanted) > 1 and open_jobs:
        from simulations.sweep.lanes import run_side_by_side

        failures = run_side_by_side(folder, open_jobs, at_once, board)
    return Swept(folder, scenario, wanted, tuple(folder.outcomes(wanted)), failures)


def _alone(folder: Folder, job: Job, board: "Board") -> dict[str, str]:
    """In this process, because starting another one takes longer than many a scenario."""
    from simulations.sweep.making import make

    board.start(job)
    make(folder, job, partial(board.round, job))
    board.end(job, "")
    return {}
