"""What may leave a node: a closed union of values that passed their gate, turned into bytes by one function."""

from dataclasses import dataclass, field

import numpy as np
import torch

from clients.policy import Unprotected
from federation import codecs
from federation.codecs import lane
from federation.errors import BoundError
from federation.terms import ExchangeTerms
from federation.workload import Vector
from privacy.noise import Private
from privacy.secagg.masking import MaskedShare

_SEAL = object()


@dataclass(frozen=True)
class Public:
    """An update from public or synthetic rows, clipped; made only by `public`."""

    vector: Vector
    _seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise BoundError("a Public update is made only by clients.sendable.public, which clips it.")


Sendable = Private | Unprotected | Public | MaskedShare


def public(update: torch.Tensor, weight: float, clip: float) -> Public:
    """`update` (parameters,), scaled to L2 norm ≤ `clip`, times `weight`: no more than `weight` people's influence."""
    vector = update.to(torch.float64).cpu().numpy()
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm):
        raise BoundError("the update from synthetic rows is not finite; lower the task's learning rate.")
    scale = weight * min(1.0, clip / norm) if norm else 0.0
    return Public((vector * scale).astype(np.float32), _SEAL)


def encode(sendable: Sendable, terms: ExchangeTerms, seed: int) -> bytes:
    """The bytes of a value that may leave, in the task's codec; `seed` is public (`federation.codecs.seeds`)."""
    if isinstance(sendable, MaskedShare):
        return lane.pack(sendable.lanes, sendable.bits)
    return codecs.find(terms.up, terms.up_bits).encode(sendable.vector, seed)
