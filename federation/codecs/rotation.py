"""Two public random rotations that spread a vector's energy evenly, so that one quantiser suits all its coordinates.

Signs and a Hadamard transform of blocks (Vargaftik et al. 2022, §3) leave spiky updates biased, because a block mixes
neighbours only. Here the first transform takes strided blocks and the second one contiguous blocks: up to 16 million
values each value reaches every coordinate. The transforms are products of matrices of ±1, unnormalised: on whole
numbers they are exact in float32 while sums stay below 2²⁴, and then equal on every machine.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from federation.codecs.checks import Vector

BLOCKS = (4096, 2048, 1024, 512)
PADDING_BITS, PADDING_SHARE = 64, 0.01
_SIGNS = 1 - 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32)
"""The eight signs that each byte stands for: (256, 8)."""
_AT_ONCE = 2**12
"""Bytes whose signs are looked up together: 128 KB."""
Bits = npt.NDArray[np.uint8]
"""Signs, eight to a byte."""


@dataclass(frozen=True)
class Shape:
    """How a vector is laid out: `blocks` blocks of `block` values, a power of two; zeros fill the last one."""

    blocks: int
    block: int

    @property
    def size(self) -> int:
        """How many values the padded vector has."""
        return self.blocks * self.block


def shape(size: int, bits: float) -> Shape:
    """The layout of a vector of `size` ≥ 1 values, each coded in about `bits`.

    Large blocks spread spikes best; but padding costs bits, which must stay few: `PADDING_BITS` for the whole vector
    and `PADDING_SHARE` for each value. There are never more blocks than values in a block, so that all values mix.

    >>> shape(84_000, 0.1), shape(84_000, 3), shape(20, 1)
    (Shape(blocks=21, block=4096), Shape(blocks=165, block=512), Shape(blocks=1, block=512))
    """
    mixing = [block for block in BLOCKS if block * block >= size] or BLOCKS[:1]
    cheap = [block for block in mixing if -size % block * bits <= PADDING_SHARE * size + PADDING_BITS]
    block = cheap[0] if cheap else min(mixing, key=lambda block: -size % block)
    return Shape(-(-size // block), block)


def forward(vectors: Vector, layout: Shape, shared_seed: int) -> Vector:
    """Vectors (…, size) rotated, padded and `Shape.block` times as long as they were: (…, padded size), of their type.

    Each has products of its own: what it comes to does not depend on the others.
    """
    first, second = _signs(layout, shared_seed)
    padded = np.zeros((*vectors.shape[:-1], layout.size), vectors.dtype)
    padded[..., : vectors.shape[-1]] = vectors
    spare = np.empty_like(padded)
    _turn(padded, first)
    _strided(padded, spare, layout)
    _turn(padded, second)
    _contiguous(padded, spare, layout)
    return padded


def backward(rotated: Vector, layout: Shape, shared_seed: int) -> Vector:
    """The transpose of `forward`: the padded vector that was rotated, times `Shape.block`²."""
    first, second = _signs(layout, shared_seed)
    vector, spare = rotated.copy(), np.empty_like(rotated)
    _contiguous(vector, spare, layout)
    _turn(vector, second)
    _strided(vector, spare, layout)
    _turn(vector, first)
    return vector


def _signs(layout: Shape, shared_seed: int) -> tuple[Bits, Bits]:
    """Two vectors of (padded size / 8,) bytes of signs; PCG64's raw stream is the same in every version of NumPy."""
    words = np.random.PCG64(shared_seed).random_raw(layout.size // 32)
    signs = words.astype("<u8", copy=False).view(np.uint8).reshape(2, -1)
    return signs[0], signs[1]


def _turn(vectors: Vector, signs: Bits) -> None:
    """Give each value its sign, in place; some at a time, whose signs stay in the cache."""
    for start in range(0, len(signs), _AT_ONCE):
        part = signs[start : start + _AT_ONCE]
        vectors[..., 8 * start : 8 * (start + len(part))] *= _SIGNS.take(part, axis=0).reshape(-1)


def _strided(vectors: Vector, spare: Vector, layout: Shape) -> None:
    """Transform the blocks of every `blocks`-th value, in place: fresh memory for each product takes as long again.

    Sylvester's matrix of r·c is the product of those of r and c.
    """
    rows, columns = _sides(layout.block)
    once, twice = (-1, rows, layout.size // rows), (-1, columns, layout.blocks)
    np.matmul(_hadamard(rows), vectors.reshape(once), out=spare.reshape(once))
    np.matmul(_hadamard(columns), spare.reshape(twice), out=vectors.reshape(twice))


def _contiguous(vectors: Vector, spare: Vector, layout: Shape) -> None:
    """Transform the blocks of `block` values that stand together, in place."""
    rows, columns = _sides(layout.block)
    once, twice = (-1, layout.size // columns, columns), (-1, rows, columns)
    np.matmul(vectors.reshape(once), _hadamard(columns), out=spare.reshape(once))
    np.matmul(_hadamard(rows), spare.reshape(twice), out=vectors.reshape(twice))


def _sides(block: int) -> tuple[int, int]:
    exponent = block.bit_length() - 1
    return 1 << (exponent + 1) // 2, 1 << exponent // 2


@cache
def _hadamard(order: int) -> Vector:
    """Sylvester's matrix of ±1: symmetric, (order, order); `order` is a power of two."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < order:
        matrix = np.kron(np.array([[1, 1], [1, -1]], np.float32), matrix)
    matrix.setflags(write=False)
    return matrix
