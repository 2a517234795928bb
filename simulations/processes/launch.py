"""Starts, kills and stops the processes of such a federation."""

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from federation.supervision import end, spawn
from simulations.processes.place import Place, make

START_S = 60.0


class Processes:
    """The processes of one federation, by name: ``superlink``, ``executor``, ``supernode PARTY``, ``worker PARTY``."""

    def __init__(self, folder: Path, parties: list[str]) -> None:
        self.place: Place = make(folder, parties)
        self.parties = parties
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(list(self.running.values())):
            end(process, 10.0)

    def start(self, name: str) -> None:
        """Start one process; its output goes to the folder's logs."""
        role, *party = name.split()
        log = self.place.path / "logs" / f"{name.replace(' ', '-')}.log"
        with log.open("ab") as file:
            command = [sys.executable, "-m", "simulations.processes", role, str(self.place.path), *party]
            self.running[name] = spawn(command, file)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.running.pop(name)
        process.kill()
        end(process, 10.0)

    def start_all(self, executor: bool = True) -> None:
        """Start everything and wait until all nodes are connected."""
        self.start("superlink")
        wait_until(self.listening, "the SuperLink listens")
        for party in self.parties:
            self.start(f"supernode {party}")
            self.start(f"worker {party}")
        if executor:
            self.start("executor")

    def listening(self) -> bool:
        """Whether the SuperLink answers and knows its nodes."""
        return self.get(self.place.port, "/").status_code == httpx.codes.NOT_FOUND and bool(self.place.active())

    def get(self, port: int, path: str) -> httpx.Response:
        """One GET request to a port of the SuperLink; status 503 while nobody listens."""
        context = ssl.create_default_context(cafile=str(self.place.path / "pki" / "ca.crt"))
        try:
            return httpx.get(f"https://127.0.0.1:{port}{path}", verify=context)
        except httpx.TransportError:
            return httpx.Response(503)

    def plan(self, rounds: int, blob: str = "echo", padding_bytes: int = 0, deadline_s: float = 60.0) -> None:
        """Say what the next run does."""
        plan = {"rounds": rounds, "blob": blob, "padding_bytes": padding_bytes, "deadline_s": deadline_s}
        (self.place.path / "rounds.json").write_text(json.dumps(plan), "utf-8")

    def results(self) -> list[dict[str, object]]:
        """What the runs have done so far."""
        path = self.place.path / "results.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_S) -> None:
    """Wait for `condition`; `TimeoutError` that says `what` did not come true."""
    end_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_at:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)
