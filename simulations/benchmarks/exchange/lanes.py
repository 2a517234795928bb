"""Lanes of secure aggregation: error of a sum, coordinates that wrap around, bytes beside those of the values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from federation.codecs import Vector, lane
from privacy.noise import os_source

BITS = (4, 6, 8, 10, 12, 16)
PARTIES = 10
LONG_SEEDS = 3
"""Few coordinates wrap, and each that does weighs: one sum is not enough, and eight take minutes."""
LARGEST_ERROR, MOST_WRAPPED, AT_BITS = 0.0025, 1e-4, 8
"""Targets of a sum of parties that agree."""


def sums(long: Vector, real: Sequence[Vector], seeds: int) -> list[dict[str, Any]]:
    """Errors of sums at each width: `long` from parties that agree and from ones that do not, and real updates.

    Parties that do not agree have the values of `long` in another order, each.
    """
    draw = np.random.default_rng(2)
    apart = [draw.permutation(long) for _ in range(PARTIES)]
    cases: tuple[tuple[str, Sequence[Vector], bool], ...] = (
        ("1M values, Student's t, the same in all parties", [long] * PARTIES, True),
        ("1M values, Student's t, unlike in all parties", apart, False),
        ("updates of the watch task", real, False),
    )
    return [
        _sum(of, vectors, bits, seeds if len(vectors[0]) < len(long) else LONG_SEEDS, agree)
        for of, vectors, agree in cases
        for bits in BITS
    ]


def _sum(of: str, vectors: Sequence[Vector], bits: int, seeds: int, agree: bool) -> dict[str, Any]:
    found = [error(vectors, bits, seed) for seed in range(seeds)]
    size, lanes = len(vectors[0]), lane.coordinates(len(vectors[0]))
    return {
        "vectors": of,
        "parties": len(vectors),
        "lane bits": bits,
        "bits per value": round(bits * lanes / size, 3),
        "error": float(f"{np.median([part for part, _ in found]):.3g}"),
        "wrapped": float(f"{np.mean([part for _, part in found]):.1g}"),
        "target": LARGEST_ERROR if agree and bits == AT_BITS else None,
    }


def error(vectors: Sequence[Vector], bits: int, seed: int) -> tuple[float, float]:
    """‖ŝ − s‖² / ‖s‖² of the sum s, and the part of its coordinates that wrapped; the clip is the largest norm."""
    size, parties = len(vectors[0]), len(vectors)
    clip = max(float(np.linalg.norm(vector.astype(np.float64))) for vector in vectors)
    total = np.zeros(lane.coordinates(size), np.int64)
    for vector in vectors:
        total += lane.unwrap(lane.to_lanes(vector, clip, parties, bits, seed, os_source()), bits)
    exact = np.sum(vectors, axis=0, dtype=np.float64)
    found = lane.from_lanes(lane.wrap(total, bits), size, clip, parties, bits, seed)
    wrapped = np.mean(lane.unwrap(lane.wrap(total, bits), bits) != total)
    return float(np.square(found - exact).sum() / np.square(exact).sum()), float(wrapped)


def there_and_back(vector: Vector, bits: int) -> tuple[bytes, float]:
    """One party's packed lanes, and the clip, which is its norm."""
    clip = float(np.linalg.norm(vector))
    return lane.pack(lane.to_lanes(vector, clip, PARTIES, bits, 1, os_source()), bits), clip
