"""What the server remembers between rounds beside the weights: committed with each round, read back on resume."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from federation.errors import StoreError
from federation.ids import PartyId
from federation.shared_view import View
from server.optimisers import ByWeight, Moments
from server.scaffold import Control
from server.trail import Difference, Trail

FIRST, SECOND, CONTROL, COUNTED, VIEW, STEP = "first/", "second/", "control", "counted/", "view", "step/"


@dataclass(frozen=True)
class Memory:
    """Moments of FedAdam and FedYogi by weight, SCAFFOLD's control variate, the view that nodes share; FedAvg alone
    remembers nothing.
    """

    moments: ByWeight = field(default_factory=dict, repr=False)
    control: Control | None = None
    trail: Trail | None = None


def to_bytes(memory: Memory) -> bytes:
    """The memory as safetensors, float64 as it is; nothing for an empty one."""
    arrays = {FIRST + name: item.first for name, item in memory.moments.items()}
    arrays |= {SECOND + name: item.second for name, item in memory.moments.items()}
    if memory.control:
        arrays[CONTROL] = memory.control.vector
        arrays |= {COUNTED + party: np.array([round]) for party, round in memory.control.counted.items()}
    if memory.trail:
        arrays |= _of_trail(memory.trail)
    return safetensors.numpy.save(arrays) if arrays else b""


def from_bytes(data: bytes) -> Memory:
    """The inverse of `to_bytes`, bit by bit; `StoreError` for anything else."""
    try:
        found = safetensors.numpy.load(data) if data else {}
        moments = {name: Moments(first, found[SECOND + name]) for name, first in _under(FIRST, found).items()}
        counted = {PartyId(party): int(round[0]) for party, round in _under(COUNTED, found).items()}
        control = Control(found[CONTROL], counted) if CONTROL in found else None
        return Memory(moments, control, _trail(found) if VIEW in found else None)
    except (SafetensorError, LookupError) as error:
        raise StoreError("what the server remembers between rounds is damaged; restore a backup.") from error


def _of_trail(trail: Trail) -> dict[str, np.ndarray]:
    """The view, and each difference under its place and its base."""
    steps = {f"{STEP}{place:04}/{step.base}": step.coded for place, step in enumerate(trail.differences)}
    return {VIEW: trail.view.vector} | {name: np.frombuffer(coded, np.uint8) for name, coded in steps.items()}


def _trail(found: Mapping[str, np.ndarray]) -> Trail:
    steps = sorted(_under(STEP, found).items())
    return Trail(View(found[VIEW]), tuple(Difference(name.split("/")[1], coded.tobytes()) for name, coded in steps))


def _under(prefix: str, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in found.items() if name.startswith(prefix)}
