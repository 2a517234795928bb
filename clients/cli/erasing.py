"""The command that erases people: forget."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from clients.cli.apps import Dir, Json, node
from clients.cli.desk import FromFile, People, named
from federation import console

if TYPE_CHECKING:
    from rich.console import Console

    from clients.erasure import Trace

STAYS = (
    "What stays: numbers in the logs, which then mean nobody; what was spent, under a key that knows only who comes "
    "back. Not reached from here: the files that were imported, and backups of this folder."
)
MODELS = "Models that were trained keep what they learned:"
UNPROTECTED = "Where privacy is NONE that may be much of a person: ask the coordinator to withdraw the model."
SHOWN = 5


@node.command()
def forget(
    people: People = None,
    from_file: FromFile = None,
    folder: Dir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Without it --json only shows what would go.")] = False,
    json: Json = False,
) -> None:
    """Erase people for good: rows, identifier, evidence, answers made of them; their consent ends.

    Shows what will go, then asks. All who are named, or nobody.

    Example: paceline node forget athlete-17
    """
    from datetime import UTC, datetime

    from pyroaring import BitMap

    from clients import erasure
    from clients.settings import find_folder, load
    from clients.store import open_store

    place, who = find_folder(folder), named(people, from_file)
    with open_store(place) as store:
        numbers = erasure.find(store, who)
        found = erasure.traces(store, numbers, load(place).policy)
        if not json:
            console.result(False, {}, lambda out: _show(out, found))
        if not yes and not json:
            names = ", ".join(who) if len(who) <= SHOWN else f"these {len(who)} people"
            typer.confirm(f"Erase {console.harmless(names)} for good?", abort=True)
        if yes or not json:
            erasure.forget(store, BitMap(numbers.values()), datetime.now(UTC))
    said = {"erased": yes, "people": [asdict(trace) for trace in found]}
    console.result(json, said, lambda out: out.print("Erased. Their rows, names and evidence are gone from this node."))


def _show(out: "Console", found: "Sequence[Trace]") -> None:
    rows = [{**asdict(trace), "imports": ", ".join(map(str, trace.imports)) or None} for trace in found]
    out.print(console.table(rows, "person", "rows", "imports", "statements", "epsilon"))
    models = [{"person": trace.person, **model} for trace in found for model in trace.models]
    if models:
        out.print(f"\n{MODELS}", markup=False)
        out.print(console.table(models, "person", "task", "answers", "privacy"))
    if any(model["privacy"] == "NONE" for model in models):
        out.print(UNPROTECTED, markup=False)
    out.print(f"\n{STAYS}\n", markup=False)
