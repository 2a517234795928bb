"""Turns the facts of a demo into report.html and report.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simulations.demo import plots
from simulations.demo.live import words

Facts = Mapping[str, Any]


def write(facts: Facts, out: Path) -> tuple[Path, Path]:
    """Write both reports into `out`; returns their paths."""
    page, data = out / "report.html", out / "report.json"
    data.write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
    page.write_text(html(facts), encoding="utf-8")
    return page, data


def html(facts: Facts) -> str:
    """The page: self-contained, no script, nothing loaded from elsewhere."""
    environment = Environment(
        loader=PackageLoader("simulations.demo", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"cell": cell, "words": words}
    drawn = {
        "scores": Markup(plots.scores(facts["tasks"])),  # noqa: S704 - drawn by matplotlib, which escapes its texts
        "traffic": Markup(plots.traffic(facts["tasks"])),  # noqa: S704
        "spending": Markup(plots.spending(facts["budgets"])),  # noqa: S704
    }
    return environment.get_template("report.html.j2").render(**facts, plots=drawn)


def cell(value: object) -> str:
    """A figure as people read it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def table(title: str, seen_by: str, columns: Mapping[str, str], rows: list[dict[str, Any]], note: str = "") -> Facts:
    """A table of the report. `columns`: heading by key; a heading that begins with # holds figures."""
    return {
        "title": title,
        "seen_by": seen_by,
        "columns": [
            {"key": key, "name": name.removeprefix("#"), "number": name.startswith("#")}
            for key, name in columns.items()
        ],
        "rows": rows,
        "note": note,
    }
