"""Runs the commands that partners type, with the processes that they leave running."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psutil

from federation.errors import LinkError, PacelineError

STOP_AFTER_S = 15.0
COMMAND_DEADLINE_S = 120.0


class CommandFailed(PacelineError):
    """A command ended with an error that its caller did not expect."""


@dataclass(frozen=True)
class Finished:
    """A command that ended: what it printed, and how long it took."""

    arguments: tuple[str, ...]
    exit_code: int
    seconds: float
    output: str
    errors: str

    def json(self) -> Any:
        """The one JSON document that it printed."""
        return json.loads(self.output)


class Shell:
    """Commands and processes of one federation; leaving it stops every process that it started."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._files: list[IO[bytes]] = []
        self.history: list[Finished] = []

    def __enter__(self) -> "Shell":
        """From now on SIGTERM ends us as Ctrl-C does, so that nothing is left running."""
        self._before = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._before)

    def run(self, *arguments: str | Path, expect: int = 0) -> Finished:
        """Run ``paceline ARGUMENTS`` to its end; `CommandFailed` if it does not exit with `expect`."""
        finished = self.attempt(*arguments)
        if finished.exit_code != expect:
            raise CommandFailed(
                f"`paceline {' '.join(finished.arguments)}` ended with {finished.exit_code}, expected {expect}:\n"
                f"{finished.errors.strip()}"
            )
        return finished

    def attempt(self, *arguments: str | Path) -> Finished:
        """Run ``paceline ARGUMENTS`` to its end, whatever that is."""
        words, started = tuple(map(str, arguments)), time.monotonic()
        done = subprocess.run(
            [*program(), *words], capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False
        )
        finished = Finished(words, done.returncode, time.monotonic() - started, done.stdout, done.stderr)
        self.history.append(finished)
        return finished

    def json(self, *arguments: str | Path) -> Any:
        """Run a command with ``--json`` and read what it says."""
        return self.run(*arguments, "--json").json()

    def start(self, name: str, *arguments: str | Path) -> None:
        """Start ``paceline ARGUMENTS`` as a process that stays, in a session of its own; its output goes to a log."""
        log = (self._logs / f"{name}.log").open("ab")
        self._files.append(log)
        self._running[name] = subprocess.Popen(
            [*program(), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def dead(self) -> list[str]:
        """Names of the started processes that have ended."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def require_running(self) -> None:
        """`LinkError` with the end of its log, if a process that should run has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._logs / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                raise LinkError(f"{name} ended by itself with {process.returncode}; the end of {log}:\n{tail}")

    def stop(self) -> None:
        """Stop every process in the reverse order of starting; Ctrl-C is ignored until that is done."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            family = _families(self._running.values())
            for process in reversed(self._running.values()):
                process.terminate()
            _wait(list(self._running.values()))
            _end(family)
            for process in self._running.values():
                process.wait(STOP_AFTER_S)  # it has been killed; this takes its exit code
        finally:
            self._running.clear()
            for log in self._files:
                log.close()
            self._files.clear()
            signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def program() -> tuple[str, ...]:
    """How to call the program of this very installation."""
    return (str(Path(sys.executable).with_name("paceline")),)


def _families(processes: Sequence[Any] | Any) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in processes:
        try:
            parent = psutil.Process(process.pid)
            found += [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + STOP_AFTER_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue


def _end(family: Sequence[psutil.Process]) -> None:
    """Kill what did not stop when asked; `psutil.Process` knows a reused number from the process that it meant."""
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(list(family), timeout=5)
