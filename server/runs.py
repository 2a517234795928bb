"""Launching, stopping and resuming tasks: our store says what shall run, Flower runs it."""

from contextlib import suppress

from federation.errors import LinkError, PacelineError, UsageError
from server import superlink, supervisor, tasks
from server.settings import ServerFolder
from server.store import ServerStore, TaskState


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
    if task.state is not TaskState.RUNNING:
        store.set_task_state(name, TaskState.RUNNING)
    elif working(folder, name):
        raise UsageError(f"task {name} is running already; see it with: paceline task watch {name}")
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


def working(folder: ServerFolder, name: str) -> bool | None:
    """Whether Flower has a run of the task that is not over; None if the coordinator is not up."""
    if supervisor.running(folder) is None:
        return None
    return any(run.task == name and not run.outcome for run in superlink.runs(folder))


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
