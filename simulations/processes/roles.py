"""What each process of such a federation does."""

import json
import sys
import time
from typing import Any

from starlette.applications import Starlette

from clients import supernode, worker
from federation.ids import PartyId
from server.app import executor
from server.app.link import over_http
from server.app.lock import only_run
from server.superlink import secrets, service
from server.superlink.members import LinkStateNodes
from simulations.processes.place import Place

FAIL = b"fail:"
SLEEP = b"sleep:"
PRIVATE_TEXT = "knee pain of Jane Roe"


def echo(blob: bytes) -> bytes:
    """Answer with the same bytes; ``fail:`` raises an error with a private text, ``sleep:SECONDS`` takes its time."""
    if blob.startswith(FAIL):
        raise RuntimeError(PRIVATE_TEXT)
    if blob.startswith(SLEEP):
        time.sleep(float(blob.removeprefix(SLEEP)))
    return blob


def run_superlink(place: Place) -> None:
    """The SuperLink, with all nodes of the place registered and active."""

    def public_api(nodes: LinkStateNodes) -> Starlette:
        parties = json.loads((place.path / "parties.json").read_text("utf-8"))
        if not place.active():
            keys = {party: (place.node(party) / "supernode.pub").read_bytes() for party in parties}
            place.set_active({nodes.register(party, key): PartyId(party) for party, key in keys.items()})
        return Starlette()

    pki = place.path / "pki"
    setup = service.Setup(
        bind="127.0.0.1",
        port=place.port,
        private_port=place.private_port,
        ca=pki / "ca.crt",
        certificate=pki / "server.crt",
        key=pki / "server.key",
        database=place.path / "superlink.sqlite",
        log=place.path / "logs" / "access.jsonl",
        secrets=secrets.load(place.path / "secrets"),
    )
    service.serve(setup, place.active, public_api)


def run_executor(place: Place) -> None:
    """The executor, whose runs are the role `rounds`."""
    executor.execute(runtime(place), [sys.executable, "-m", "simulations.processes", "rounds", str(place.path)])


def run_rounds(place: Place, token: str) -> None:
    """One run: as many echo rounds as rounds.json says; their times go to results.jsonl."""

    def work(grid: Any, context: object) -> None:
        plan = json.loads((place.path / "rounds.json").read_text("utf-8"))
        link = over_http(grid, place.active)
        with only_run(place.path, "echo", 1.0), (place.path / "results.jsonl").open("a") as results:
            for number in range(plan["rounds"]):
                started = time.monotonic()
                blob = (
                    plan["blob"].encode() + b"\0" * plan["padding_bytes"]
                    if plan["padding_bytes"]
                    else plan["blob"].encode()
                )
                replies = list(link.ask(dict.fromkeys(link.reachable(), blob), plan["deadline_s"]))
                answered = sorted(reply.party for reply in replies if reply.blob == blob)
                line = {
                    "round": number,
                    "seconds": time.monotonic() - started,
                    "answered": answered,
                    "failures": {r.party: r.failure for r in replies if r.failure},
                }
                results.write(json.dumps(line) + "\n")
                results.flush()

    executor.interrupt_on_term()
    executor.run_one(runtime(place), token, work)


def run_supernode(place: Place, party: str) -> None:
    """The SuperNode of one party."""
    node = place.node(party)
    connection = supernode.Connection(f"127.0.0.1:{place.port}", place.path / "pki" / "ca.crt", node / "supernode.key")
    supernode.serve(connection, worker.address_file(node))


def run_worker(place: Place, party: str) -> None:
    """The worker of one party."""
    worker.work(place.node(party), echo)


def runtime(place: Place) -> executor.Runtime:
    """The private port of the place."""
    return executor.Runtime(
        address=f"127.0.0.1:{place.private_port}",
        ca=(place.path / "pki" / "ca.crt").read_bytes(),
        secret=secrets.load(place.path / "secrets").executor,
    )
