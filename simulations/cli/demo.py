"""``paceline demo``: a whole federation on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from federation import console

demo = typer.Typer(add_completion=False, help="Run a whole federation on this machine, on real recordings.")


@demo.command()
def run(
    out: Annotated[
        Path, typer.Option(help="Folder for everything that the demo makes; an earlier demo in it goes.")
    ] = (Path("demo-out")),
    json: Annotated[bool, typer.Option("--json", help="One JSON document for machines.")] = False,
) -> None:
    """A coordinator and five parties as separate processes; two workloads on real people; ends with a report.

    Takes a few minutes on two cores. Ctrl-C stops everything that it started.

    Example: paceline demo --out demo-out
    """
    from rich.console import Console

    from simulations import demo as demonstration

    screen = Console(stderr=True, quiet=json, highlight=False)
    made = demonstration.run(out, screen)
    said = {"report": str(made.page), "data": str(made.data), "seconds": made.seconds}
    console.result(json, said, lambda text: text.print(f"Done in {made.seconds:.0f} s. Open {made.page} in a browser."))
