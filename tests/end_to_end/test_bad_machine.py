"""A machine that lets paceline down: full disks, locked databases, Ctrl-C at the wrong moment."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from clients.data import importing
from clients.settings import DEFAULT_NODE_TOML
from federation import supervision
from server import ports
from server.settings import ServerSettings
from simulations.ports import free_ports
from simulations.processes.launch import wait_until

MAPPING = 'person = "name"\ntarget = "pace"\n[columns]\nfemale = "sex"\n[codes.female]\nF = 1\nM = 0\n'
IMPORT = ("node", "import", "runners.csv", "--mapping", "map.toml", "--workload", "running_pace")
GRANT = ("consent", "grant", "ann", "--purpose", "train-motion-models", "--adult", "--notice", "1")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paceline: Callable[..., Any]) -> Path:
    """A node that holds one import; 20,000 more runners wait beside it."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node.toml").write_text(DEFAULT_NODE_TOML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACELINE_NODE", str(folder))
    (tmp_path / "map.toml").write_text(MAPPING)
    runners(tmp_path / "runners.csv", 2)
    assert paceline(*IMPORT).code == 0
    runners(tmp_path / "runners.csv", 20_000)
    return folder


def runners(path: Path, count: int) -> None:
    lines = (f"runner-{i},{20 + i % 50},{'FM'[i % 2]},10,{300 + i % 200}" for i in range(1, count + 1))
    path.write_text("name,age,sex,start_delay,pace\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize("size_bytes", [0, 1_000, 300_000, 600_000])
def test_a_disk_that_fills_up_during_an_import_leaves_nothing_of_it(
    node: Path,
    paceline: Callable[..., Any],
    full_disk: Callable[..., Any],
    held: Callable[[Path], dict[str, str]],
    size_bytes: int,
) -> None:
    before = held(node)
    with full_disk(size_bytes):
        done = paceline(*IMPORT)
    assert (done.code, done.out) == (1, "")
    assert "disk" in done.err
    assert "internal error" not in done.err
    assert held(node) == before
    assert paceline(*IMPORT).code == 0


def test_a_full_disk_records_no_consent(
    node: Path, paceline: Callable[..., Any], full_disk: Callable[..., Any], held: Callable[[Path], dict[str, str]]
) -> None:
    before = held(node)
    with full_disk(0):
        done = paceline(*GRANT)
    assert (done.code, done.out) == (1, "")
    assert "nothing was written" in done.err
    assert held(node) == before


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process writes into the database and does not come to an end."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_database_takes_no_consent_and_no_rows(node: Path, refused: Callable[..., str]) -> None:
    with locked(node / "node.sqlite"):
        says = ("node.sqlite: database is locked: another process", "Wait for it to end", "nothing was written")
        refused(*GRANT, says=says, folders=(node,))


@contextmanager
def pressed_after(seconds: float) -> Iterator[None]:
    """Somebody presses Ctrl-C."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


# Python drops a Ctrl-C that hits it in a finaliser; the import then ends well, with all of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_ctrl_c_during_an_import_leaves_all_of_it_or_nothing(
    node: Path, paceline: Callable[..., Any], held: Callable[[Path], dict[str, str]], seconds: float
) -> None:
    before = held(node)
    try:
        with pressed_after(seconds):
            code = paceline(*IMPORT).code
            time.sleep(0.4)
    except KeyboardInterrupt:
        assert code == 0
        return
    assert code in {0, 130}
    if code == 0 or held(node) != before:
        imports = paceline("node", "data", "--json").json
        assert [item["rows"] for item in imports] == [2, 20_000]


def test_ctrl_c_while_an_import_is_registered_waits_until_all_of_it_is(
    node: Path, paceline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = importing.keep

    def pressed(*arguments: Any) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return genuine(*arguments)

    monkeypatch.setattr(importing, "keep", pressed)
    assert paceline(*IMPORT).code == 130
    monkeypatch.undo()
    assert [item["rows"] for item in paceline("node", "data", "--dir", node, "--json").json] == [2, 20_000]


def test_an_import_that_the_register_refuses_leaves_no_people_and_no_files(
    node: Path, refused: Callable[..., str]
) -> None:
    says = ("either trained on or held out",)
    refused(*IMPORT, "--held-out", says=says, folders=(node,))


def test_an_import_that_the_database_cannot_register_leaves_no_files(node: Path, paceline: Callable[..., Any]) -> None:
    files = sorted((node / "data").rglob("*"))
    with closing(sqlite3.connect(node / "node.sqlite")) as other:
        other.execute("CREATE TRIGGER no BEFORE INSERT ON dataset BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    done = paceline(*IMPORT)
    assert done.code == 1
    assert "disk is full; nothing was written" in done.err
    assert sorted((node / "data").rglob("*")) == files


def typed(log: Path, *words: str | Path) -> subprocess.Popen[bytes]:
    """A command as a process of its own."""
    program = str(Path(sys.executable).with_name("paceline"))
    with log.open("wb") as output:
        return subprocess.Popen([program, *map(str, words)], stdout=output, stderr=output, start_new_session=True)


def ends_with_130_and_nothing_left(process: subprocess.Popen[bytes], log: Path) -> None:
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(40) == 130, log.read_text()
        assert "Traceback" not in log.read_text()
        assert psutil.wait_procs(family, 5)[1] == []
    finally:
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


@pytest.mark.processes
@pytest.mark.parametrize("seconds", [1.5, 3.0])
def test_ctrl_c_stops_a_coordinator_that_starts_or_runs(
    paceline: Callable[..., Any], tmp_path: Path, seconds: float
) -> None:
    public, private = free_ports(2)
    folder, log = tmp_path / "server", tmp_path / "log"
    words = ("--port", str(public), "--private-port", str(private))
    assert paceline("server", "init", "--dir", folder, *words).code == 0
    process = typed(log, "server", "up", "--dir", folder)
    wait_until(lambda: supervision.running(folder) is not None, "the supervisor works")
    time.sleep(seconds)
    ends_with_130_and_nothing_left(process, log)
    assert supervision.running(folder) is None
    ports.require_free(ServerSettings(name="x", port=public, private_port=private))
    assert paceline("server", "parties", "--dir", folder).code == 0


@pytest.mark.processes
def test_ctrl_c_stops_a_node_that_runs(office: Any, paceline: Callable[..., Any], tmp_path: Path) -> None:
    server = ("--dir", office.path)
    token = paceline("server", "invite", "--role", "trainer", "--name", "runs", *server, "--json").json["token"]
    folder, log = tmp_path / "node", tmp_path / "log"
    assert paceline("node", "join", token, "--dir", folder).code == 0
    process = typed(log, "node", "up", "--dir", folder)
    wait_until(lambda: supervision.running(folder) is not None, "the supervisor works")
    time.sleep(2.0)
    again = paceline("node", "up", "--dir", folder)
    assert again.code == 2
    assert "is running already" in again.err
    ends_with_130_and_nothing_left(process, log)
    assert paceline("node", "status", "--dir", folder, "--json").json["running"] is False
