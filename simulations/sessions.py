"""One call of ``paceline simulate`` from the scenario to its report."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.errors import UsageError
from simulations.scenario import Scenario
from simulations.sweep import Swept, sweep
from simulations.sweep.folder import SCENARIO

if TYPE_CHECKING:
    from rich.console import Console

    from simulations.report import Written
    from simulations.report.figures import Point

MOST_REASONS = 5
TENSORBOARD = "tensorboard"
"""Where the event files go, inside the folder of results."""


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line. `at_once`: runs side by side, None for one per core, or for one
    at a time where Ray spreads a run over the cores itself.
    """

    scenario: Scenario
    out: Path
    at_once: int | None
    resume: bool
    tensorboard: bool
    mlflow: str


@dataclass(frozen=True)
class Session:
    """What came out, and where it is written."""

    swept: Swept
    points: "list[Point]"
    written: "Written"
    seconds: float

    @property
    def failures(self) -> dict[str, str]:
        """Why runs failed, by their label."""
        return self.swept.failures

    @property
    def stamp(self) -> str:
        """What may be claimed of the results."""
        return self.swept.outcomes[0].stamp

    @property
    def going_on(self) -> str:
        """The command that makes the missing runs."""
        return going_on(self.swept.folder.path)

    def facts(self) -> dict[str, Any]:
        """For machines."""
        from simulations import records
        from simulations.report import figures

        found = {
            "report": str(self.written.page),
            "results": str(self.written.json),
            "parquet": str(self.written.parquet),
            "runs": len(self.swept.jobs),
            "finished": len(self.swept.outcomes),
            "failures": self.failures,
            "points": [figures.summary(point) for point in self.points],
            "stamp": self.stamp,
            "seconds": self.seconds,
        }
        return dict(records.plain(found))


def hold(asked: Asked, screen: "Console") -> Session:
    """Make the runs and write the report. Ctrl-C says how to go on and is passed on."""
    from simulations.sweep.board import board
    from simulations.tracking import Several, trackers

    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    events = asked.out / TENSORBOARD if asked.tensorboard else None
    at_once = asked.at_once or (1 if asked.scenario.engine == "ray" else os.cpu_count() or 1)
    try:
        with trackers(events, asked.mlflow) as others, board(screen) as shown:
            swept = sweep(asked.scenario, asked.out, at_once, asked.resume, Several([shown, *others]))
    except KeyboardInterrupt:
        said = f"Interrupted; finished runs are kept. Go on with: {going_on(asked.out)}"
        screen.print(said, markup=False, soft_wrap=True)
        raise
    return _reported(swept, began)


def _reported(swept: Swept, began: float) -> Session:
    from simulations import report
    from simulations.report import figures

    if not swept.outcomes:
        raise UsageError(f"no run came to its end. {_why(swept.failures)}")
    try:
        files = report.write(swept)
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be written ({error.strerror}). The finished runs are kept; make room, then write "
            f"the report with: {going_on(swept.folder.path)}"
        ) from error
    return Session(swept, figures.points(swept.outcomes), files, time.monotonic() - began)


def _why(failures: dict[str, str]) -> str:
    """Each reason once, with the runs that it ended."""
    runs: dict[str, list[str]] = {}
    for label, reason in failures.items():
        runs.setdefault(reason, []).append(label)
    shown = [f"{own[0]}{f' and {len(own) - 1} more' if own[1:] else ''}: {why}" for why, own in runs.items()]
    more = [f"and {len(shown) - MOST_REASONS} reasons more"] if len(shown) > MOST_REASONS else []
    return "\n".join([*shown[:MOST_REASONS], *more])


def going_on(out: Path) -> str:
    """The command that makes the runs that are missing in `out`."""
    return f"paceline simulate {out / SCENARIO} --out {out} --resume"
