"""``paceline simulate``: runs of a scenario, and their comparison."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import click
import typer
from typer.core import TyperGroup

from federation import console
from federation.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from simulations.sessions import Session

SUMMARY = "Run whole federations in one process, from a scenario; compare what came out."
Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]


class RunsScenarios(TyperGroup):
    """A group that does its work itself, unless its first word is a command inside it."""

    allow_interspersed_args = True

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the inner command where one is named."""
        if args and args[0] in self.commands:
            inner = self.commands[args[0]]
            return inner.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> NoReturn:
        """A second word that is no option."""
        raise UsageError(
            f"{args[0]} is a word too many: one scenario at a time, its folder after --out, changes after --set. "
            "To put results side by side: paceline simulate compare A B"
        )


simulate = typer.Typer(cls=RunsScenarios, invoke_without_command=True, add_completion=False, subcommand_metavar="")


@simulate.callback()
def run(  # noqa: PLR0913, PLR0917 - the options of a command
    scenario: Annotated[Path | None, typer.Argument(help="The scenario, as TOML.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; else simulation-out/NAME.")] = None,
    seeds: Annotated[str, typer.Option(help="Other seeds than the scenario's: 1,2,3 or 1-5.")] = "",
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a key; may be repeated.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side; by default one per core.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the folder's results; make those that miss.")] = False,
    new: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a commented example, and stop.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log rounds for TensorBoard, too.")] = False,
    mlflow: Annotated[str, typer.Option(metavar="URI", help="Log rounds to this MLflow tracking server, too.")] = "",
    json: Json = False,
) -> None:
    """Make every run of a scenario: each point of its sweep with each seed, side by side; ends with a report.

    Ctrl-C keeps the finished runs. `paceline simulate --new FILE` writes an example to start from.

    Example: paceline simulate scenario.toml --seeds 1-5 --out results
    """
    if new is not None:
        _write_example(new, json)
        return
    if scenario is None:
        raise UsageError("name a scenario, or write one with: paceline simulate --new scenario.toml")
    from rich.console import Console

    from simulations import overrides, sessions
    from simulations.scenario import read

    wanted = overrides.overridden(read(scenario), change or [], seeds)
    place = out or Path("simulation-out") / wanted.name
    asked = sessions.Asked(wanted, place, jobs, resume, tensorboard, mlflow)
    session = sessions.hold(asked, Console(stderr=True, quiet=json, highlight=False))
    console.result(json, session.facts(), lambda screen: _show(screen, session))
    if session.failures:
        raise typer.Exit(1)


@simulate.command()
def compare(
    results: Annotated[list[Path], typer.Argument(help="Folders that `paceline simulate` wrote; two or more.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
    json: Json = False,
) -> None:
    """Put the results of several scenarios side by side: what they asked, and what came out.

    Example: paceline simulate compare results-a results-b --out compare.html
    """
    from simulations.report import comparison

    found = comparison.compare(results)
    comparison.write(found, out)
    data = comparison.facts(found) | {"page": str(out)}
    console.result(json, data, lambda screen: _show_comparison(screen, data))


def _write_example(path: Path, json: bool) -> None:
    from simulations import whole
    from simulations.scenarios import EXAMPLE, text

    if path.exists():
        raise UsageError(f"{path} exists already and is left as it is; name another file.")
    whole.write(path, text(EXAMPLE))
    following = f"paceline simulate {path}"
    data = {"scenario": str(path), "next": following}
    console.result(json, data, lambda screen: screen.print(f"{path} is written; run it with: {following}"))


def _show(screen: "Console", session: "Session") -> None:
    from simulations.report import tables

    screen.print(console.table(tables.points(session.points), *tables.COLUMNS))
    for label, why in session.failures.items():
        screen.print(f"{label} failed: {why}", markup=False)
    if session.failures:
        screen.print(f"Make them again with: {session.going_on}", markup=False)
    screen.print(f"{session.stamp}. Report: {session.written.page}", markup=False)


def _show_comparison(screen: "Console", data: dict[str, Any]) -> None:
    from simulations.report import tables

    names = list(data["scenarios"])
    if data["differences"]:
        screen.print(console.table(data["differences"], "key", *names))
        screen.print()
    screen.print(console.table(data["points"], "results", *tables.COLUMNS))
    screen.print(f"Page: {data['page']}", markup=False)
