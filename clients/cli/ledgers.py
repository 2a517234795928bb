"""Commands about what cannot be rewritten: budget show, audit verify, audit show."""

from typing import Annotated, Any

import typer

from clients.cli.apps import Dir, Json, audit, budget
from federation import console


@budget.command("show")
def budget_show(folder: Dir = None, json: Json = False) -> None:
    """What was spent per person, by groups of people with the same history, against the cap of node.toml.

    Example: paceline budget show --dir our-node
    """
    from clients.ledger_report import spending
    from clients.settings import find_folder

    found = spending(find_folder(folder))
    console.result(json, found, lambda out: _show_budget(out, found))


@audit.command("verify")
def audit_verify(folder: Dir = None, json: Json = False) -> None:
    """Read all logs again: consent chain, budget ledger, Merkle tree of the audit log; sign what was found.

    Example: paceline audit verify
    """
    from clients.ledger_report import verified
    from clients.settings import find_folder

    found = verified(find_folder(folder))
    console.result(json, found, lambda out: console.fields(out, found))


@audit.command("show")
def audit_show(
    last: Annotated[int, typer.Option(help="How many entries.")] = 20,
    folder: Dir = None,
    json: Json = False,
) -> None:
    """The newest entries of the audit log.

    Example: paceline audit show --last 50
    """
    from clients.settings import find_folder
    from clients.store import open_store

    with open_store(find_folder(folder)) as store:
        entries = store.audit_entries()[-last:] if last > 0 else ()
    found: list[dict[str, Any]] = [
        {"number": item.number, "at": item.at.isoformat(timespec="seconds"), "kind": item.kind, "body": item.body}
        for item in entries
    ]
    console.result(json, found, lambda out: out.print(console.table(found, "number", "at", "kind", "body")))


def _show_budget(out: Any, found: dict[str, Any]) -> None:
    out.print(console.table(found["groups"], "people", "charges", "epsilon", "remaining"))
    out.print(f"\n{found['sentence']}", markup=False)
    if found["charges"]:
        out.print("")
        out.print(console.table(found["charges"], "at", "task", "step", "attempts", "people"))
