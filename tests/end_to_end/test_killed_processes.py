"""Processes are killed with kill -9 while rounds run over real Flower; nobody has to wait for long."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from server.superlink import runs, secrets, start_run, stop_run
from server.superlink.control import Control
from simulations.processes.launch import Processes, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("federation"), ["p0", "p1"]) as processes:
        processes.start_all()
        wait_until(lambda: activations(processes) >= 2, "two nodes are connected")
        yield processes


def activations(processes: Processes) -> int:
    log = processes.place.path / "logs" / "access.jsonl"
    return sum("activate-node" in line and '"status": 200' in line for line in log.read_text().splitlines())


def control(federation: Processes) -> Control:
    place = federation.place
    secret = secrets.load(place.path / "secrets").control
    return Control(f"127.0.0.1:{place.private_port}", place.path / "pki" / "ca.crt", secret)


def run_of(federation: Processes, run_id: int) -> str:
    return next(run.outcome or run.status for run in runs(control(federation)) if run.run_id == run_id)


def start(federation: Processes, rounds: int, blob: str = "echo") -> tuple[int, int]:
    """Start a run; its number, and how many results there were before."""
    before = len(federation.results())
    federation.plan(rounds, blob)
    return start_run(control(federation), "echo"), before


def begun(federation: Processes, run_id: int) -> None:
    wait_until(lambda: run_of(federation, run_id) == "running", "the run is running")
    time.sleep(2.0)


def test_a_killed_worker_is_reported_at_once_and_the_next_round_has_it_again(federation: Processes) -> None:
    run_id, before = start(federation, 2, "sleep:8")
    begun(federation, run_id)
    federation.kill("worker p0")
    federation.start("worker p0")
    wait_until(lambda: len(federation.results()) >= before + 2, "two rounds")
    first, second = federation.results()[before:]
    assert first["answered"] == ["p1"]
    assert "the node failed" in str(first["failures"])
    assert second["answered"] == ["p0", "p1"]


def test_a_killed_node_comes_back_at_once_and_answers_the_same_round(federation: Processes) -> None:
    run_id, before = start(federation, 1, "sleep:6")
    begun(federation, run_id)
    federation.kill("supernode p1")
    federation.start("supernode p1")
    wait_until(lambda: len(federation.results()) > before, "one round")
    assert federation.results()[before]["answered"] == ["p0", "p1"]


def test_a_run_survives_the_death_of_the_superlink(federation: Processes) -> None:
    run_id, before = start(federation, 3, "sleep:4")
    begun(federation, run_id)
    federation.kill("superlink")
    federation.start("superlink")
    wait_until(lambda: len(federation.results()) >= before + 3, "three rounds", 90)
    assert [line["answered"] for line in federation.results()[before:]] == [["p0", "p1"]] * 3
    wait_until(lambda: run_of(federation, run_id) == "completed", "the run is completed")


def test_a_killed_executor_takes_its_runs_along_and_a_new_run_goes_on(federation: Processes) -> None:
    run_id, before = start(federation, 1, "sleep:5")
    begun(federation, run_id)
    children = psutil.Process(federation.running["executor"].pid).children()
    federation.kill("executor")
    assert psutil.wait_procs(children, 5)[1] == []
    federation.start("executor")
    start(federation, 1)
    wait_until(lambda: len(federation.results()) > before, "one round")
    assert federation.results()[before]["answered"] == ["p0", "p1"]
    stop_run(control(federation), run_id)


def test_a_stopped_run_ends_soon(federation: Processes) -> None:
    run_id, _ = start(federation, 1000, "sleep:0.5")
    begun(federation, run_id)
    executor = psutil.Process(federation.running["executor"].pid)
    assert stop_run(control(federation), run_id)
    wait_until(
        lambda: (
            executor.children() == []
            or all(not c.is_running() or c.status() == psutil.STATUS_ZOMBIE for c in executor.children())
        ),
        "the run's process ends",
        15,
    )
    assert run_of(federation, run_id) == "stopped"


def test_two_runs_of_one_task_never_work_at_once(federation: Processes) -> None:
    first, before = start(federation, 1, "sleep:40")
    begun(federation, first)
    second = start_run(control(federation), "echo")
    wait_until(lambda: run_of(federation, second) == "failed", "the second run is refused", 35)
    assert "another run of task echo" in next(run.details for run in runs(control(federation)) if run.run_id == second)
    assert run_of(federation, first) == "running"
    assert len(federation.results()) == before
    stop_run(control(federation), first)


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listen = (
        "import socket, time; from federation.supervision import end_with_parent; end_with_parent(); "
        f"s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    )
    supervise = (
        "import sys; from pathlib import Path; from federation.supervision import Program, run; "
        f"run([Program('listener', (sys.executable, '-c', {listen!r}), Path({str(tmp_path / 'log')!r}))], "
        f"Path({str(tmp_path)!r}))"
    )

    def listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    for number in (signal.SIGKILL, signal.SIGTERM):
        supervisor = subprocess.Popen([sys.executable, "-c", supervise])
        wait_until(listening, "the program listens", 20)
        os.kill(supervisor.pid, number)
        supervisor.wait(15)
        wait_until(lambda: not listening(), "the port is free again", 5)
