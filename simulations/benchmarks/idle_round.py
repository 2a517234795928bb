"""How long a round takes in which nobody computes: our processes against Flower as shipped, one after the other.

Run: ``python -m simulations.benchmarks.idle_round``. Five nodes each, TLS, node authentication, database file. Writes
``docs/benchmarks/idle_round.json`` and ``.md``.
"""

import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from federation.settings import QUIET
from federation.supervision import end
from server.superlink import secrets, start_run
from server.superlink.control import Control
from simulations.benchmarks.record import write
from simulations.processes.launch import Processes, wait_until
from simulations.processes.place import Place, make

NODES = 5
OUR_ROUNDS = 30
STOCK_ROUNDS = 10
LIMIT_S = 1.5
SETTLE_S = 5.0
IDLE_S = 20.0

APP_TABLE = """\
[project]
name = "idle"
version = "1.0.0"
license = "Apache-2.0"
dependencies = ["flwr>=1.41"]
[tool.flwr.app]
publisher = "paceline"
[tool.flwr.app.components]
serverapp = "idle.app:server"
clientapp = "idle.app:client"
[tool.flwr.app.config]
results = ""
rounds = 0
nodes = 0
"""
APP = """
import json, time
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
import numpy

client = ClientApp()
server = ServerApp()

@client.query()
def answer(message, context):
    return Message(message.content, reply_to=message)

@server.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < context.run_config["nodes"]:
        time.sleep(1)
    for number in range(context.run_config["rounds"]):
        started = time.monotonic()
        content = RecordDict({"a": ArrayRecord({"x": Array(numpy.arange(4.0) + number)})})
        messages = [Message(content, node, "query") for node in grid.get_node_ids()]
        replies = list(grid.send_and_receive(messages, timeout=120))
        line = {"seconds": time.monotonic() - started, "answered": sum(not reply.has_error() for reply in replies)}
        with open(context.run_config["results"], "a") as results:
            results.write(json.dumps(line) + "\\n")
"""


def main(out: Path) -> None:
    """Measure both and write the table."""
    rows = [ours(), stock()]
    command = "python -m simulations.benchmarks.idle_round"
    write(out, "idle_round", f"A round in which nobody computes, {NODES} nodes", command, rows)
    if not rows[0]["median_s"] <= LIMIT_S:
        sys.exit(f"error: an idle round took {rows[0]['median_s']:g} s in the median, more than {LIMIT_S:g} s")


def ours() -> dict[str, Any]:
    """Real SuperLink, SuperNodes, warm workers and executor of ours; an echo in place of the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(Path(folder), _parties())
        with processes:
            processes.start_all()
            log = processes.place.path / "logs" / "access.jsonl"
            wait_until(lambda: log.read_text().count("activate-node") >= NODES, "all nodes are connected")
            time.sleep(SETTLE_S)
            everything = [process.pid for process in processes.running.values()]
            before = _processor_s(everything)
            time.sleep(IDLE_S)
            idle = (_processor_s(everything) - before) / IDLE_S
            processes.plan(OUR_ROUNDS + 1)
            start_run(_control(processes.place), "echo")
            wait_until(lambda: len(processes.results()) > OUR_ROUNDS, "all rounds", 300)
            return _row("paceline", processes.results()[1:], idle)


def stock() -> dict[str, Any]:
    """The programs of Flower as they are started by its handbook, with a trivial app."""
    with tempfile.TemporaryDirectory() as folder:
        place = make(Path(folder), _parties())
        app = _app(place)
        started = [_superlink(place)]
        try:
            wait_until(lambda: _answers(place), "Flower's SuperLink listens")
            for party in _parties():
                _flwr(place, "supernode", "register", str(place.node(party) / "supernode.pub"), "bench")
                started.append(_supernode(place, party))
            time.sleep(SETTLE_S)
            before = _processor_s([process.pid for process in started])
            time.sleep(IDLE_S)
            idle = (_processor_s([process.pid for process in started]) - before) / IDLE_S
            results = place.path / "results.jsonl"
            settings = f'results="{results}" rounds={STOCK_ROUNDS + 1} nodes={NODES}'
            _flwr(place, "run", str(app), "bench", "--run-config", settings)
            wait_until(lambda: len(_lines(results)) > STOCK_ROUNDS, "all rounds of Flower as shipped", 400)
            return _row("Flower as shipped", _lines(results)[1:], idle)
        finally:
            for process in reversed(started):
                end(process, 10.0)


def _row(what: str, lines: list[dict[str, Any]], idle: float) -> dict[str, Any]:
    if any(
        (line["answered"] if isinstance(line["answered"], int) else len(line["answered"])) != NODES for line in lines
    ):
        sys.exit(f"error: not every node answered every round of {what}; nothing was written")
    seconds = sorted(line["seconds"] for line in lines)
    return {
        "what": what,
        "rounds": len(seconds),
        "median_s": round(statistics.median(seconds), 3),
        "p95_s": round(seconds[int(0.95 * (len(seconds) - 1))], 3),
        "processors_when_idle": round(idle, 3),
        "load_of_machine": round(os.getloadavg()[0], 1),
    }


def _parties() -> list[str]:
    return [f"p{number}" for number in range(NODES)]


def _control(place: Place) -> Control:
    secret = secrets.load(place.path / "secrets").control
    return Control(f"127.0.0.1:{place.private_port}", place.path / "pki" / "ca.crt", secret)


def _processor_s(pids: list[int]) -> float:
    """Seconds of processor time of these processes with their children."""
    import psutil

    found = [psutil.Process(pid) for pid in pids]
    everyone = {process.pid: process for one in found for process in (one, *one.children(recursive=True))}
    return sum(sum(process.cpu_times()[:2]) for process in everyone.values())


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _start(place: Place, name: str, *command: str) -> subprocess.Popen[bytes]:
    """Start a program of Flower's with its own folder of settings; it finds its helpers on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    variables = {**QUIET, "FLWR_HOME": str(place.path / "flwr"), "PATH": path}
    assigned = [f"{key}={value}" for key, value in variables.items()]
    with (place.path / "logs" / name).open("ab") as log:
        return subprocess.Popen(["env", *assigned, *command], stdout=log, stderr=log, start_new_session=True)


def _superlink(place: Place) -> subprocess.Popen[bytes]:
    pki = place.path / "pki"
    options = ["--ssl-ca-certfile", f"{pki}/ca.crt", "--ssl-certfile", f"{pki}/server.crt"]
    options += ["--ssl-keyfile", f"{pki}/server.key", "--enable-supernode-auth"]
    options += ["--database", f"{place.path}/stock.db", "--disable-runtime-dependency-installation"]
    options += ["--host", "127.0.0.1", "--port", str(place.port)]
    return _start(place, "superlink", _program("flower-superlink"), *options)


def _supernode(place: Place, party: str) -> subprocess.Popen[bytes]:
    options = ["--superlink", f"127.0.0.1:{place.port}", "--root-certificates", f"{place.path}/pki/ca.crt"]
    options += ["--auth-supernode-private-key", str(place.node(party) / "supernode.key")]
    options += ["--host", "127.0.0.1", "--port", str(_free_port())]
    return _start(place, party, _program("flower-supernode"), *options)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _flwr(place: Place, *command: str) -> None:
    """One call of Flower's command line, which finds the SuperLink in its own folder of settings."""
    home = place.path / "flwr"
    home.mkdir(exist_ok=True)
    table = f'[superlink.bench]\naddress = "127.0.0.1:{place.port}"\nroot-certificates = "{place.path}/pki/ca.crt"\n'
    (home / "config.toml").write_text(table, "utf-8")
    code = _start(place, "flwr", _program("flwr"), *command).wait(120)
    if code != 0:
        sys.exit(f"error: flwr {command[0]} failed:\n{(place.path / 'logs' / 'flwr').read_text('utf-8')[-2000:]}")


def _app(place: Place) -> Path:
    app = place.path / "app"
    (app / "idle").mkdir(parents=True)
    (app / "pyproject.toml").write_text(APP_TABLE, "utf-8")
    (app / "idle" / "__init__.py").write_text("", "utf-8")
    (app / "idle" / "app.py").write_text(APP, "utf-8")
    return app


def _answers(place: Place) -> bool:
    context = ssl.create_default_context(cafile=str(place.path / "pki" / "ca.crt"))
    try:
        return httpx.get(f"https://127.0.0.1:{place.port}/health", verify=context).status_code < 500
    except httpx.TransportError:
        return False


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    main(Path(__file__).parents[2] / "docs" / "benchmarks")
