"""SCAFFOLD at the coordinator (Karimireddy et al. 2020, Algorithm 1, option II): the control variate c.

Parties weigh as many people as they declared, an algorithm provider its public weight: c is the mean of all parties'
variates only if every round weighs them alike, which their numbers of rows would not (rows come and go).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from federation.ids import PartyId
from federation.manifest import Manifest

Vector64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Control:
    """c, float64 (trained parameters,), and the round whose variate of each party is counted in it."""

    vector: Vector64 = field(repr=False)
    counted: Mapping[PartyId, int] = field(default_factory=dict)


def advance(
    before: Control, change: Vector64, answered: tuple[PartyId, ...], manifest: Manifest, round: int
) -> Control:
    """c after the weighted sum `change` of the changes that the parties `answered` in `round`.

    Divided by the whole cohort, the paper's N, not by those who answered: the others' variates stay counted.
    """
    counted = {**before.counted, **dict.fromkeys(answered, round)}
    return Control(before.vector + change / manifest.divisor(), counted)
