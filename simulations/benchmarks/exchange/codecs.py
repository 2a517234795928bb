"""Codecs: error against bits beside the theoretical limits, sums of lanes, bias on real updates, speed.

The updates are those of the demo's watch task: the parties' own, of its first round.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from clients.training import party_update
from federation import codecs
from federation.codecs import Codec, Vector, lane
from federation.workload import trained_names
from simulations.benchmarks.exchange import lanes
from simulations.benchmarks.exchange.jobs import Found, Job
from simulations.benchmarks.learning import FOLDS, dealt, read
from simulations.benchmarks.record import table, timed
from simulations.datasets import exercise_rows, watch_recordings

ECQ_BITS = 0.5
BITS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
GAPS = {0.1: 0.03, 0.25: 0.08, 1.0: 0.28, 2.0: 0.28, 3.0: 0.28}
LARGEST_BIAS = 0.01
SPEEDS = {"urq": "150 / 150", "ecq": "300 / 200"}
LANE_BITS = (8, 12, 16)
LONG = 2**20
REAL = "updates of the watch task"
SEEDS = 128
Table = Sequence[Mapping[str, Any]]


def jobs() -> dict[str, Job]:
    """What is measured of codecs, by name."""
    return {
        "error": lambda: [*errors("1M values, Student's t", [long()], 1), *errors(REAL, updates(), 8)],
        "lanes": lambda: lanes.sums(long(), updates(), 8),
        "bias": lambda: biases(updates()[0]),
        "speed": lambda: speeds(long()),
    }


def long() -> Vector:
    """Values that are spread as those of updates are."""
    return np.random.default_rng(1).standard_t(3, LONG).astype(np.float32)


@cache
def updates() -> list[Vector]:
    """What each party of the watch task would send in its first round, as it is."""
    task = read("watch")
    names = trained_names(task.first, task.phase, task.training.trains)
    parties = dealt(exercise_rows(watch_recordings()), FOLDS[-1])
    return [
        party_update(task.workload, task.phase, task.first, names, rows, task.training, place).numpy()
        for place, rows in enumerate(parties)
    ]


def every(bits: Sequence[float]) -> list[tuple[Codec, float]]:
    """All codecs with the budget of each, 0 for none."""
    made = [(make(budget), budget) for make in codecs.BUDGETED.values() for budget in bits]
    return [*made, *((codec, 0.0) for codec in codecs.CODECS.values() if not codec.lossless)]


def errors(of: str, vectors: Sequence[Vector], seeds: int) -> list[dict[str, Any]]:
    """Error and bits of each codec, means over `vectors` and seeds; the gap only where the code is unbiased."""
    return [_error(of, codec, budget, vectors, seeds) for codec, budget in every(BITS)]


def _error(of: str, codec: Codec, budget: float, vectors: Sequence[Vector], seeds: int) -> dict[str, Any]:
    spent, error = [], []
    for vector in vectors:
        for seed in range(seeds):
            data = codec.encode(vector, seed)
            difference = codec.decode(data, len(vector), seed).astype(np.float64) - vector
            spent.append(8 * len(data) / len(vector))
            error.append(float(difference @ difference / np.square(vector, dtype=np.float64).sum()))
    bits, found = float(np.mean(spent)), float(np.mean(error))
    gap = bits - limit_bits(found) if codec.unbiased else None
    return {
        "vectors": of,
        "values": len(vectors[0]),
        "codec": codec.name,
        "budget": budget or None,
        "bits spent": round(bits, 4),
        "times fewer than fp32": round(32 / bits, 1),
        "error": float(f"{found:.4g}"),
        "gap, bits": None if gap is None else round(gap, 4),
        "target": GAPS.get(budget) if codec.unbiased else None,
    }


def limit_bits(error: float) -> float:
    """Bits per value that any unbiased code needs for ``error`` = E‖x̂ − x‖² / ‖x‖² on Gaussian values.

    >>> limit_bits(1.0)
    0.5
    """
    return 0.5 * math.log2(1 + 1 / error)


def biases(update: Vector) -> list[dict[str, Any]]:
    """‖E x̂ − x‖² / ‖x‖² of a real update and of its largest value alone: the product of the errors of two disjoint
    sets of seeds, in which all is lost but the bias.
    """
    spike = np.where(np.abs(update) == np.abs(update).max(), update, np.float32(0))
    rows = []
    for of, vector in (("an update of the watch task", update), ("its largest value alone", spike)):
        for codec, budget in every((0.1, 0.25, 1.0)):
            means = [np.zeros(len(vector)), np.zeros(len(vector))]
            for seed in range(SEEDS if codec.unbiased else 2):
                means[seed % 2] += codec.decode(codec.encode(vector, seed), len(vector), seed) - vector
            share = means[0] @ means[1] / (SEEDS / 2 if codec.unbiased else 1) ** 2 / np.square(vector).sum()
            rows.append(
                {"vector": of, "codec": codec.name, "budget": budget or None, "bias²": float(f"{max(share, 0):.1g}")}
            )
    return rows


def speeds(vector: Vector) -> list[dict[str, Any]]:
    """Megabytes of float32 per second, the best of seven."""
    rows = []
    for codec, budget in [*every(BITS), (codecs.find("raw32"), 0.0)]:
        data = codec.encode(vector, 1)
        there = _best(lambda codec=codec: codec.encode(vector, 1))  # type: ignore[misc]
        back = _best(lambda codec=codec, data=data: codec.decode(data, len(vector), 1))  # type: ignore[misc]
        aim = SPEEDS.get(codec.name) if codec.name != "ecq" or budget == ECQ_BITS else None
        rows.append(_speed(vector, codec.name, budget or None, (there, back), aim))
    for bits in LANE_BITS:
        data, clip = lanes.there_and_back(vector, bits)
        there = _best(lambda bits=bits: lanes.there_and_back(vector, bits))  # type: ignore[misc]
        back = _best(lambda *told, data=data, bits=bits, clip=clip: _unpacked(data, len(vector), clip, bits))
        rows.append(_speed(vector, "lane", bits, (there, back), None))
    return rows


def _unpacked(data: bytes, size: int, clip: float, bits: int) -> Vector:
    came = lane.unpack(data, lane.coordinates(size), bits)
    return lane.from_lanes(came, size, clip, lanes.PARTIES, bits, 1)


def _speed(
    vector: Vector, name: str, bits: float | None, taken: tuple[float, float], aim: str | None
) -> dict[str, Any]:
    there, back = (round(vector.nbytes / 1e6 / seconds) for seconds in taken)
    return {"codec": name, "budget": bits, "encode, MB/s": there, "decode, MB/s": back, "target": aim}


def _best(action: Callable[[], object]) -> float:
    """Seconds of the processor: other work on the machine does not count."""
    return min(timed(lambda _: action(), 7).processor_s)


def page(head: str, found: Found) -> str:
    """The Markdown document of what the page of the exchange leaves out."""
    return f"""# Codecs

{head}

What every codec loses at every budget, what sums of lanes lose, and whether codes are unbiased. Speeds, and errors
beside the theoretical limits as a plot, are on the page of [the exchange](exchange.md).

## Error against bits

"Error" is ‖x̂ − x‖² / ‖x‖²; where it is v, an unbiased code of Gaussian values needs ½ log₂(1 + 1/v) bits per value,
and the gap is what is spent above that. All bytes of the payload count. An unbiased error averages out over parties
and rounds; that of raw16 does not, but it is small. ecq is biased too, and has the least error for its bits: it codes
what receivers lack, so that each message puts right what the ones before left out. The limit of biased codes,
4^-bits, is that of normal values; spiky vectors and layers of unlike scales can be coded in less.

{table(found.get("error", ()))}

## Sums of lanes

Under secure aggregation only the sum of lanes is read. The step of a lane is public and suits the worst case, parties
whose updates are all the same; the error of a sum of unlike updates is larger, as the sum is shorter than it could be.
"Wrapped" is the part of the sum's coordinates that passed half of 2^bits; the target is at most
one in {1 / lanes.MOST_WRAPPED:,.0f}.

{table(found.get("lanes", ()))}

## Bias

‖E x̂ − x‖² / ‖x‖² over {SEEDS} seeds, which for an unbiased code is 0 but for chance; the target is {LARGEST_BIAS}.

{table(found.get("bias", ()))}
"""
