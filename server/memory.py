"""What the server remembers between rounds beside the weights: committed with each round, read back on resume."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from federation.errors import StoreError
from federation.ids import PartyId
from server.optimisers import ByWeight, Moments
from server.scaffold import Control

FIRST, SECOND, CONTROL, COUNTED = "first/", "second/", "control", "counted/"


@dataclass(frozen=True)
class Memory:
    """Moments of FedAdam and FedYogi by weight, and SCAFFOLD's control variate; FedAvg remembers nothing."""

    moments: ByWeight = field(default_factory=dict, repr=False)
    control: Control | None = None


def to_bytes(memory: Memory) -> bytes:
    """The memory as safetensors, float64 as it is; nothing for an empty one."""
    arrays = {FIRST + name: item.first for name, item in memory.moments.items()}
    arrays |= {SECOND + name: item.second for name, item in memory.moments.items()}
    if memory.control:
        arrays[CONTROL] = memory.control.vector
        arrays |= {COUNTED + party: np.array([round]) for party, round in memory.control.counted.items()}
    return safetensors.numpy.save(arrays) if arrays else b""


def from_bytes(data: bytes) -> Memory:
    """The inverse of `to_bytes`, bit by bit; `StoreError` for anything else."""
    try:
        found = safetensors.numpy.load(data) if data else {}
        moments = {name: Moments(first, found[SECOND + name]) for name, first in _under(FIRST, found).items()}
        counted = {PartyId(party): int(round[0]) for party, round in _under(COUNTED, found).items()}
        return Memory(moments, Control(found[CONTROL], counted) if CONTROL in found else None)
    except (SafetensorError, LookupError) as error:
        raise StoreError("what the server remembers between rounds is damaged; restore a backup.") from error


def _under(prefix: str, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in found.items() if name.startswith(prefix)}
