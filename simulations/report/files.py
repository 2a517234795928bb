"""The results of a scenario for machines: results.json and results.parquet."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simulations import records, whole
from simulations.outcome import Outcome
from simulations.report import figures
from simulations.scenario import Scenario

FORMAT = "paceline-results-1"
JSON, PARQUET = "results.json", "results.parquet"


def write_json(out: Path, scenario: Scenario, outcomes: Sequence[Outcome], failures: dict[str, str]) -> Path:
    """Everything that came out, with the scenario, as one document; figures that are no numbers are null."""
    found = {
        "format": FORMAT,
        "paceline": version("paceline"),
        "scenario": scenario.model_dump(mode="json", exclude_unset=True),
        "stamp": outcomes[0].stamp if outcomes else "",
        "points": [figures.summary(point) for point in figures.points(outcomes)],
        "runs": [_run(outcome) for outcome in outcomes],
        "failures": failures,
    }
    return whole.write(out / JSON, json.dumps(records.plain(found), indent=1, default=str) + "\n")


def write_parquet(out: Path, outcomes: Sequence[Outcome]) -> Path:
    """One row per point, seed and round; a column per swept key, score and part of the time."""
    import polars as pl

    rows = [row for outcome in outcomes for row in _rows(outcome)]
    table = io.BytesIO()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(table)
    return whole.write(out / PARQUET, table.getvalue())


def _run(outcome: Outcome) -> dict[str, Any]:
    """The scenario stands once, for all runs."""
    return {name: value for name, value in asdict(outcome).items() if name != "scenario"}


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    fixed = {**{key: _value(value) for key, value in outcome.point.items()}, "seed": outcome.seed}
    return [
        {
            **fixed,
            "round": done.round,
            "seconds": done.seconds,
            "bytes_up": done.bytes_up,
            "bytes_down": done.bytes_down,
            "fp32_up": done.fp32_up,
            "fp32_down": done.fp32_down,
            "epsilon": done.epsilon,
            "answered": done.answered,
            "attempts": done.attempts,
            **{f"score_{name}": float(value) for name, value in done.scores.items()},
            **{f"timing_{name}": float(value) for name, value in done.timing.items()},
        }
        for done in outcome.rounds
    ]


def _value(value: Any) -> Any:
    """A list or a table as a value of a sweep becomes its text: columns hold one kind each."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
