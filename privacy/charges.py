"""What is charged: mechanisms under Poisson sampling, whose parameters are checked before any accountant sees them.

With NaN or infinity theirs loop for ever.
"""

from dataclasses import dataclass
from typing import Final

from privacy.errors import TermsError

LOWEST_RATE: Final = 1e-9
LOWEST_NOISE: Final = 1e-7
HIGHEST_NOISE: Final = 1e6
HIGHEST_LEVELS: Final = 2**20


@dataclass(frozen=True)
class SampledGaussian:
    """One charge: each unit takes part with probability `sampling_rate`, noise has σ = `noise_multiplier` × clip."""

    sampling_rate: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        _check(self.sampling_rate, self.noise_multiplier)


@dataclass(frozen=True)
class SampledSkellam:
    """One charge of noise that parties share: Skellam of standard deviation `noise_multiplier` × `levels`.

    Each unit takes part with probability `sampling_rate` and adds whole numbers of an L2 norm ≤ `levels`
    (`privacy.fixed_point`). The more levels, the closer to a Gaussian of the same noise multiplier.
    """

    sampling_rate: float
    noise_multiplier: float
    levels: int

    def __post_init__(self) -> None:
        _check(self.sampling_rate, self.noise_multiplier)
        check_levels(self.levels)


Charge = SampledGaussian | SampledSkellam


def charge(sampling_rate: float, noise_multiplier: float, levels: int = 0) -> Charge:
    """A charge of Skellam noise at `levels`, or of Gaussian noise where they are 0: numbers have no levels then."""
    if levels == 0:
        return SampledGaussian(sampling_rate, noise_multiplier)
    return SampledSkellam(sampling_rate, noise_multiplier, levels)


def check_levels(levels: int) -> None:
    """Raise `TermsError` unless `levels` is a sensible bound of a vector of whole numbers."""
    if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= HIGHEST_LEVELS:
        raise TermsError(
            f"found levels = {levels!r}; expected a whole number from 1 to {HIGHEST_LEVELS:,}. Write the largest L2 "
            "norm that one person's whole numbers may have, such as 1024."
        )


def between(low: float, value: float, high: float) -> bool:
    """Whether `value` is a real number (no bool, no NaN) in [low, high]."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _check(sampling_rate: float, noise_multiplier: float) -> None:
    if not between(LOWEST_RATE, sampling_rate, 1.0):
        raise TermsError(
            f"found sampling rate q = {sampling_rate!r}; expected a probability from {LOWEST_RATE:g} to 1. "
            "Write the share of people that a round samples, such as 0.1."
        )
    if not between(LOWEST_NOISE, noise_multiplier, HIGHEST_NOISE):
        raise TermsError(
            f"found noise multiplier σ = {noise_multiplier!r}; expected a number from {LOWEST_NOISE:g} to "
            f"{HIGHEST_NOISE:g}. Write the noise's standard deviation over the clip, such as 1.0."
        )
