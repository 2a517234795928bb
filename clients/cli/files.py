"""Commands about this node's own data: import, data, check."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli.apps import Dir, Json, node
from federation import console


@node.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or NPZ files with the same columns.")],
    mapping: Annotated[Path, typer.Option(help="TOML file that says which column is what.")],
    workload: Annotated[str, typer.Option(help="The workload that the rows are for.")],
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Keep these people to judge models, never train.")
    ] = False,
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Check, cut and take in recordings or tables: all of it or nothing.

    Example: paceline node import a.csv b.csv --mapping columns.toml --workload exercise_recognition
    """
    from clients.data.columns import read_mapping
    from clients.data.importing import Order, run_import
    from clients.settings import find_folder
    from clients.store import open_store
    from federation import workloads

    place, order = find_folder(folder), Order(files, read_mapping(mapping), workloads.find(workload), held_out)
    size = sum(file.stat().st_size for file in files if file.is_file())
    with open_store(place) as store, console.progress(json, "reading", size) as advance:
        report = asdict(run_import(place, store, order, advance))
    console.result(json, report, lambda out: console.fields(out, report))


@node.command("data")
def data_(folder: Dir = None, json: Json = False) -> None:
    """What was imported.

    Example: paceline node data
    """
    from clients.settings import find_folder
    from clients.store import open_store

    with open_store(find_folder(folder)) as store:
        found: list[dict[str, Any]] = [
            {
                "number": item.number,
                "workload": item.workload,
                "rows": item.rows,
                "people": len(item.people),
                "held_out": item.held_out,
                "at": item.at.isoformat(timespec="seconds"),
                "file": item.file,
            }
            for item in store.datasets()
        ]
    names = ("number", "workload", "rows", "people", "held_out", "at")
    console.result(json, found, lambda out: out.print(console.table(found, *names)))


@node.command("remove")
def remove(
    number: Annotated[int, typer.Argument(help="The import's number, see `paceline node data`.")],
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Delete an import: its rows are not trained on any more. What was spent stays spent.

    Example: paceline node remove 3
    """
    from clients.data.shelf import discard
    from clients.settings import find_folder
    from clients.store import open_store
    from federation.errors import UsageError

    place = find_folder(folder)
    with open_store(place) as store:
        found = {item.number: item for item in store.datasets()}
        if number not in found:
            raise UsageError(f"there is no import {number}; `paceline node data` lists them.")
        store.remove_dataset(number)
        discard(place, found[number].file)
    console.result(json, {"removed": number}, lambda out: out.print(f"import {number} was deleted."))


@node.command()
def check(folder: Dir = None, json: Json = False) -> None:
    """Is this node ready? Data, consent, policy, keys, clock, coordinator, tasks: each a line, with the next step.

    Example: paceline node check --dir our-node
    """
    from clients.checks import check_node
    from clients.settings import find_folder

    found = [asdict(item) for item in check_node(find_folder(folder))]
    console.result(json, found, lambda out: console.checklist(out, found))
    if not all(item["passed"] for item in found):
        raise typer.Exit(1)
