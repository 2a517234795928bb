"""The closed list of installed workloads; a name that is not here does not exist.

To add one: write `federation/workloads/NAME.py` with a module constant `WORKLOAD`, add a line to `INSTALLED`,
run ``paceline workload check NAME``.
"""

from importlib import import_module

from federation.errors import WorkloadError
from federation.workload import Workload

INSTALLED = ("exercise_recognition", "running_pace")


def find(name: str) -> Workload:
    """The installed workload called `name`, or `WorkloadError` that lists what is installed."""
    if name not in INSTALLED:
        raise WorkloadError(f"workload {name!r} is not installed here; installed: {', '.join(INSTALLED)}.")
    workload = import_module(f"federation.workloads.{name}").WORKLOAD
    if not isinstance(workload, Workload):
        raise WorkloadError(f"federation/workloads/{name}.py holds no Workload called WORKLOAD.")
    return workload
