"""Results as lines of a table on the screen."""

from collections.abc import Sequence
from typing import Any

from simulations.pages.page import size
from simulations.report import figures
from simulations.report.figures import Point

COLUMNS = ("point", "score", "worst_tenth", "ε", "bytes", "fp32_ratio", "seconds_per_round")


def points(found: Sequence[Point]) -> list[dict[str, Any]]:
    """One line per point."""
    return [point(one) for one in found]


def point(one: Point) -> dict[str, Any]:
    """The figures of a point as a person reads them."""
    summary = figures.summary(one)
    judged = figures.spread([figures.final(outcome) for outcome in one.outcomes])
    return {
        "point": one.label,
        "score": f"{one.headline} {judged}" if judged else "not evaluated",
        "worst_tenth": summary["worst_tenth"],
        "ε": summary["epsilon"],
        "bytes": size(summary["bytes_up"] + summary["bytes_down"]),
        "fp32_ratio": summary["fp32_ratio"],
        "seconds_per_round": summary["seconds_per_round"],
    }
