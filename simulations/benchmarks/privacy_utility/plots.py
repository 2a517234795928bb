"""The study's plots as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import AutoLocator

from simulations.pages.drawing import COLOURS, QUIET, heading, legend_above, panels, png

Found = Mapping[str, Any]


def by_epsilon(document: Found, path: Path) -> None:
    """Accuracy of synthetic people by ε, noise at the nodes and shared; error of real people against no DP."""
    real = [document[name] for name in ("runners", "lifters") if name in document]
    figure, (node, shared, others) = panels(3)
    for panel, place, title in ((node, "node", "Noise at each of 5 nodes"), (shared, "shared", "Shared noise")):
        for number, case in enumerate(document["motion"]):
            _curve(panel, case[place], f"{case['people']:,} people", COLOURS[number])
            panel.axhline(mean(case["plain"]), color=COLOURS[number], lw=0.8, ls=":")
        heading(panel, title)
        panel.set_ylabel("accuracy on people never seen")
        panel.set_ylim(0.3, 0.8)
    for number, case in enumerate(real):
        free = mean(case["plain"])
        for place, dash in (("node", "-"), ("shared", "--")):
            found = {e: [100 * (score / free - 1) for score in scores] for e, scores in case[place].items()}
            _curve(others, found, f"{case['name']}, {place}", COLOURS[4 + number], dash)
    heading(others, "Error over no DP, in %")
    others.axhline(0, color=QUIET, lw=0.8, ls=":")
    others.legend(frameon=False, fontsize=7)
    legend_above(figure, node)
    png(figure, path)


def what_bought_what(changes: Found, path: Path) -> None:
    """One dot per change and ε, the base as a line."""
    variants, epsilons = changes["variants"], list(changes["variants"][0]["scores"])
    figure, made = panels(len(epsilons), height=0.36 * len(variants) + 0.7)
    for panel, epsilon in zip(made, epsilons, strict=True):
        scores = [one["scores"][epsilon] for one in variants][::-1]
        names = [one["name"] for one in variants][::-1]
        means, spreads = [mean(one) for one in scores], [deviation(one) for one in scores]
        panel.errorbar(means, names, xerr=spreads, color=COLOURS[0], ls="", marker="o", ms=5)
        panel.axvline(means[-1], color=COLOURS[1], lw=1)
        panel.xaxis.set_major_locator(AutoLocator())
        heading(panel, f"ε = {epsilon}, accuracy")
    for panel in made[1:]:
        panel.set_yticklabels([])
    png(figure, path)


def _curve(panel: Axes, found: Mapping[str, list[float]], name: str, colour: str, dash: str = "-") -> None:
    """Mean and standard deviation against ε, on a scale where halving ε is one step."""
    places = [float(epsilon) for epsilon in found]
    means, spreads = [mean(scores) for scores in found.values()], [deviation(scores) for scores in found.values()]
    panel.errorbar(places, means, yerr=spreads, color=colour, ls=dash, marker="o", ms=3, lw=1.4, label=name)
    panel.set_xscale("log", base=2)
    panel.set_xticks(places, [f"{place:g}" for place in places])
    panel.set_xlabel("ε per person")


def deviation(scores: Sequence[float]) -> float:
    """The standard deviation over seeds, 0 of a single one."""
    return stdev(scores) if len(scores) > 1 else 0.0
