"""The closed list of installed workloads; a name that is not here does not exist.

To add one: write `federation/workloads/NAME.py` with a module constant `WORKLOAD`, add a line to `INSTALLED`,
run ``paceline workload check NAME``.
"""

import hashlib
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from federation.errors import WorkloadError

if TYPE_CHECKING:
    from federation.manifest import Manifest
    from federation.workload import Workload

INSTALLED = (
    "activity_recognition",
    "exercise_recognition",
    "lift_weight",
    "motion_gan",
    "running_pace",
    "session_recommendation",
)


def find(name: str) -> "Workload":
    """The installed workload called `name`, or `WorkloadError` that lists what is installed."""
    from federation.workload import Workload  # torch comes with it, which most commands never need

    _require_installed(name)
    workload = import_module(f"federation.workloads.{name}").WORKLOAD
    if not isinstance(workload, Workload):
        raise WorkloadError(f"federation/workloads/{name}.py holds no Workload called WORKLOAD.")
    return workload


def digest(name: str) -> str:
    """SHA-256 of the installed file that defines the workload called `name`; what a contract pins.

    A workload that takes functions of another one is also defined by that file: its digest is hashed along.
    """
    _require_installed(name)
    source = Path(__file__).with_name(f"{name}.py").read_bytes()
    others = sorted(set(re.findall(rb"^(?:from|import) federation\.workloads\.(\w+)", source, re.MULTILINE)))
    return hashlib.sha256(source + b"".join(digest(other.decode()).encode() for other in others)).hexdigest()


def require_agreed(manifest: "Manifest") -> None:
    """Raise `WorkloadError` unless the workload installed here is the one in the contract, byte by byte."""
    pin, found = manifest.workload, digest(manifest.workload.name)
    if found != pin.digest:
        raise WorkloadError(
            f"{pin.name} has digest {found[:12]} here; task {manifest.name} is about version {pin.version}, digest "
            f"{pin.digest[:12]}. Install the release of paceline that the task was signed for, or sign a new task."
        )


def agreed(manifest: "Manifest") -> "Workload":
    """The installed workload, if it is the one that the contract names and can be trained as it says.

    Else `WorkloadError`, or `ManifestError` for phases that contradict it.
    """
    from federation.phases import require_possible

    require_agreed(manifest)
    workload = find(manifest.workload.name)
    require_possible(workload, manifest)
    return workload


def _require_installed(name: str) -> None:
    if name not in INSTALLED:
        from federation.misfits import alike

        listed = ", ".join(INSTALLED)
        raise WorkloadError(
            f"workload {name!r} is not installed here; installed: {listed}{alike(name, INSTALLED) or '.'}"
        )
