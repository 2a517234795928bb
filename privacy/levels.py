"""How long a person's vector of whole numbers may be, against how many coordinates it has."""

import math

from privacy.charges import check_levels
from privacy.errors import BoundError, TermsError


def steps_per_clip(levels: int, coordinates: int) -> float:
    """How many steps of the grid the clip is long: a value is its whole number times clip / steps.

    The largest s that leaves room for rounding: s² + N/4 + s + √N/2 ≤ levels² (Kairouz, Liu, Steinke 2021, §4.2
    with β = e^{-1/2}, in units of the grid), so that a rounding keeps the norm with a probability above 0.39.

    >>> round(steps_per_clip(1000, 4096), 1)
    999.0
    """
    check_levels(levels)
    needed = fewest_levels(coordinates)
    if levels < needed:
        raise TermsError(
            f"found levels = {levels} for {coordinates:,} coordinates, whose rounding alone would fill them; expected "
            f"at least {needed}. Write levels = {ample_levels(coordinates)} for a rounding error that hardly counts."
        )
    return _steps(levels, coordinates)


def fewest_levels(coordinates: int) -> int:
    """The smallest number of levels that leaves the clip one step of the grid."""
    if isinstance(coordinates, bool) or not isinstance(coordinates, int) or coordinates < 1:
        raise BoundError(f"found {coordinates!r} coordinates; expected a whole number of at least 1.")
    levels = math.isqrt(coordinates // 4)
    while levels * levels < 2 + coordinates / 4 + math.sqrt(coordinates) / 2:
        levels += 1
    return levels


def ample_levels(coordinates: int) -> int:
    """Levels with which rounding takes 3 % of the clip and adds next to no error: four times the fewest."""
    return 4 * fewest_levels(coordinates)


def sum_deviation(noise: float, people: float, levels: int, coordinates: int) -> float:
    """Of one coordinate of a sum, in whole numbers: of noise of deviation `noise`, and of so many people whose updates
    are as long as the clip and all point the same way, turned at random.
    """
    return math.hypot(noise, people * levels / math.sqrt(coordinates))


def _steps(levels: int, coordinates: int) -> float:
    room = levels**2 + 0.5 - (math.sqrt(coordinates) + 1) ** 2 / 4  # completes the square (s + ½)²
    return math.sqrt(room) - 0.5
