"""What each step of the exchange costs for ten million parameters: seconds and memory.

Each step runs in a process of its own, whose peak of memory is counted from where it stood with its inputs in place.
"""

import ctypes
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from federation import codecs
from federation.codecs import Vector, lane
from federation.workloads import find
from privacy.noise import os_source
from privacy.secagg.masking import mask, unmask
from privacy.secagg.secrets import Secrets, public_key
from simulations.benchmarks.exchange.jobs import Job

PARTIES, BITS, TIMES, SEED = 10, 8, 3, 1
URQ_BITS, ECQ_BITS = 0.1, 0.5
CONTEXT = b"benchmark"
MEGA, WIDTH = 1e6, 324
Action = Callable[[], object]
Table = list[dict[str, Any]]


def model(name: str) -> Mapping[str, torch.Tensor]:
    """A model by the number of its parameters: the watch task's, a small convolutional one, a transformer.

    No two arrays are alike, as in models that were trained: Flower sends equal arrays but once.
    """
    shapes = find("exercise_recognition").initial(0) if name == "14k" else _network(name).state_dict()
    draw = torch.Generator().manual_seed(SEED)
    return {key: torch.randn(tensor.shape, generator=draw) for key, tensor in shapes.items()}


def _network(name: str) -> nn.Module:
    if name == "84k":
        layers = (nn.Conv1d(6, 64, 13), nn.Conv1d(64, 96, 7), nn.Conv1d(96, 64, 5), nn.Linear(64, 64))
        return nn.Sequential(*layers, nn.Linear(64, 12))
    blocks = (nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, batch_first=True) for _ in range(8))
    return nn.Sequential(nn.Linear(6, WIDTH), *blocks, nn.Linear(WIDTH, 12))


def flat(state: Mapping[str, torch.Tensor]) -> Vector:
    """All values in one vector, in sorted order."""
    return np.concatenate([state[name].numpy().ravel() for name in sorted(state)]).astype(np.float32)


def update(size: int) -> Vector:
    """Values that are spread as those of updates are: Student's t."""
    return np.random.default_rng(1).standard_t(3, size).astype(np.float32)


def _coding(name: str, bits: float) -> Iterator[tuple[str, Action]]:
    codec, vector = codecs.find(name, bits), update(len(flat(model("10M"))))
    sent = codec.encode(vector, SEED)
    yield f"{name} {bits:g}, encode", lambda: codec.encode(vector, SEED)
    yield f"{name} {bits:g}, decode", lambda: codec.decode(sent, len(vector), SEED)


def _lanes() -> Iterator[tuple[str, Action]]:
    vector = update(len(flat(model("10M"))))
    size, clip = len(vector), float(np.linalg.norm(vector))
    count = lane.coordinates(size)
    lanes = lane.to_lanes(vector, clip, PARTIES, BITS, SEED, os_source())
    sent = lane.pack(lanes, BITS)
    secrets = {point: Secrets.fresh(os_source()) for point in range(1, PARTIES + 1)}
    publics = {point: public_key(own.mask_seed) for point, own in secrets.items()}
    seeds = {point: own.self_seed for point, own in secrets.items()}
    yield "lanes, quantise", lambda: lane.to_lanes(vector, clip, PARTIES, BITS, SEED, os_source())
    yield "lanes, mask", lambda: _masked(lanes, secrets[1], publics)
    yield "lanes, pack", lambda: lane.pack(lanes, BITS)
    yield "lanes, unpack", lambda: lane.unpack(sent, count, BITS)
    total = lanes.copy()
    yield "lanes, unmask", lambda: unmask(total, BITS, seeds, {}, publics, CONTEXT)
    yield "lanes, read the sum", lambda: lane.from_lanes(total, size, clip, PARTIES, BITS, SEED)


def _masked(lanes: lane.Lanes, own: Secrets, publics: Mapping[int, bytes]) -> None:
    lanes.setflags(write=True)  # what left may not be changed; here the next mask goes on top
    mask(lanes, BITS, own, 1, publics, CONTEXT)


STEPS: Mapping[str, Callable[[], Iterator[tuple[str, Action]]]] = {
    "urq": lambda: _coding("urq", URQ_BITS),
    "ecq": lambda: _coding("ecq", ECQ_BITS),
    "lanes": _lanes,
}


def jobs() -> dict[str, Job]:
    """Each kind of step, by name."""
    return {kind: partial(alone, kind) for kind in STEPS}


def alone(kind: str) -> Table:
    """The steps of one kind, in a process of their own."""
    command = [sys.executable, "-m", "simulations.benchmarks.exchange.large", kind]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rows: Table = json.loads(done.stdout)
    return rows


def measured(kind: str) -> Table:
    """The steps of one kind, here and now: seconds of the processor, medians, and the peak of memory."""
    return [_cost(name, action) for name, action in STEPS[kind]()]


def _cost(name: str, action: Action) -> dict[str, Any]:
    taken = []
    action()  # what is made once, caches and imports, is no step's cost
    before = _reset()
    for _ in range(TIMES):
        start = time.process_time()
        action()
        taken.append(time.process_time() - start)
    peak = _status("VmHWM") - before
    values = len(flat(model("10M")))
    return {
        "step": name,
        "ms": round(1e3 * statistics.median(taken)),
        "MB/s of float32": round(4 * values / MEGA / statistics.median(taken)),
        "peak above its inputs, MB": round(peak / MEGA),
        "in float32 models": round(peak / (4 * values), 1),
    }


def _reset() -> int:
    """Forget the peak of memory so far, and give back what is free; what is held now, in bytes."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measured(sys.argv[1])))
