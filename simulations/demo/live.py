"""The table that a person watches while the tasks run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from simulations.pages.page import size, words


class Board(Protocol):
    """Something that shows how tasks stand."""

    def show(self, step: str, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Show the current `step` and the rows of `tasks`."""


class _Drawn:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, step: str, tasks: Sequence[Mapping[str, Any]]) -> None:
        self._live.update(_table(step, tasks), refresh=True)


class _Lines:
    """For logs and pipes: a line whenever something changed."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, ""

    def show(self, step: str, tasks: Sequence[Mapping[str, Any]]) -> None:
        running = next((task for task in tasks if task["state"] == "running"), None)
        line = step if running is None else f"{running['name']}: {_cells(running)[1]}, score {_cells(running)[3]}"
        if line != self._last:
            self._console.print(line)
            self._last = line


@contextmanager
def board(console: Console) -> Iterator[Board]:
    """A live table on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _Drawn(live)


def _table(step: str, tasks: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(title=step, title_justify="left", title_style="bold")
    for name in ("task", "round", "parties", "score", "bytes", "ε spent"):
        drawn.add_column(name, justify="left" if name == "task" else "right")
    for task in tasks:
        drawn.add_row(*_cells(task), style="bold" if task["state"] == "running" else "")
    return drawn


def _cells(task: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    score, spent = task["score"], task["epsilon_spent"]
    return (
        task["name"],
        f"{task['round']} of {task['rounds']}",
        f"{task['answered']} of {task['parties']}",
        "–" if score is None else f"{score:.3g} {words(task['headline'])}",
        size(task["bytes"]),
        "no DP" if spent is None else f"{spent:.2f}",
    )
