"""Commands about the running node: up, pause, resume, status."""

from datetime import UTC, datetime
from typing import Any

import typer

from clients.cli.apps import Dir, Json, node
from federation import console


@node.command()
def up(folder: Dir = None, json: Json = False) -> None:
    """Run this node until Ctrl-C: connection and worker, restarted when they fail.

    With --json each event is one JSON line.

    Example: paceline node up --dir our-node
    """
    from json import dumps

    from clients import people, supervisor
    from clients.enrolment import require_in
    from clients.settings import find_folder, load
    from clients.store import open_store

    place = find_folder(folder)
    require_in(place)
    load(place)  # a node.toml that cannot be read is the owner's mistake to hear of now, not in a log
    with open_store(place) as store:
        people.finish_erasures(store)
    supervisor.run(place.path, (lambda event: typer.echo(dumps({"event": event}))) if json else None)


@node.command()
def pause(folder: Dir = None, json: Json = False) -> None:
    """Refuse everything from the next message on, until `resume`.

    Example: paceline node pause
    """
    _set_paused(folder, json, True)


@node.command()
def resume(folder: Dir = None, json: Json = False) -> None:
    """Take part again after `pause`.

    Example: paceline node resume
    """
    _set_paused(folder, json, False)


@node.command()
def status(folder: Dir = None, json: Json = False) -> None:
    """What this node is, allows, has accepted and has done so far; asks nobody.

    Example: paceline node status --json
    """
    from clients.settings import find_folder

    place = find_folder(folder)
    found = _status(place)
    console.result(json, found, lambda out: console.fields(out, found))


def _set_paused(folder: Dir, json: bool, paused: bool) -> None:
    from clients.settings import find_folder
    from clients.store import open_store

    with open_store(find_folder(folder)) as store:
        store.set_paused(paused)
    word = "paused: refuses everything from the next message on." if paused else "takes part again."
    console.result(json, {"paused": paused}, lambda out: out.print(word))


def _status(place: Any) -> dict[str, Any]:
    from clients import budget, people
    from clients.enrolment import load_pinned
    from clients.store import open_store
    from clients.supervisor import running
    from federation.manifest import parse

    pinned = load_pinned(place)
    with open_store(place) as store:
        accepted = [parse(task.manifest_json) for task in store.accepted_tasks() if task.left_at is None]
        done = store.activities()
        return {
            "party": pinned.party,
            "role": pinned.role,
            "coordinator": f"{pinned.coordinator_name} ({pinned.address})",
            "left_at": pinned.left_at,
            "running": running(place) is not None,
            "paused": store.paused(),
            "people": len(people.everyone(store)),
            "rows": sum(data.rows for data in store.datasets()),
            "tasks": ", ".join(task.name for task in accepted if not task.expired(datetime.now(UTC))),
            "answers_about_people": len(done),
            "last_answer": done[-1].at.isoformat(timespec="seconds") if done else None,
            "ledger_head": budget.head(store),
        }
