"""Results as lines of a table on the screen; `times_fewer` are the bytes of fp32 over those that were sent."""

from collections.abc import Sequence
from typing import Any

from simulations.pages.page import size, words
from simulations.report import figures
from simulations.report.figures import Point

COLUMNS = ("point", "score", "worst_tenth", "ε", "bytes", "times_fewer", "s_per_round")
HEADINGS = {
    "point": "point",
    "score": "score",
    "worst_tenth": "#worst tenth",
    "ε": "#ε",
    "bytes": "#bytes",
    "times_fewer": "#times fewer than fp32",
    "s_per_round": "#s per round",
}
"""The same columns on a page."""


def points(found: Sequence[Point]) -> list[dict[str, Any]]:
    """One line per point."""
    return [point(one) for one in found]


def point(one: Point) -> dict[str, Any]:
    """The figures of a point as a person reads them."""
    summary = figures.summary(one)
    judged = figures.spread([figures.final(outcome) for outcome in one.outcomes])
    return {
        "point": one.label,
        "score": f"{words(one.headline)} {judged}" if judged else "not evaluated",
        "worst_tenth": summary["worst_tenth"],
        "ε": summary["epsilon"],
        "bytes": size(summary["bytes_up"] + summary["bytes_down"]),
        "times_fewer": summary["fp32_ratio"],
        "s_per_round": summary["seconds_per_round"],
    }
