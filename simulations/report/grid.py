"""Plots that compare the points of a sweep: a line for one axis, a heat map for two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from simulations.pages.drawing import COLOURS, INK, heading, panels, svg
from simulations.report import figures
from simulations.report.figures import Point
from simulations.report.plots import judged

MAX_PANELS, MAX_TICKS = 6, 12
LOGARITHMIC_FROM = 16
"""Times that the largest value of an axis is the smallest, from which on the axis is logarithmic."""
PALEST, DARKEST = 0.06, 0.55


def of_the_sweep(points: Sequence[Point]) -> str:
    """The final headline over the values of the sweep; with more than two axes a heat map per further value."""
    axes = list(dict.fromkeys(key for point in points for key in point.values))
    if not axes or figures.best(points) is None:
        return ""
    return _line(points, axes[0]) if len(axes) == 1 else _heat(points, axes)


def _line(points: Sequence[Point], axis: str) -> str:
    figure, (panel,) = panels(1, height=3.2)
    values = [point.values[axis] for point in points]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    places: list[Any] = values if numbers else list(range(len(values)))
    means = []
    for place, point in sorted(zip(places, points, strict=True), key=lambda item: item[0]):
        finals = [figures.final(outcome) for outcome in point.outcomes]
        panel.scatter([place] * len(finals), finals, s=16, color=COLOURS[0], alpha=0.45, lw=0)
        if found := figures.spread(finals):
            means.append((place, found.mean))
    panel.plot(*zip(*means, strict=True), "-o" if numbers else "o", color=COLOURS[0], lw=1.8, markersize=6)
    if numbers and min(values) > 0 and max(values) >= LOGARITHMIC_FROM * min(values):
        panel.set_xscale("log")
    if len(values) <= MAX_TICKS:
        panel.set_xticks(places, [short(value) for value in values])
        panel.minorticks_off()
    panel.set_xlabel(axis)
    panel.set_ylabel(judged(points[0]))
    return svg(figure, f"Final score by {axis}; large dots are means over the seeds, small dots single seeds")


@dataclass(frozen=True)
class _Axis:
    key: str
    values: list[Any]


def _heat(points: Sequence[Point], axes: Sequence[str]) -> str:
    down, right = (_Axis(key, list(dict.fromkeys(point.values[key] for point in points))) for key in axes[:2])
    others = axes[2:]
    rests = list(dict.fromkeys(tuple(point.values[key] for key in others) for point in points))[:MAX_PANELS]
    figure, drawn = panels(len(rests), height=max(1.9, 0.9 + 0.42 * len(down.values)), across=min(len(rests), 2))
    shares = _shares(points)
    for panel, rest in zip(drawn, rests, strict=True):
        for number, point in enumerate(points):
            if tuple(point.values[key] for key in others) == rest:
                place = (right.values.index(point.values[right.key]), down.values.index(point.values[down.key]))
                _cell(panel, place, point, shares[number])
        _frame(panel, down, right)
        if others:
            heading(panel, ", ".join(f"{key} = {short(value)}" for key, value in zip(others, rest, strict=True)))
    return svg(figure, f"Final score by {down.key} and {right.key}, mean over the seeds; darker is better")


def _shares(points: Sequence[Point]) -> list[float | None]:
    """How good each point is: 0 for the worst mean, 1 for the best."""
    found = [figures.spread([figures.final(outcome) for outcome in point.outcomes]) for point in points]
    means = [own.mean for own in found if own]
    worst, best = sorted((min(means), max(means)), reverse=not points[0].higher_is_better)
    return [None if own is None else (own.mean - worst) / (best - worst) if best != worst else 1.0 for own in found]


def _cell(panel: Axes, place: tuple[int, int], point: Point, share: float | None) -> None:
    """The best cell is bold."""
    right, down = place
    found = figures.spread([figures.final(outcome) for outcome in point.outcomes])
    alpha = PALEST + (DARKEST - PALEST) * (share or 0.0)
    x, y = (right - 0.48, right + 0.48), (down - 0.45, down + 0.45)
    panel.fill([x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]], color=COLOURS[0], alpha=alpha, lw=0)
    weight = "bold" if share == 1 else "normal"
    words = str(found) if found else "–"
    panel.text(right, down, words, ha="center", va="center", fontsize=8, color=INK, weight=weight)


def _frame(panel: Axes, down: _Axis, right: _Axis) -> None:
    panel.set_xticks(range(len(right.values)), [short(value) for value in right.values])
    panel.set_yticks(range(len(down.values)), [short(value) for value in down.values])
    panel.set_xlim(-0.5, len(right.values) - 0.5)
    panel.set_ylim(len(down.values) - 0.5, -0.5)
    panel.grid(visible=False)
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.set_xlabel(right.key, fontsize=9)
    panel.set_ylabel(down.key.rsplit(".", 1)[-1], fontsize=9)


def short(value: Any) -> str:
    """A value of the sweep as a tick."""
    return f"{value:g}" if isinstance(value, float) else str(value)
