"""How commands speak: one result, as text for people or as JSON for machines."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def result(json_mode: bool, data: Mapping[str, Any] | Sequence[Any], render: "Callable[[Console], None]") -> None:
    """Print `data` as one JSON document, or let `render` write for people. Called once per command."""
    if json_mode:
        print(json.dumps(data, indent=2, default=str))  # noqa: T201
        return
    from rich.console import Console

    render(Console(highlight=False, soft_wrap=True))


@contextmanager
def progress(json_mode: bool, label: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr for work of `total` units; yields ``advance(units)``. Silent in JSON mode."""
    if json_mode:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task(label, total=total)
        yield lambda units: bar.advance(job, units)


def table(rows: Sequence[Mapping[str, Any]], *columns: str) -> "Table":
    """`rows` as a table of `columns`; a heading is the column's name with spaces.

    On a narrow screen a long word goes on in the next line: a fingerprint that is cut off cannot be compared.
    """
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(row.get(column)) for column in columns))
    return drawn


def checklist(out: "Console", items: Sequence[Mapping[str, Any]]) -> None:
    """One line per item with keys ``check``, ``passed`` and ``detail`` (the next step, where it did not pass)."""
    from rich.text import Text

    for item in items:
        mark = Text("ok  ", "green") if item["passed"] else Text("no  ", "bold red")
        out.print(mark + Text(f"{item['check']}: {item['detail']}" if item["detail"] else str(item["check"])))


def fields(out: "Console", values: Mapping[str, Any]) -> None:
    """One line per value, its name in front."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        out.print(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    """A value without what a terminal or rich would act upon: names and titles are chosen by others."""
    from rich.markup import escape

    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else escape(harmless(str(value)))


def harmless(text: str) -> str:
    """`text` with a space for everything that is not printed but obeyed, such as escape sequences and line breaks."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
