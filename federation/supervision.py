"""Keeps a few programs running: restarts with back-off, one supervisor per folder, no orphans."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from federation.errors import UsageError

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
STEADY_S = 20.0
STOP_S = 10.0
LOOK_EVERY_S = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """One program to keep running; what it writes goes to the file `log`."""

    name: str
    command: tuple[str, ...]
    log: Path


@dataclass
class _Kept:
    """A program with its present process, if any."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    backoff_s: float = field(default=FIRST_BACKOFF_S)


def run(programs: Sequence[Program], folder: Path, say: Say | None = None) -> None:
    """Keep `programs` running until SIGINT or SIGTERM, then stop them, last one first.

    Returns after SIGTERM; after SIGINT it raises `KeyboardInterrupt`, once everything has stopped.
    `UsageError` if another supervisor already works in `folder`. Each program should call `end_with_parent` first, so
    that none outlives a supervisor that was killed.
    """
    tell = say or _stderr
    came: list[int] = []
    with _only_one(folder), _signals(came):
        kept = [_Kept(program) for program in programs]
        try:
            while not came:
                for one in kept:
                    _look_after(one, tell)
                time.sleep(LOOK_EVERY_S)
        finally:
            for one in reversed(kept):
                _stop(one, tell)
    if signal.SIGINT in came:
        raise KeyboardInterrupt


def end_with_parent() -> None:
    """End this process at once when the supervisor is gone: the pipe that it holds as our standard input breaks.

    Works after kill -9 too, on every POSIX system, and frees ports and locks before the next start.
    """
    threading.Thread(target=_watch_standard_input, name="end-with-parent", daemon=True).start()


def _watch_standard_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def pid_file(folder: Path) -> Path:
    """Where the supervisor of `folder` writes its process number, while it holds a lock on that file."""
    return folder / "supervisor.pid"


def running(folder: Path) -> int | None:
    """The process number of the supervisor that works in `folder`, if one does."""
    path = pid_file(folder)
    if not path.is_file():
        return None
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read().strip() or 0)
    return None


def _look_after(one: _Kept, tell: Say) -> None:
    now = time.monotonic()
    if one.process is None:
        if now >= one.start_at:
            _start(one, now)
            tell(f"{one.program.name} started")
        return
    code = one.process.poll()
    if code is None:
        return
    _close(one)
    if now - one.started >= STEADY_S:
        one.backoff_s = FIRST_BACKOFF_S
    one.start_at = now + one.backoff_s
    tell(f"{one.program.name} ended ({_ending(code)}), starts again in {one.backoff_s:g} s; see {one.program.log}")
    one.backoff_s = min(2 * one.backoff_s, MAX_BACKOFF_S)


def _start(one: _Kept, now: float) -> None:
    one.program.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with one.program.log.open("ab") as log:
        one.process = spawn(one.program.command, log)
    one.started = now


def spawn(command: Sequence[str], log: IO[bytes] | int | None) -> subprocess.Popen[bytes]:
    """Start a program whose standard input is a pipe that ends with us; Ctrl-C reaches us only, not the program."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)


def _stop(one: _Kept, tell: Say) -> None:
    if one.process is None:
        return
    end(one.process, STOP_S)
    one.process = None
    tell(f"{one.program.name} stopped")


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Ask a process to stop; kill it if it has not after `patience_s`."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _close(one: _Kept) -> None:
    if one.process is not None and one.process.stdin is not None:
        one.process.stdin.close()
    one.process = None


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    path = pid_file(folder)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UsageError(
                f"{folder} is running already (process {file.read().strip() or 'unknown'}); stop that one first."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)


@contextlib.contextmanager
def _signals(came: list[int]) -> Iterator[None]:
    """Write down the signals that ask us to stop."""
    asking = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda found, _: came.append(found)) for number in asking}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _stderr(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
