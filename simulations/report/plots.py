"""Plots of a simulation's report."""

from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import AutoLocator

from simulations.pages.drawing import COLOURS, INK, heading, legend_above, panels, style, svg
from simulations.pages.page import words
from simulations.report import figures
from simulations.report.figures import Point

MAX_LINES, MAX_DOTS, MAX_PARTIES = 12, 4, 40
"""Points that share a plot: as lines, as dots per party; and parties in one plot."""


def curves(points: Sequence[Point], labels: Sequence[str] = ()) -> str:
    """The headline by round, with the range over the seeds, one line per point; `labels` replace theirs."""
    figure, (panel,) = panels(1, height=3.8)
    shown = points if labels else figures.leading(points, MAX_LINES)
    names = labels or [point.label for point in shown]
    for number, (point, name) in enumerate(zip(shown, names, strict=True)):
        found = figures.curve(point)
        if found:
            colour, dashes = style(number)
            rounds = [place for place, _ in found]
            means, low, high = zip(*((own.mean, own.low, own.high) for _, own in found), strict=True)
            panel.fill_between(rounds, low, high, color=colour, alpha=0.15, lw=0)
            panel.plot(rounds, means, dashes, color=colour, marker="o", markersize=3, lw=1.8, label=name)
    panel.set_xlabel("round")
    panel.set_ylabel(judged(points[0]))
    legend_above(figure, panel)
    return svg(figure, "Score per round on held-out people, mean and range over the seeds")


def of_people(points: Sequence[Point]) -> str:
    """How the headline is distributed over held-out people: the share of people who are served no better."""
    figure, (panel,) = panels(1, height=3.2)
    for number, point in enumerate(figures.leading(points, MAX_LINES)):
        found = figures.people(point)
        if found:
            colour, dashes = style(number)
            shares = [(place + 1) / len(found) for place in range(len(found))]
            panel.step(found, shares, dashes, where="post", color=colour, lw=1.8, label=point.label)
    panel.axhspan(0, figures.WORST_SHARE, color=COLOURS[4], alpha=0.12, lw=0)
    panel.text(
        0.995,
        figures.WORST_SHARE / 2,
        "the worst tenth",
        transform=panel.get_yaxis_transform(),
        fontsize=8,
        color=INK,
        ha="right",
        va="center",
    )
    if points and not points[0].higher_is_better:
        panel.invert_xaxis()
    panel.xaxis.set_major_locator(AutoLocator())
    panel.set_ylim(0, 1)
    panel.set_ylabel("share of held-out people")
    panel.set_xlabel(judged(points[0]))
    legend_above(figure, panel)
    return svg(figure, "Distribution of the score over held-out people")


def of_parties(points: Sequence[Point]) -> str:
    """The final model on each party's own people, one column of dots per point; the range is over the seeds."""
    shown = figures.leading(points, MAX_DOTS)
    colours = {point.label: style(place)[0] for place, point in enumerate(figures.leading(points, MAX_LINES))}
    found = {point.label: figures.parties(point) for point in shown}
    names = list(dict.fromkeys(name for own in found.values() for name in own))[:MAX_PARTIES]
    if not names:
        return ""
    figure, (panel,) = panels(1, height=0.9 + 0.2 * len(names) + 0.08 * len(names) * len(shown))
    for number, (label, own) in enumerate(found.items()):
        colour = colours[label]
        offset = (number - (len(found) - 1) / 2) * 0.7 / max(len(found), 1)
        places = [place + offset for place, name in enumerate(names) if name in own]
        spreads = [own[name] for name in names if name in own]
        panel.hlines(places, [item.low for item in spreads], [item.high for item in spreads], color=colour, lw=1.4)
        panel.scatter([item.mean for item in spreads], places, s=18, color=colour, label=label)
    panel.set_yticks(range(len(names)), names)
    panel.xaxis.set_major_locator(AutoLocator())
    panel.invert_yaxis()
    panel.set_xlabel(judged(points[0]))
    legend_above(figure, panel)
    return svg(figure, "Score of the final model on each party's own people")


def traffic(points: Sequence[Point]) -> str:
    """Bytes of all messages in each round: models to the parties, updates back."""
    figure, drawn = panels(2, height=2.6)
    titles = {"bytes_up": "updates, to the coordinator", "bytes_down": "models, to the parties"}
    for panel, (field, title) in zip(drawn, titles.items(), strict=True):
        _by_round(panel, points, partial(_thousands, name=field))
        heading(panel, title)
        panel.set_ylim(0, 1.08 * panel.get_ylim()[1])
    drawn[0].set_ylabel("kB, all parties")
    legend_above(figure, drawn[0])
    return svg(figure, "Bytes on the wire per round")


def _thousands(point: Point, name: str) -> list[tuple[int, float]]:
    return [(number, value / 1000) for number, value in figures.per_round(point, name)]


def spending(points: Sequence[Point]) -> str:
    """ε spent per person, by round; nothing without differential privacy."""
    private = [point for point in points if figures.epsilon(point)]
    if not private:
        return ""
    figure, (panel,) = panels(1, height=2.6)
    _by_round(panel, private, partial(figures.per_round, name="epsilon"))
    panel.set_ylabel("ε per person")
    panel.set_ylim(bottom=0)
    legend_above(figure, panel)
    return svg(figure, "ε spent per person, by round")


def times(points: Sequence[Point]) -> str:
    """Where the seconds of a round go, one bar per point."""
    shown = figures.leading(points, MAX_LINES)
    figure, (panel,) = panels(1, height=0.9 + 0.26 * len(shown))
    parts = [figures.timing(point) for point in shown]
    names = list(dict.fromkeys(name for own in parts for name in own))
    lefts = [0.0] * len(shown)
    for number, name in enumerate(names):
        widths = [own.get(name, 0.0) for own in parts]
        panel.barh(range(len(shown)), widths, left=lefts, height=0.6, color=style(number)[0], label=name)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    panel.set_yticks(range(len(shown)), [point.label for point in shown])
    panel.invert_yaxis()
    panel.xaxis.set_major_locator(AutoLocator())
    panel.set_xlabel("seconds per round")
    legend_above(figure, panel)
    return svg(figure, "Seconds per round by part")


def _by_round(panel: Axes, points: Sequence[Point], values: Callable[[Point], Sequence[tuple[int, float]]]) -> None:
    for number, point in enumerate(figures.leading(points, MAX_LINES)):
        found = values(point)
        if found:
            colour, dashes = style(number)
            wide = max(1.6, 4.0 - 0.8 * number)  # curves that coincide show at the sides of the next one
            panel.plot(*zip(*found, strict=True), dashes, color=colour, lw=wide, label=point.label)
    panel.set_xlabel("round")


def judged(point: Point) -> str:
    """The label of an axis for the headline."""
    return f"{words(point.headline)} ({'higher' if point.higher_is_better else 'lower'} is better)"
