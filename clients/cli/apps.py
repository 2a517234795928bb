"""The command groups of a node, with the options that all their commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

ORDER = (
    *("join", "import", "data", "remove", "forget", "allow", "policy", "check", "tasks", "review", "accept"),
    *("up", "status", "pause", "resume", "fetch", "leave"),
)
"""As a newcomer needs them; the order of the help page."""


class InOrder(TyperGroup):
    """Lists its commands in `ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


node = typer.Typer(
    cls=InOrder,
    no_args_is_help=True,
    help="Take part with your own people: join, import, check, review, accept, run, leave.",
)
consent = typer.Typer(no_args_is_help=True, help="Record, withdraw, show and move people's consent.")
budget = typer.Typer(no_args_is_help=True, help="Show what was spent of each person's privacy budget.")
audit = typer.Typer(no_args_is_help=True, help="Verify the logs that nobody may rewrite.")


@budget.callback()
def _budget() -> None:
    """Keeps ``budget show`` a command of its own although it is the only one."""


Dir = Annotated[
    Path | None, typer.Option("--dir", help="The node's folder; else $PACELINE_NODE, else the current folder.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]
TaskName = Annotated[str, typer.Argument(help="The task's name.")]
