"""``paceline task …``: write, launch, watch, stop and resume contracts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from federation import console
from server.cli.options import Dir, Json, Task, opened

task = typer.Typer(no_args_is_help=True, help="Write, sign, launch and watch contracts about training one workload.")


@task.command()
def new(
    file: Annotated[Path, typer.Argument(help="The contract's terms, as TOML.")], folder: Dir = None, json: Json = False
) -> None:
    """Write a contract from a file; what the coordinator knows, ε or σ, and codecs are filled in.

    Example: paceline task new pace.toml --dir ./coordinator
    """
    from server import tasks

    with opened(folder) as (store, place):
        written = tasks.read_task(store, place, file)
        made = store.add_task(written.manifest)
    terms, exchange = (part.model_dump(mode="json") for part in (written.manifest.privacy, written.manifest.exchange))
    named = {"task": made.name, "digest": made.digest}
    data = {"state": made.state.value, "privacy": terms, "exchange": exchange}
    reasons = {choice.key: f"{choice.value} (chosen: {choice.why})" for choice in written.chosen}
    lines = named | terms | exchange | reasons | {"next": f"paceline task sign {made.name}"}
    chosen = [vars(choice) for choice in written.chosen]
    console.result(json, named | data | {"chosen": chosen}, lambda out: console.fields(out, lines))


@task.command("list")
def list_tasks(folder: Dir = None, json: Json = False) -> None:
    """All tasks.

    Example: paceline task list
    """
    from server import status

    with opened(folder) as (store, _):
        found = [status.task_line(store, item) for item in store.tasks()]
    columns = ("name", "workload", "state", "round", "rounds", "parties", "expires_at")
    console.result(json, found, lambda out: out.print(console.table(found, *columns)))


@task.command()
def show(name: Task, folder: Dir = None, json: Json = False) -> None:
    """The contract itself, with who signed and accepted it.

    Example: paceline task show pace --json
    """
    from server import status

    with opened(folder) as (store, _):
        found = status.task_contract(store, store.task(name))
    console.result(json, found, lambda out: out.print_json(data=found))


@task.command()
def launch(name: Task, folder: Dir = None, json: Json = False) -> None:
    """Start a task that both sides signed and enough parties accepted.

    Example: paceline task launch pace
    """
    from server import runs

    with opened(folder) as (store, place):
        run_id = runs.launch(store, place, name)
    _started(json, name, run_id)


@task.command()
def resume(name: Task, folder: Dir = None, json: Json = False) -> None:
    """Go on after the last committed round of a task that failed, was stopped, or lost its process.

    Example: paceline task resume pace
    """
    from server import runs

    with opened(folder) as (store, place):
        run_id = runs.resume(store, place, name)
    _started(json, name, run_id)


@task.command()
def stop(name: Task, folder: Dir = None, json: Json = False) -> None:
    """End a running task; committed rounds stay, and it can be resumed.

    Example: paceline task stop pace
    """
    from server import runs

    with opened(folder) as (store, place):
        runs.stop(store, place, name)
    data = {"task": name, "state": "stopped"}
    console.result(json, data, lambda out: out.print(f"{name} is stopped; go on with: paceline task resume {name}"))


@task.command()
def status(name: Task, folder: Dir = None, json: Json = False) -> None:
    """How far a task is: rounds, parties, score, bytes, ε.

    Example: paceline task status pace --json
    """
    from server import status as server_status
    from server.cli.live import draw

    with opened(folder) as (store, _):
        found = server_status.task_status(store, name)
    console.result(json, found, lambda out: out.print(draw(found)))


@task.command()
def watch(name: Task, folder: Dir = None, json: Json = False) -> None:
    """A live table until the task ends; Ctrl-C stops watching, not the task.

    Example: paceline task watch pace
    """
    from server.cli.live import follow

    with opened(folder) as (store, _):
        found: dict[str, Any] = follow(store, name, shown=not json)
    console.result(json, found, lambda out: out.print(f"{name} is {found['state']}. {found['message']}".strip()))
    if found["state"] == "failed":
        raise typer.Exit(1)


def _started(json: bool, name: str, run_id: int) -> None:
    data = {"task": name, "state": "running", "run_id": run_id}
    console.result(json, data, lambda out: out.print(f"{name} is running; see it with: paceline task watch {name}"))
