"""Event files for TensorBoard, one folder per run."""

import re
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from federation.errors import UsageError
from simulations import tracking
from simulations.outcome import RoundOutcome
from simulations.sweep.plan import Job

FLUSH_S = 1


class EventFiles:
    """A `simulations.sweep.board.Board` that writes into folders under `folder`."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError as error:
            raise UsageError(
                "--tensorboard needs the package tensorboardX: pip install 'paceline[tensorboard]'"
            ) from error
        self._folder, self._make = folder, SummaryWriter
        self._writers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "EventFiles":
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """Nothing is written yet."""

    def start(self, job: Job) -> None:
        """Nothing has happened yet."""

    def round(self, job: Job, done: RoundOutcome) -> None:
        """Every figure of the round, on disk within `FLUSH_S`."""
        with self._lock:
            writer = self._writers.get(job.digest) or self._writers.setdefault(job.digest, self._fresh(job))
            for name, value in tracking.figures(done).items():
                writer.add_scalar(name, value, done.round)

    def end(self, job: Job, problem: str) -> None:
        """The run's file is complete."""
        del problem
        with self._lock:
            if (writer := self._writers.pop(job.digest, None)) is not None:
                writer.close()

    def _fresh(self, job: Job) -> Any:
        """What an interrupted attempt at the same run left goes: two curves in one folder look like noise."""
        place = self._folder / f"{re.sub(r'[^a-z0-9.]+', '-', job.label.lower())[:80]}-{job.digest[:8]}"
        shutil.rmtree(place, ignore_errors=True)
        return self._make(str(place), flush_secs=FLUSH_S)
