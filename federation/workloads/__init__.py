"""The closed list of installed workloads; a name that is not here does not exist.

To add one: write `federation/workloads/NAME.py` with a module constant `WORKLOAD`, add a line to `INSTALLED`,
run ``paceline workload check NAME``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from federation.errors import WorkloadError
from federation.workload import Workload, source_digest

if TYPE_CHECKING:
    from federation.manifest import Manifest

INSTALLED = ("exercise_recognition", "running_pace")


def find(name: str) -> Workload:
    """The installed workload called `name`, or `WorkloadError` that lists what is installed."""
    if name not in INSTALLED:
        raise WorkloadError(f"workload {name!r} is not installed here; installed: {', '.join(INSTALLED)}.")
    workload = import_module(f"federation.workloads.{name}").WORKLOAD
    if not isinstance(workload, Workload):
        raise WorkloadError(f"federation/workloads/{name}.py holds no Workload called WORKLOAD.")
    return workload


def agreed(manifest: "Manifest") -> Workload:
    """The installed workload, if it is byte by byte the one that the contract names; else `WorkloadError`."""
    workload, pin = find(manifest.workload.name), manifest.workload
    found = source_digest(workload)
    if (found, workload.version) != (pin.digest, pin.version):
        raise WorkloadError(
            f"{workload.name} is version {workload.version} ({found[:12]}) here; task {manifest.name} is about version "
            f"{pin.version} ({pin.digest[:12]}). Install the release of paceline that the task was signed for."
        )
    return workload
