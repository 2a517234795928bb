"""The demo's folder and processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from federation.errors import LinkError, UsageError
from simulations import shell
from simulations.demo import scene
from simulations.shell import CommandFailed, Shell

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(UsageError, match="holds something that no demo wrote"):
        scene.prepare(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_a_second_demo_replaces_the_first(tmp_path):
    scene.prepare(tmp_path / "out")
    (tmp_path / "out" / "report.html").write_text("old")
    scene.prepare(tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_process_that_ignores_being_asked_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "STOP_AFTER_S", 0.3)
    monkeypatch.setattr(shell, "program", lambda: (sys.executable, "-c"))
    child = f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)"
    family = f"import subprocess, sys; {child}; {STUBBORN}"
    before = set(psutil.Process().children(recursive=True))
    with Shell(tmp_path) as running:
        running.start("family", family)
        deadline = time.monotonic() + 20
        while (tmp_path / "family.log").read_text().count("up") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        started = set(psutil.Process().children(recursive=True)) - before
        assert len(started) >= 2
    assert not [process for process in started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_process_that_ends_by_itself_is_an_error_with_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "program", lambda: (sys.executable, "-c"))
    with Shell(tmp_path) as running:
        running.start("short", "print('disk is full')")
        next(iter(running._running.values())).wait(20)
        with pytest.raises(LinkError, match="disk is full"):
            running.require_running()


def test_a_command_that_fails_unexpectedly_is_an_error_with_its_words(tmp_path):
    with Shell(tmp_path) as running, pytest.raises(CommandFailed, match="is not a node's folder"):
        running.run("node", "status", "--dir", tmp_path)


def test_the_first_error_of_several_parties_is_raised():
    def work(number):
        if number:
            raise UsageError(str(number))
        return number

    assert scene.side_by_side(work, [0]) == [0]
    with pytest.raises(UsageError, match="1"):
        scene.side_by_side(work, [0, 1, 0])


@pytest.mark.processes
def test_ctrl_c_stops_the_demo_and_all_that_it_started(tmp_path):
    out = tmp_path / "demo-out"
    program = Path(sys.executable).with_name("paceline")
    demo = subprocess.Popen(
        [program, "demo", "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 90
    while not (out / "algo-works" / "node.toml").exists() and demo.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    demo.send_signal(signal.SIGINT)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, said.decode()
    left = [
        process for process in psutil.process_iter(["cmdline"]) if str(out) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
