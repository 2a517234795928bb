"""``paceline release …``: list, show, verify and export finished models."""

from pathlib import Path
from typing import Annotated

import typer

from federation import console
from server.cli.options import Dir, Json, Task, opened

release = typer.Typer(no_args_is_help=True, help="List, show, verify and export finished models.")


@release.command("list")
def list_releases(folder: Dir = None, json: Json = False) -> None:
    """All releases.

    Example: paceline release list
    """
    with opened(folder) as (store, _):
        found = [
            {
                "task": store.task(item.task).name,
                "created_at": item.created_at.isoformat(timespec="minutes"),
                "digest": item.digest,
            }
            for item in store.releases()
        ]
    console.result(json, found, lambda out: out.print(console.table(found, "task", "created_at", "digest")))


@release.command()
def show(name: Task, folder: Dir = None, json: Json = False) -> None:
    """The model card: scores, privacy statement, lineage.

    Example: paceline release show pace
    """
    from server import card
    from server import release as releases

    with opened(folder) as (store, place):
        found = releases.show(store, place, name)
    console.result(json, found, lambda out: out.print(card.as_markdown(found), markup=False))


@release.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A release's folder or exported ZIP file.")],
    fingerprint: Annotated[str, typer.Option(help="The coordinator's fingerprint, if you know it.")] = "",
    json: Json = False,
) -> None:
    """Check a release without a network: signatures, every bit of every file, card against task.

    Example: paceline release verify pace.zip --fingerprint 3f2a…
    """
    from server import release as releases

    lines = releases.verify_release(path, releases.trusted(fingerprint))
    data = [{"check": line.check, "passed": line.passed, "detail": line.detail} for line in lines]
    console.result(json, data, lambda out: console.checklist(out, data))
    if not all(line.passed for line in lines):
        raise typer.Exit(1)


@release.command()
def export(
    name: Task,
    out: Annotated[Path, typer.Option(help="A new ZIP file, or a folder to put it in.")] = Path(),
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Write a release as one ZIP file; the same release always gives the same bytes.

    Example: paceline release export pace --out ./pace.zip
    """
    from server import release as releases

    with opened(folder) as (store, place):
        path = releases.export(store, place, name, out)
    console.result(json, {"task": name, "path": str(path)}, lambda screen: screen.print(str(path)))
