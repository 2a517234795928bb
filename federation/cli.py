"""The program `paceline`: mounts the commands of every package, and turns errors into exit codes.

Commands are entry points of this distribution in the group ``paceline.commands``; a name with a dot, such as
``task.sign``, is a command inside a group of another package. Nothing is imported before its command is called.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from federation import settings
from federation.errors import PacelineError, UsageError

SUMMARIES = {
    "node": "Take part with your own people: join, import, check, review, accept, run, leave.",
    "consent": "Record, withdraw, show and move people's consent.",
    "budget": "Show what was spent of each person's privacy budget.",
    "audit": "Verify the logs that nobody may rewrite.",
    "server": "Run a coordinator: create it, start it, invite and revoke parties.",
    "task": "Write, sign, launch and watch contracts about training one workload.",
    "release": "List, show, verify and export finished models.",
    "workload": "List installed workloads and check one against the contract.",
    "demo": "Run a whole federation on this machine, on real recordings.",
    "simulate": "Run whole federations in one process, from a scenario; compare what came out.",
    "bench": "Measure speed and learning on this machine, beside other frameworks.",
    "attack": "Attack a scenario's training, without and with its protection: for researchers, on simulations.",
}
"""One line per command, so that ``paceline --help`` imports none of them; the order is that of the help page."""

GROUP = "paceline.commands"
COMPLETION = ("install_completion", "show_completion")
OURS = ("privacy", "federation", "clients", "server", "simulations")
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns 0 for done, 1 for refused or failed, 2 for wrong usage, 130 for Ctrl-C."""
    try:
        return _exit_code(program().main(list(arguments), prog_name="paceline", standalone_mode=False))
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except click.Abort:
        return _fail("nothing was done.", EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except PacelineError as error:
        return _fail(str(error), error.exit_code)
    except Exception as error:
        return _unforeseen(error)


def _exit_code(returned: object) -> int:
    return returned if isinstance(returned, int) and not isinstance(returned, bool) else 0


def _fail(message: str, exit_code: int) -> int:
    if settings.debug():
        import traceback

        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    return exit_code


def _machine_says(error: OSError) -> str:
    """A file, a disk or a network that cannot be used as it should: not a fault of paceline."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}. Check that the place exists, its owner and mode, and the disk's space."


def _unforeseen(error: Exception) -> int:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] not in OURS:
        return _fail(
            f"this command needs the package {error.name}, which is not installed. Install the extra of your role: "
            "pip install 'paceline[node]', 'paceline[coordinator]', 'paceline[simulations]' or 'paceline[demo]'.",
            EXIT_FAILED,
        )
    if isinstance(error, OSError):
        return _fail(_machine_says(error), EXIT_FAILED)
    first_line = (str(error).splitlines() or ["no message"])[0]
    return _fail(
        f"internal error ({type(error).__name__}: {first_line}). This is a fault of paceline, not yours. "
        "Run the command again with PACELINE_DEBUG=1 and report the traceback.",
        EXIT_FAILED,
    )


def _show(error: click.ClickException) -> None:
    """Usage errors as Typer shows them: the usage line, then what was wrong."""
    from typer import rich_utils

    if type(error).__name__ != "NoArgsIsHelpError":
        rich_utils.rich_format_error(error)


class Program(TyperGroup):
    """The top command. A listing shows `SUMMARIES`; only a command that is called is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Installed commands in the order of `SUMMARIES`."""
        del ctx
        order = list(SUMMARIES)
        return sorted((name for name in commands() if "." not in name), key=order.index)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The name with its line of help; `resolve_command` gives the command itself."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return click.Command(cmd_name, help=SUMMARIES[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begins with, imported."""
        name, _, rest = super().resolve_command(ctx, args)
        return (name, load(name), rest) if name else (name, None, rest)


def program() -> Program:
    """The whole command tree, not yet imported."""
    return Program(
        name="paceline",
        help="Train one motion model across organisations that may not show one another their data.\n\n"
        "Example: paceline demo --out demo-out",
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Show the version and exit.",
            )
        ],
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


@cache
def commands() -> dict[str, metadata.EntryPoint]:
    """The entry points of this distribution by command; other distributions cannot add any."""
    return {point.name: point for point in metadata.distribution("paceline").entry_points if point.group == GROUP}


def load(name: str) -> click.Command:
    """Import the command called `name`, with what other packages mount inside it."""
    command = _load_one(name)
    for point in commands():
        group, dot, inner = point.partition(".")
        if dot and group == name and isinstance(command, click.Group):
            mounted = _load_one(point)
            mounted.name = inner
            command.add_command(mounted)
    return command


def _load_one(name: str) -> click.Command:
    command = _command(commands()[name].load())
    command.params = [option for option in command.params if option.name not in COMPLETION]
    return command


def _command(found: object) -> click.Command:
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    if isinstance(found, click.Command):
        return found
    if not callable(found):
        raise TypeError(f"a command must be a Typer, a click command or a function, not {type(found).__name__}")
    single = typer.Typer(add_completion=False)
    single.command()(found)
    return typer.main.get_command(single)


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value and not ctx.resilient_parsing:
        click.echo(f"paceline {metadata.version('paceline')}")
        ctx.exit()


workload = typer.Typer(no_args_is_help=True, help=SUMMARIES["workload"])
Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]


@workload.command("list")
def workload_list(json: Json = False) -> None:
    """Installed workloads with version, digest and rows they read.

    Example: paceline workload list --json
    """
    from federation import console
    from federation.workloads import INSTALLED, digest, find

    found: list[dict[str, Any]] = [
        {
            "name": item.name,
            "version": item.version,
            "title": item.title,
            "digest": digest(item.name),
            "columns": [column.name for column in item.schema.columns],
            "target": item.schema.target.name,
        }
        for item in map(find, INSTALLED)
    ]
    console.result(json, found, lambda out: out.print(console.table(found, "name", "version", "title", "target")))


@workload.command("check")
def workload_check(
    name: Annotated[str, typer.Argument(help="An installed workload.")],
    json: Json = False,
) -> None:
    """Try a workload against the contract that every workload file must keep.

    Example: paceline workload check running_pace
    """
    from federation import console, workload_checks
    from federation.workloads import find

    report = [
        {"check": verdict.promise, "passed": verdict.holds, "detail": verdict.problem}
        for verdict in workload_checks.judge(find(name))
    ]
    console.result(json, report, lambda out: console.checklist(out, report))
    if not all(item["passed"] for item in report):
        raise typer.Exit(EXIT_FAILED)


def task_sign(
    name: Annotated[str, typer.Argument(help="The task's name.")],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="A coordinator's or an algorithm provider's folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Sign a task: as its coordinator, or as the algorithm provider of its cohort.

    Which one you are is read from the folder: it holds server.toml or node.toml.

    Example: paceline task sign watch --dir ./algo-works
    """
    from federation import console

    chosen = [place for place in ([folder] if folder else settings.default_folders()) if _signs(place)]
    if len(chosen) != 1:
        raise UsageError(
            f"found {len(chosen)} folders to sign from, expected 1 that holds server.toml or node.toml: name the "
            "folder of a coordinator or of an algorithm provider's node with --dir."
        )
    if (chosen[0] / "server.toml").is_file():
        from server import tasks

        signed = tasks.sign_task(chosen[0], name)
    else:
        from clients import enrolment

        signed = enrolment.sign_task(chosen[0], name)
    console.result(json, signed, lambda out: console.fields(out, signed))


def _signs(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("server.toml", "node.toml"))
