"""Commands about tasks: list, review, accept, fetch what came of them."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clients.cli.apps import Dir, Json, TaskName, node
from federation import console

if TYPE_CHECKING:
    from rich.console import Console

    from clients.review import Review


@node.command()
def tasks(folder: Dir = None, json: Json = False) -> None:
    """The tasks that this node was named in.

    Example: paceline node tasks
    """
    from clients import enrolment
    from clients.settings import find_folder

    found = enrolment.list_tasks(find_folder(folder))
    columns = ("name", "title", "state", "accepted")
    console.result(json, found, lambda out: out.print(console.table(found, *columns)))


@node.command()
def review(task: TaskName, folder: Dir = None, json: Json = False) -> None:
    """The contract in words: what is trained, on which columns, at what cost per person, with whom, what leaves.

    Example: paceline node review watch
    """
    from clients import enrolment
    from clients.pinned import load_members, save_members
    from clients.review import review as read
    from clients.settings import find_folder, load

    place = find_folder(folder)
    offer = enrolment.fetch_task(place, task)
    members = load_members(place)
    found = read(offer, enrolment.load_pinned(place), members, load(place).policy, datetime.now(UTC))
    save_members(place, members.shown(found.task, found.digest))
    console.result(json, asdict(found), lambda out: _show(out, found))


@node.command()
def accept(task: TaskName, folder: Dir = None, json: Json = False) -> None:
    """Sign exactly the contract that `review` showed; pins the fingerprints of everybody in it.

    Example: paceline node accept watch
    """
    from clients import enrolment
    from clients.settings import find_folder
    from clients.store import open_store

    place = find_folder(folder)
    with open_store(place) as store:
        manifest = enrolment.accept_task(place, store, task)
    said = {"task": manifest.name, "digest": manifest.digest(), "until": manifest.expires_at}
    console.result(json, said, lambda out: out.print(f"accepted {manifest.name} ({said['digest']})."))


@node.command()
def fetch(task: TaskName, folder: Dir = None, json: Json = False) -> None:
    """Download the released model of a finished task to releases/.

    Example: paceline node fetch watch
    """
    from clients.service_provider import fetch_release
    from clients.settings import find_folder

    found = asdict(fetch_release(find_folder(folder), task))
    found["next"] = f"paceline release verify {found['file']}"
    console.result(json, found, lambda out: console.fields(out, found))


def _show(out: "Console", found: "Review") -> None:
    out.print(f"Task {found.task} ({console.harmless(found.state)}), digest {found.digest}\n", markup=False)
    for heading, text in found.paragraphs.items():
        out.print(f"{heading}: {text}\n", markup=False)
    out.print("who takes part, with fingerprints to compare:", markup=False)
    for party in found.parties:
        people = f", {party.people} people" if party.people else ""
        out.print(f"- {party.name} ({party.party}), {party.role}{people}, {party.known}", markup=False)
        out.print(f"  {party.fingerprint}", markup=False)
    if found.objections:
        out.print("\nIn the way of accepting:", markup=False)
    for objection in found.objections:
        out.print(f"- {objection}", markup=False)
