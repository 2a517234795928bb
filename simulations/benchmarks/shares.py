"""How strong the noise is that parties share, in a sum for which all of them answered."""

import math
from dataclasses import dataclass

from federation import quorum
from privacy.levels import ample_levels, steps_per_clip


@dataclass(frozen=True)
class Shares:
    """Who adds shares of the noise: `contributors`, of whom `colluding` may tell theirs, and some may be missing."""

    contributors: int
    min_parties: int
    colluding: int

    @property
    def surplus(self) -> float:
        """How many times the variance that ε asks for a sum of all has: shares are sized for the smallest sum that is
        ever told, less those that may collude.

        >>> round(Shares(5, 4, 1).surplus, 2), round(Shares(6, 5, 1).surplus, 2)
        (1.67, 1.5)
        """
        return self.contributors / (quorum.smallest_sum(self.contributors, self.min_parties) - self.colluding)

    def multiplier(self, asked: float, coordinates: int) -> float:
        """The multiplier of Gaussian noise of that variance; `asked`: what ε takes, `coordinates`: of the lanes.

        Skellam noise is measured by levels, of which rounding takes some: a clip is fewer steps of the grid long.
        """
        levels = ample_levels(coordinates)
        return asked * math.sqrt(self.surplus) * levels / steps_per_clip(levels, coordinates)
