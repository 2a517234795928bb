"""Runs on an MLflow tracking server: one experiment per scenario, one MLflow run per point and seed."""

import threading
import time
from collections.abc import Sequence

from federation.errors import LinkError, UsageError
from simulations import tracking
from simulations.outcome import RoundOutcome
from simulations.sweep.plan import Job
from simulations.words import flat

MAX_VALUE_CHARS = 500


class TrackedRuns:
    """A `simulations.sweep.board.Board` that reports to the server at `uri`."""

    def __init__(self, uri: str) -> None:
        try:
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as error:
            raise UsageError("--mlflow needs the package mlflow: pip install 'paceline[mlflow]'") from error
        try:
            self._client = MlflowClient(tracking_uri=uri)
        except Exception as error:
            raise unusable(uri, error) from error
        self._uri, self._experiment = uri, ""
        self._runs: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "TrackedRuns":
        return self

    def __exit__(self, *_: object) -> None:
        """Runs that have not ended were interrupted."""
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")

    def begin(self, jobs: Sequence[Job], done: Sequence[Job]) -> None:
        """Find or make the experiment; `LinkError` where no server answers."""
        del done
        name = jobs[0].scenario.name
        try:
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        except Exception as error:
            raise unusable(self._uri, error) from error

    def start(self, job: Job) -> None:
        """Nothing has happened yet."""

    def round(self, job: Job, done: RoundOutcome) -> None:
        """The figures of the round, in one request."""
        from mlflow.entities import Metric

        with self._lock:
            run = self._runs.get(job.digest) or self._open(job)
            now_ms = time.time_ns() // 1_000_000
            metrics = [Metric(name, value, now_ms, done.round) for name, value in tracking.figures(done).items()]
            self._client.log_batch(run, metrics=metrics)

    def end(self, job: Job, problem: str) -> None:
        """The run is complete, or failed."""
        with self._lock:
            run = self._runs.pop(job.digest, None) or self._open(job)
            self._runs.pop(job.digest, None)
            if problem:
                self._client.set_tag(run, "problem", problem[:MAX_VALUE_CHARS])
            self._client.set_terminated(run, "FAILED" if problem else "FINISHED")

    def _open(self, job: Job) -> str:
        made = self._client.create_run(self._experiment, run_name=job.label, tags={"paceline.digest": job.digest})
        run = str(made.info.run_id)
        self._runs[job.digest] = run
        words = {**job.scenario.model_dump(mode="json", exclude_unset=True), "seed": job.seed}
        for name, value in flat(words).items():
            self._client.log_param(run, name, value[:MAX_VALUE_CHARS])
        return run


def unusable(uri: str, error: Exception) -> LinkError:
    """MLflow raises many kinds of exception for a place where nothing can be tracked."""
    return LinkError(
        f"no MLflow tracking server can be used at {uri} ({str(error).splitlines()[0][:200]}). Check the URI, such as "
        "http://127.0.0.1:5000 or sqlite:///mlflow.db, or leave out --mlflow."
    )
