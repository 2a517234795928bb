"""Runs in processes side by side: one that dies takes only its own run with it."""

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import psutil

from simulations import records
from simulations.sweep.board import Board
from simulations.sweep.folder import Folder
from simulations.sweep.plan import Job
from simulations.sweep.worker import ask

STOP_AFTER_S = 5.0
LOOK_EVERY_S = 0.1
TAIL_CHARS = 400


def run_side_by_side(folder: Folder, jobs: Sequence[Job], at_once: int, board: Board) -> dict[str, str]:
    """Make all `jobs`; the reason of each that failed, by its label. Ctrl-C ends the processes, finished runs stay."""
    count = min(at_once, len(jobs))
    lanes = Lanes(folder, board, jobs, psutil.virtual_memory().available // count)
    threads = [threading.Thread(target=lanes.work, name=f"lane-{number}") for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        _wait(threads)
    finally:
        lanes.stop()
        _wait(threads)
    if lanes.broken:
        raise lanes.broken[0]
    return lanes.failures


def _wait(threads: Sequence[threading.Thread]) -> None:
    """Until all have ended. Looks up now and then: a signal that another thread received wakes nobody who sleeps."""
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(LOOK_EVERY_S)


class Lanes:
    """Jobs that wait, the processes that work on others, and what went wrong. `memory_bytes`: of each process."""

    def __init__(self, folder: Folder, board: Board, jobs: Sequence[Job], memory_bytes: int) -> None:
        self._folder, self._board, self._memory_bytes = folder, board, memory_bytes
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            self._waiting.put(job)
        self._lock, self._stopped = threading.Lock(), False
        self._workers: list[subprocess.Popen[str]] = []
        self.failures: dict[str, str] = {}
        self.broken: list[Exception] = []

    def work(self) -> None:
        """One lane: job after job in the same process, in a new one after it died."""
        try:
            with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
                worker: subprocess.Popen[str] | None = None
                while (job := self._next()) is not None:
                    worker = worker if worker is not None and worker.poll() is None else self._start(log)
                    if worker is None:
                        return
                    self._board.start(job)
                    question = ask(self._folder, job, self._memory_bytes)
                    self._ended(job, _make(worker, question, job, self._board, log))
        except Exception as error:  # shown by the thread that waits for this one
            self.broken.append(error)

    def stop(self) -> None:
        """End all processes; no job is begun any more."""
        with self._lock:
            self._stopped = True
            workers = list(self._workers)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(STOP_AFTER_S)
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                with suppress(OSError):
                    pipe.close() if pipe else None

    def _next(self) -> Job | None:
        try:
            return None if self._stopped else self._waiting.get_nowait()
        except queue.Empty:
            return None

    def _start(self, log: IO[str]) -> subprocess.Popen[str] | None:
        """A new process, in a session of its own: Ctrl-C is for us, and we end it."""
        with self._lock:
            if self._stopped:
                return None
            worker = subprocess.Popen(
                [sys.executable, "-m", "simulations.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            self._workers.append(worker)
            return worker

    def _ended(self, job: Job, problem: str) -> None:
        if self._stopped:
            return
        if problem:
            self.failures[job.label] = problem
        self._board.end(job, problem)


def _make(worker: "subprocess.Popen[str]", question: str, job: Job, board: Board, log: IO[str]) -> str:
    """Why the run failed, or nothing."""
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker without pipes")
    try:
        worker.stdin.write(question)
        worker.stdin.flush()
        for line in worker.stdout:
            said = json.loads(line)
            if "round" in said:
                board.round(job, records.load_round(said["round"]))
            else:
                return str(said.get("failed", ""))
    except OSError:  # a pipe without a reader: the process is gone, its exit says why
        pass
    return _why(worker.wait(), log)


def _why(code: int, log: IO[str]) -> str:
    """What ended a process that said nothing itself."""
    log.seek(0)
    last = log.read()[-TAIL_CHARS:].strip()
    if code == -signal.SIGKILL:
        return "its process was killed (signal 9); when memory ran out, try fewer --jobs or a smaller scenario"
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"its process ended with {how}" + (f": {last.splitlines()[-1]}" if last else "")
