"""The view: the model as all nodes of a task know it, moved once a round by one difference in few bits.

After round r the coordinator codes d = encode(g · (model_r - view_{r-1})), with g a little above 1, and everybody moves
on to view_r = view_{r-1} + decode(d): what a difference leaves out is in the next one (error feedback at the server, as
in Tang et al. 2019, "DoubleSqueeze", Algorithm 1, where g = 1). Sums of float32 are the same on every machine, hence so
is the view, whose digest is its name. The first view is the first model.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from federation import codecs
from federation.codecs.checks import Data, Vector, require_finite
from federation.errors import WireError
from federation.terms import ExchangeTerms

DIFFERENCES = "ecq"
"""The `down` codec that codes differences of views, where the others code each model by itself."""
WHOLE = "raw32"
"""How a view travels to a party that cannot follow the differences."""
NO_SEED = 0
"""These codecs draw nothing: the same difference is the same bytes."""
LENGTH_BYTES = 4
AHEAD = 0.4
"""How far a difference overshoots, as a part of what such codes leave out. At half a bit a view that follows a steady
drift is then 1.3 rounds late, not 2.3, and no further from the model.
"""


@dataclass(frozen=True)
class View:
    """All weights in sorted order, as nodes have them: float32 (parameters,)."""

    vector: Vector = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of little-endian float32: the name of a model that everybody trains from."""
        return hashlib.sha256(self.vector.astype("<f4", copy=False).data).hexdigest()


def is_shared(terms: ExchangeTerms) -> bool:
    """Whether nodes of a task with these terms keep a view."""
    return terms.down == DIFFERENCES


def difference(view: View, model: Vector, terms: ExchangeTerms) -> bytes:
    """What moves `view` towards `model`; `WireError` if the model diverged.

    A code of few bits brings little of what is new at once: the view would trail rounds behind a model that keeps its
    direction. So the difference is lengthened by a part of 4^-bits, the least that any code leaves out of Gaussian
    values; what it overshoots is taken back by the next one.
    """
    with np.errstate(over="ignore"):  # the codec refuses ∞, with advice
        wanted = (model - view.vector) * np.float32(1 + AHEAD * 4**-terms.down_bits)
    return codecs.find(terms.down, terms.down_bits).encode(wanted, NO_SEED)


def moved(view: View, coded: Data, terms: ExchangeTerms) -> View:
    """`view`, moved by a coded difference; `WireError` for bytes that no coordinator of ours sends."""
    step = codecs.find(terms.down, terms.down_bits).decode(coded, len(view.vector), NO_SEED)
    with np.errstate(over="ignore"):
        vector = view.vector + step
    require_finite(vector)
    return View(vector)


def join(differences: Sequence[bytes]) -> bytes:
    """A payload of several differences, the earliest first: the length of each (u32, little-endian) before it."""
    return b"".join(len(coded).to_bytes(LENGTH_BYTES, "little") + coded for coded in differences)


def split(payload: Data, count: int) -> tuple[Data, ...]:
    """The inverse of `join` for `count` differences; else `WireError`, before any of them is decoded."""
    parts, start = [], 0
    for _ in range(count):
        end = start + LENGTH_BYTES + int.from_bytes(payload[start : start + LENGTH_BYTES], "little")
        parts.append(payload[start + LENGTH_BYTES : end])
        start = end
    if start != len(payload):
        raise WireError(
            f"{len(payload)} bytes of differences do not end where the last of {count} ends; the message was cut off "
            "or damaged."
        )
    return tuple(parts)
