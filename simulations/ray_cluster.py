"""Starts Ray for one run, or joins a cluster that runs already, and ends what it started."""

import contextlib
import gc
import importlib.util
import logging
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from federation.errors import UsageError
from federation.supervision import end
from simulations.settings import set_for_ray

AUTO = "auto"
PREFIX = "paceline-ray-"
STOP_S = 5.0


def require() -> None:
    """`UsageError` where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("engine = \"ray\" needs Ray, which is not installed: pip install 'paceline[ray]'.")


@contextlib.contextmanager
def ray_running(address: str, cpus: int, object_store_mb: int) -> Iterator[None]:
    """Ray on this machine with `cpus` processors (0: all), or the cluster at `address`; ended on the way out.

    What we start listens on the loopback interface only and takes a token of this process. No dashboard, no
    statistics sent, no file left behind.
    """
    require()
    set_for_ray(local=not address, token=_token())
    import ray  # after the environment: Ray reads it when it is imported

    with _narrow_warnings(), _signals_kept(), _folder() as folder:
        started: list[subprocess.Popen[bytes]] = []
        try:
            if address:
                _join(address)
            else:
                started = _start(cpus, object_store_mb, folder)
            yield
        finally:
            ray.shutdown()
            for process in started:  # Ray kills them, but does not wait for their end
                end(process, STOP_S)


def kill_workers() -> None:
    """End the actors of this process's job, whatever they are doing; `ray.shutdown` leaves those who wait for them."""
    import ray
    from ray._private import state, worker

    job = ray.get_runtime_context().get_job_id()
    here: Any = worker.global_worker
    for number, actor in state.actors().items():
        if actor["JobID"] == job and actor["State"] != "DEAD":
            here.core_worker.kill_actor(ray.ActorID.from_hex(number), True)


def _join(address: str) -> None:
    try:
        if address != AUTO:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), STOP_S).close()  # Ray itself tries for minutes
        import ray

        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address}: {error}. "
            "Start one with `ray start --head`, or leave out ray.address to start one here for this run."
        ) from error


def _start(cpus: int, object_store_mb: int, folder: Path) -> list[subprocess.Popen[bytes]]:
    """The processes of the Ray that was started."""
    import ray

    ray.init(
        num_cpus=cpus or None,
        include_dashboard=False,
        object_store_memory=object_store_mb * 2**20,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(folder),
    )
    node: Any = ray._private.worker._global_node
    return [info.process for infos in node.all_processes.values() for info in infos]


@cache
def _token() -> str:
    """One for the process: Ray reads it once and keeps it."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _narrow_warnings() -> Iterator[None]:
    """Ray leaves its log files and child processes to the garbage collector, which Python warns about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray puts a handler of its own in the place of SIGTERM's and leaves it there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Where Ray keeps its sockets; short, since the path of a socket may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
