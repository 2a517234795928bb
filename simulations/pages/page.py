"""Turns facts into a page that holds all that it needs: no script, nothing loaded from elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from simulations.pages.colours import DAY, NIGHT

Facts = Mapping[str, Any]


def html(package: str, template: str, facts: Facts) -> str:
    """`template` of `package` filled with `facts`; it extends ``page.html.j2`` of this package."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("simulations.pages", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "words": words, "size": size}
    return environment.get_template(template).render(**facts, day=DAY, night=NIGHT)


def table(title: str, columns: Mapping[str, str], rows: Sequence[Facts], note: str = "") -> dict[str, Any]:
    """A table of a page. `columns`: heading by key; a heading that begins with # holds figures."""
    return {
        "title": title,
        "columns": [
            {"key": key, "name": name.removeprefix("#"), "number": name.startswith("#")}
            for key, name in columns.items()
        ],
        "rows": rows,
        "note": note,
    }


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


def words(headline: str) -> str:
    """What a score is called in a sentence."""
    return {"mae_s_per_km": "mean error, s/km", "mae_kg": "mean error, kg"}.get(headline, headline.replace("_", " "))


def size(count: float) -> str:
    """Bytes in the unit that people read."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
