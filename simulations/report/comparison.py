"""Several scenarios side by side: where they differ, and what came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from federation.errors import UsageError
from simulations import whole
from simulations.pages import page
from simulations.pages.page import table
from simulations.report import figures, plots, tables
from simulations.report.figures import Point
from simulations.scenario import Scenario, read
from simulations.sweep.folder import SCENARIO, Folder
from simulations.sweep.plan import jobs
from simulations.words import flat

ABSENT = "–"


@dataclass(frozen=True)
class Results:
    """The results of one folder; `name` is told apart from those of the others."""

    name: str
    scenario: Scenario
    points: tuple[Point, ...]


def compare(folders: Sequence[Path]) -> list[Results]:
    """The results in `folders`, or `UsageError`."""
    if len(folders) < 2:
        raise UsageError("name two or more folders of results to compare.")
    found = [_opened(folder) for folder in folders]
    names = [scenario.name for scenario, _ in found]
    shown = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    if len(set(shown)) != len(shown):
        raise UsageError("a folder is named twice; each is compared with the others.")
    return [Results(name, *one) for name, one in zip(shown, found, strict=True)]


def differences(found: Sequence[Results]) -> list[dict[str, str]]:
    """Keys of the scenarios whose values differ: one line each, a column per scenario."""
    words = {one.name: flat(one.scenario.model_dump(mode="json", exclude={"name", "title"})) for one in found}
    keys = sorted({key for own in words.values() for key in own})
    lines = [{"key": key} | {name: own.get(key, ABSENT) for name, own in words.items()} for key in keys]
    return [line for line in lines if len({line[name] for name in words}) > 1]


def facts(found: Sequence[Results]) -> dict[str, Any]:
    """For machines and for the table on the screen."""
    return {
        "scenarios": [one.name for one in found],
        "differences": differences(found),
        "points": [_line(one, point) for one in found for point in one.points],
    }


def write(found: Sequence[Results], out: Path) -> None:
    """The page: curves of the best point of each, all points in a table, and what the scenarios asked."""
    columns = {"results": "results", **tables.HEADINGS}
    asked = {"key": "key", **{one.name: one.name for one in found}}
    shown = {
        "names": [one.name for one in found],
        "titles": {one.name: one.scenario.title for one in found},
        "curves": _curves(found),
        "points": table("Every point", columns, facts(found)["points"]),
        "differences": table("Where the scenarios differ", asked, differences(found)),
    }
    try:
        whole.write(out, page.html("simulations.report", "compare.html.j2", shown))
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); name another file with --out.") from error


def _curves(found: Sequence[Results]) -> list[Markup]:
    """One plot per headline: figures of different kinds share no axis."""
    best = [(one, figures.best(one.points) or one.points[0]) for one in found]
    drawn = []
    for headline in dict.fromkeys(point.headline for _, point in best):
        own = [(one, point) for one, point in best if point.headline == headline]
        labels = [f"{one.name}: {point.label}" if len(one.points) > 1 else one.name for one, point in own]
        drawn.append(Markup(plots.curves([point for _, point in own], labels)))  # noqa: S704 - matplotlib escapes
    return drawn


def _line(one: Results, point: Point) -> dict[str, Any]:
    return {"results": one.name, **tables.point(point)}


def _opened(path: Path) -> tuple[Scenario, tuple[Point, ...]]:
    if not (path / SCENARIO).is_file():
        raise UsageError(f"{path} holds no {SCENARIO}; expected a folder that `paceline simulate` wrote.")
    scenario = read(path / SCENARIO)
    found = figures.points(Folder(path).outcomes(jobs(scenario)))
    if not found:
        raise UsageError(f"{path} holds no finished run of its scenario; make them with --resume.")
    return scenario, tuple(found)
