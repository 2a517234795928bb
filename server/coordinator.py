"""A running coordinator as a value: its folder, key and store, and where its time comes from."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from safetensors.torch import load, save

from federation import codecs, workloads
from federation.ids import TaskDigest
from federation.manifest import Manifest
from federation.phases import phase_of
from federation.shared_view import View
from federation.signing import Identity
from federation.workload import Phase, Vector, Weights, Workload, flatten
from privacy.noise import RandomSource, os_source
from server import memory as remembered
from server.memory import Memory
from server.settings import ServerFolder
from server.store import ServerStore, open_store
from server.trail import Trail


@dataclass(frozen=True, repr=False)
class Coordinator:
    """What a run needs of the operator's side."""

    folder: ServerFolder
    identity: Identity
    store: ServerStore
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    source: RandomSource


def open_coordinator(path: Path) -> Coordinator:
    """The coordinator in folder `path`, with the system's clock and the operating system's randomness."""
    folder = ServerFolder(path)
    return Coordinator(
        folder=folder,
        identity=Identity.load(folder.identity_key),
        store=open_store(folder),
        clock=lambda: datetime.now(UTC),
        sleep=time.sleep,
        source=os_source(),
    )


@dataclass(frozen=True)
class Run:
    """A task with the workload that is installed here."""

    manifest: Manifest
    digest: TaskDigest
    workload: Workload

    def phase(self, round_number: int) -> Phase:
        """What round `round_number` trains."""
        return phase_of(self.workload, self.manifest, round_number)


def run_of(manifest: Manifest) -> Run:
    """`manifest` with its workload, or `WorkloadError` if another version is installed than was signed."""
    return Run(manifest, manifest.digest(), workloads.agreed(manifest))


@dataclass(frozen=True)
class Model:
    """All weights after `round` rounds, with what the server remembers for the next one."""

    round: int
    weights: Weights
    memory: Memory = field(default_factory=Memory, repr=False)


def trail_of(model: Model) -> Trail:
    """The view that nodes share of a model; of the first one it is the model itself."""
    return model.memory.trail or Trail(View(flatten(model.weights, sorted(model.weights))))


def to_bytes(model: Model) -> bytes:
    """The weights as safetensors, which is how they are stored and released."""
    return save({name: tensor.contiguous() for name, tensor in model.weights.items()})


def from_bytes(round_number: int, data: bytes, memory: bytes = b"") -> Model:
    """The inverse of `to_bytes`; `memory` is what `server.memory.to_bytes` made."""
    return Model(round_number, load(data), remembered.from_bytes(memory))


def to_wire(run: Run, vector: Vector, seed: int) -> tuple[bytes, str]:
    """A vector as the task's `down` codec sends it, with the digest of what the parties decode from it."""
    codec = codecs.find(run.manifest.exchange.down)
    payload = codec.encode(vector, seed)
    return payload, vector_digest(codec.decode(payload, len(vector), seed))


def vector_digest(vector: Vector) -> str:
    """SHA-256 of little-endian float32 weights: the name of a model that everybody trains from."""
    return hashlib.sha256(vector.astype("<f4", copy=False).data).hexdigest()
