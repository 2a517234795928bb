"""``paceline server …``: create a coordinator, run it, invite and revoke parties."""

from pathlib import Path
from typing import Annotated

import typer

from federation import console
from federation.roles import Role
from server.cli.options import Dir, Json, opened

server = typer.Typer(no_args_is_help=True, help="Run a coordinator: create it, start it, invite and revoke parties.")


@server.command()
def init(  # noqa: PLR0913 - one parameter per option
    *,
    name: Annotated[str, typer.Option(help="What partners see.")] = "Paceline coordinator",
    folder: Dir = None,
    host: Annotated[str, typer.Option(help="Name or address under which partners reach this machine.")] = "127.0.0.1",
    bind: Annotated[str, typer.Option(help="Address to listen on; otherwise that of --host.")] = "",
    port: Annotated[int, typer.Option(help="Public port.")] = 9092,
    private_port: Annotated[int, typer.Option(help="Port for this machine only.")] = 9093,
    database: Annotated[str, typer.Option(help="SQLAlchemy URL; otherwise a SQLite file in the folder.")] = "",
    json: Json = False,
) -> None:
    """Create a coordinator: settings, key, certificates, database.

    Example: paceline server init --dir ./coordinator --name "City Federation" --host fed.example.org --bind 0.0.0.0
    """
    from datetime import UTC, datetime

    from federation.signing import Identity
    from server import enrolment, settings

    chosen = {"name": name, "host": host, "bind": bind or host, "port": port, "private_port": private_port}
    place = enrolment.create(folder or Path(), settings.parse(chosen | {"database": database}), datetime.now(UTC))
    made = {"folder": str(place.path.resolve()), "fingerprint": Identity.load(place.identity_key).fingerprint}
    console.result(
        json,
        made,
        lambda out: out.print(
            f"Coordinator made in {made['folder']}\nFingerprint {made['fingerprint']}\n"
            f"Next: paceline server up --dir {place.path}, and in another window "
            f'paceline server invite --dir {place.path} --role data-provider --name "…"'
        ),
    )


@server.command()
def up(folder: Dir = None, json: Json = False) -> None:
    """Run the coordinator until Ctrl-C: keeps its processes running, and restarts what ends.

    With --json each event is one JSON line.

    Example: paceline server up --dir ./coordinator
    """
    from datetime import UTC, datetime
    from json import dumps

    from server import pki, settings, supervisor
    from server.store import open_store

    place = settings.find_folder(folder)
    open_store(place).close()
    pki.renew_server_certificate(place, settings.load(place), datetime.now(UTC))
    supervisor.run(place, (lambda event: typer.echo(dumps({"event": event}))) if json else None)


@server.command()
def invite(
    role: Annotated[Role, typer.Option(help="What the organisation will do.")],
    name: Annotated[str, typer.Option(help="The organisation's name, as all partners see it.")],
    party: Annotated[str, typer.Option(help="Its id; otherwise made from the name.")] = "",
    valid_hours: Annotated[float, typer.Option(help="How long the token can be used.")] = 72,
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Print one line for a partner to paste after `paceline node join`; it works once.

    Example: paceline server invite --role data-provider --name "City Runners"
    """
    from federation.enrolment import decode_token
    from server import enrolment, status

    with opened(folder) as (store, place):
        before = {line["party"] for line in status.parties(store) if line["state"] == "invited"}
        token = enrolment.invite(store, place, name, role, party, valid_hours)
    invited = decode_token(token)
    data = {"party": invited.party, "token": token, "expires_at": invited.expires_at.isoformat()}
    if invited.party in before and not json:
        typer.echo(f"{invited.party} was invited before; the earlier token works no longer.", err=True)
    console.result(json, data, lambda out: out.print(token, soft_wrap=True))


@server.command()
def parties(folder: Dir = None, json: Json = False) -> None:
    """Who is a member, was one, or is invited.

    Example: paceline server parties --dir ./coordinator
    """
    from server import status

    with opened(folder) as (store, _):
        found = status.parties(store)
    columns = ("party", "name", "role", "state", "since", "fingerprint")
    console.result(json, found, lambda out: out.print(console.table(found, *columns)))


@server.command()
def revoke(
    party: Annotated[str, typer.Argument(help="The party's id, as in `paceline server parties`.")],
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Shut a party out, from its next message on; this cannot be undone.

    Example: paceline server revoke city-runners
    """
    with opened(folder) as (store, _):
        store.revoke(party)
    console.result(json, {"revoked": party}, lambda out: out.print(f"{party} is revoked, from its next message on."))


@server.command()
def status(folder: Dir = None, json: Json = False) -> None:
    """The coordinator at a glance.

    Example: paceline server status --json
    """
    from server import status as server_status

    with opened(folder) as (store, place):
        found = server_status.coordinator(store, place)
    console.result(json, found, lambda out: console.fields(out, found))
