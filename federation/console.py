"""How commands speak: one result, as text for people or as JSON for machines."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


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
