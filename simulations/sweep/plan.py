"""What a scenario asks for: every point of its sweep with every seed."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rfc8785

from federation import workloads
from federation.errors import UsageError
from simulations import settings
from simulations.scenario import Scenario

MAX_JOBS = 100_000


@dataclass(frozen=True)
class Job:
    """One run: `scenario` has the values of the `point` in it and sweeps over nothing."""

    scenario: Scenario
    point: dict[str, Any]
    seed: int

    @cached_property
    def digest(self) -> str:
        """What the result depends on: names its file. Titles and other seeds do not count, the workload's code does."""
        words = self.scenario.model_dump(mode="json", exclude={"title", "name", "seeds", "sweep"})
        code = workloads.digest(self.scenario.workload)
        return hashlib.sha256(rfc8785.dumps({"scenario": words, "seed": self.seed, "code": code})).hexdigest()

    @property
    def label(self) -> str:
        """How a person names this run."""
        return f"{described(self.point)}, seed {self.seed}" if self.point else f"seed {self.seed}"


def described(point: dict[str, Any]) -> str:
    """The values of a point in a few words: the last part of each key tells enough."""
    return ", ".join(f"{key.rsplit('.', 1)[-1]} = {_short(value)}" for key, value in point.items())


def jobs(scenario: Scenario) -> tuple[Job, ...]:
    """Grid × seeds, the seeds of a point side by side; `UsageError` for a point that cannot be."""
    axes = scenario.sweep
    for key, values in axes.items():
        if len({_short(value) for value in values}) != len(values):
            raise UsageError(f"the sweep over {key} names a value twice; each is one point.")
    count = len(scenario.seeds)
    for values in axes.values():
        count *= len(values)
    if count > MAX_JOBS:
        raise UsageError(f"the sweep has {count:,} runs, at most {MAX_JOBS:,} are possible; leave out some values.")
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return tuple(Job(scenario_at, point, seed) for point in points for scenario_at, seed in _seeds(scenario, point))


def require_data(jobs: Sequence[Job]) -> None:
    """`UsageError` if files that runs are to read are not here: told once, before the first of them begins."""
    for data in dict.fromkeys(job.scenario.data for job in jobs):
        for public in settings.READ_BY.get(data.source, ()):
            settings.data_file(public.name)
        for path in (*data.files, *filter(None, [data.mapping])):
            if not path.is_file():
                raise UsageError(f"there is no file {path}; `files` and `mapping` are looked for beside the scenario.")


def _seeds(scenario: Scenario, point: dict[str, Any]) -> list[tuple[Scenario, int]]:
    try:
        at = scenario.point(point)
    except UsageError as error:
        raise UsageError(f"the sweep cannot reach {described(point)}: {error}" if point else str(error)) from error
    return [(at, seed) for seed in scenario.seeds]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
