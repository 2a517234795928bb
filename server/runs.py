"""Launching, stopping and resuming tasks: our store says what shall run, Flower runs it."""

from contextlib import suppress
from datetime import timedelta

from federation.errors import LinkError, PacelineError, UsageError
from server import superlink, supervisor, tasks
from server.app.lock import is_working
from server.settings import ServerFolder
from server.store import ServerStore, TaskState

STARTING = timedelta(seconds=15)
"""How long a run may take from being asked for to holding its task's lock."""


def launch(store: ServerStore, folder: ServerFolder, name: str) -> int:
    """Start a signed and accepted task for the first time; Flower's number of the run."""
    tasks.require_launchable(store, folder, name)
    _require_up(folder)
    store.set_task_state(name, TaskState.RUNNING)
    return _start(store, folder, name)


def resume(store: ServerStore, folder: ServerFolder, name: str) -> int:
    """Go on after the last committed round of a task that failed, was stopped or lost its process."""
    task = store.task(name)
    if task.state in (TaskState.DRAFT, TaskState.SIGNED):
        raise UsageError(f"task {name} was never launched; start it with: paceline task launch {name}")
    if task.state is TaskState.COMPLETED:
        raise UsageError(f"task {name} is completed; see it with: paceline release show {name}")
    tasks.require_runnable(store, folder, name)
    _require_up(folder)
    if task.state is TaskState.RUNNING and is_working(folder.path, name):
        raise UsageError(f"task {name} is running already; see it with: paceline task watch {name}")
    _end_stale_runs(store, folder, name)
    if task.state is not TaskState.RUNNING:
        store.set_task_state(name, TaskState.RUNNING)
    return _start(store, folder, name)


def stop(store: ServerStore, folder: ServerFolder, name: str) -> None:
    """End a running task; what it committed stays, the round in flight is lost."""
    task = store.task(name)
    if task.state is not TaskState.RUNNING:
        raise UsageError(f"task {name} is {task.state}, not running; there is nothing to stop.")
    store.set_task_state(name, TaskState.STOPPED, "stopped by the operator")
    if task.run_id is None or supervisor.running(folder) is None:
        return
    with suppress(LinkError):  # the rounds stop by themselves at the next one: they read the state
        superlink.stop_run(folder, task.run_id)


def orphans(store: ServerStore, folder: ServerFolder) -> frozenset[str]:
    """Tasks that should be running but have no process: it was killed, for a run that fails says so itself."""
    running = (task.name for task in store.tasks() if task.state is TaskState.RUNNING)
    return frozenset(name for name in running if not is_working(folder.path, name))


def _end_stale_runs(store: ServerStore, folder: ServerFolder, name: str) -> None:
    """End runs whose process was killed: Flower takes a minute to notice, the task's lock tells at once.

    `UsageError` for one that is so young that it may not have taken the lock yet.
    """
    stale = [run for run in superlink.runs(folder) if run.task == name and not run.outcome]
    if any(store.clock() - run.asked_at < STARTING for run in stale):
        raise UsageError(f"task {name} is starting already; see it with: paceline task watch {name}")
    for run in stale:
        superlink.stop_run(folder, run.run_id)


def _start(store: ServerStore, folder: ServerFolder, name: str) -> int:
    try:
        run_id = superlink.start_run(folder, name)
    except PacelineError as error:
        store.set_task_state(name, TaskState.FAILED, f"could not be started: {error}")
        raise
    store.set_run(name, run_id)
    return run_id


def _require_up(folder: ServerFolder) -> None:
    if supervisor.running(folder) is None:
        raise LinkError(f"the coordinator is not running; start it with: paceline server up --dir {folder.path}")
