"""One run from start to file, in whatever process it is made."""

from collections.abc import Callable
from dataclasses import replace

from simulations.garbage import importing
from simulations.outcome import RoundOutcome
from simulations.sweep.folder import Folder
from simulations.sweep.plan import Job


def make(folder: Folder, job: Job, watch: Callable[[RoundOutcome], None]) -> None:
    """Run `job` and keep what it brought."""
    with importing():
        from simulations import engine

        engine.import_libraries(job.scenario)
    outcome = engine.run(job.scenario, job.seed, watch)
    folder.keep(job, replace(outcome, point=job.point))
