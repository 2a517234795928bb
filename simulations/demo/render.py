"""Turns the facts of a demo into report.html and report.json."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from simulations.demo import plots
from simulations.pages import page
from simulations.pages.page import Facts


def write(facts: Facts, out: Path) -> tuple[Path, Path]:
    """Write both reports into `out`; returns their paths."""
    shown, data = out / "report.html", out / "report.json"
    data.write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
    shown.write_text(html(facts), encoding="utf-8")
    return shown, data


def html(facts: Facts) -> str:
    """The page: self-contained, no script, nothing loaded from elsewhere."""
    drawn = {
        "scores": Markup(plots.scores(facts["tasks"])),  # noqa: S704 - drawn by matplotlib, which escapes its texts
        "traffic": Markup(plots.traffic(facts["tasks"])),  # noqa: S704
        "spending": Markup(plots.spending(facts["budgets"])),  # noqa: S704
    }
    return page.html("simulations.demo", "report.html.j2", {**facts, "plots": drawn})


def table(title: str, seen_by: str, columns: dict[str, str], rows: list[dict[str, Any]], note: str = "") -> Facts:
    """A table of the report, with who could have seen it."""
    return page.table(title, columns, rows, note) | {"seen_by": seen_by}
