"""The folder of one scenario: the scenario itself, a file for every finished run, the report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rfc8785
import tomli_w

from federation.errors import UsageError
from simulations import records, whole
from simulations.outcome import Outcome
from simulations.scenario import Scenario, read
from simulations.sweep.plan import Job
from simulations.words import flat

SCENARIO, RUNS = "scenario.toml", "runs"
ABSENT, MOST_SHOWN = "nothing", 6


@dataclass(frozen=True)
class Folder:
    """Where the results of one scenario lie."""

    path: Path

    def file(self, job: Job) -> Path:
        """The result of `job`."""
        return self.path / RUNS / f"{job.digest}.json"

    def finished(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of `jobs` whose result is here."""
        return [job for job in jobs if self.file(job).is_file()]

    def outcomes(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The results of `jobs`, of those that are here."""
        return [records.load(self.file(job).read_bytes(), str(self.file(job))) for job in self.finished(jobs)]

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Write a result; whoever looks sees all of it or nothing."""
        whole.write(self.file(job), records.dump(outcome))


def claim(path: Path, scenario: Scenario, jobs: Sequence[Job], resume: bool) -> Folder:
    """Take `path` for `scenario`. `UsageError` where it holds something else, or results while `resume` is false."""
    folder = Folder(path)
    saved = path / SCENARIO
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; name a folder with --out.")
    if saved.is_file() and (path / RUNS).is_dir():
        _require_same(folder, scenario)
    elif path.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path} holds something that no simulation wrote; name an empty folder with --out.")
    done = len(folder.outcomes(jobs))
    if done and not resume:
        raise UsageError(
            f"{path} holds {done} of {len(jobs)} results of this scenario. Keep them and go on with --resume, "
            "or name another folder with --out."
        )
    try:
        (path / RUNS).mkdir(parents=True, exist_ok=True)
        if not saved.is_file():
            whole.write(saved, written(scenario))
    except OSError as error:
        raise UsageError(
            f"nothing can be written to {path} ({error.strerror}); name another folder with --out."
        ) from error
    return folder


def written(scenario: Scenario) -> str:
    """The scenario as a file that reads as the same scenario."""
    return tomli_w.dumps(scenario.model_dump(mode="json", exclude_unset=True, exclude_none=True))


def _require_same(folder: Folder, scenario: Scenario) -> None:
    held = read(folder.path / SCENARIO)
    if held.digest() == scenario.digest():
        return
    before, after = (flat(json.loads(rfc8785.dumps(one.model_dump(mode="json")))) for one in (held, scenario))
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    shown = [f"  {key}: {before.get(key, ABSENT)} there, {after.get(key, ABSENT)} here" for key in keys[:MOST_SHOWN]]
    more = [f"  and {len(keys) - MOST_SHOWN} keys more"] if len(keys) > MOST_SHOWN else []
    said = f"{folder.path} holds the results of another scenario, {held.name}. What differs:"
    raise UsageError("\n".join([said, *shown, *more, "Name another folder with --out, or remove this one."]))
