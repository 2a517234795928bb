"""What differential privacy promises against any attack, with what an attack's success proves about ε.

Above the first the mechanism is broken; the second is never above the ε that was stated, unless it is broken.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtr, ndtr, ndtri

from privacy.accounting import Charge, epsilon
from privacy.audits import most_events
from simulations.attacks.measures import Floats

ERROR = 0.05
HIGHEST_EPSILON = 50.0
DELTAS = tuple(10.0**-power for power in range(1, 13))


@dataclass(frozen=True)
class Promise:
    """All the (ε, δ) that the same noise gives at once; `pairs` holds some of them."""

    pairs: tuple[tuple[float, float], ...]

    def most_found(self, false_positives: Floats) -> Floats:
        """The highest rate of true positives of any test at these false ones."""
        least: Floats = np.min([most_true_positives(false_positives, *pair) for pair in self.pairs], axis=0)
        return least

    def most_area(self) -> float:
        """The largest area under the ROC curve of any test."""
        grid = np.concatenate([[0.0], np.geomspace(1e-9, 1.0, 4001)])
        return float(np.trapezoid(self.most_found(grid), grid))

    def most_advantage(self) -> float:
        """The highest true minus false positive rate of any test."""
        return min(most_advantage(*pair) for pair in self.pairs)


def promised(cost: Charge, rounds: int) -> Promise:
    """What `rounds` charges of `cost` promise a person, by RDP at many δ."""
    return Promise(tuple((epsilon(cost, rounds, delta), delta) for delta in DELTAS))


def most_true_positives(false_positives: Floats, bound: float, delta: float) -> Floats:
    """The highest rate of true positives of any test at these false ones (Kairouz et al. 2015, Theorem 2.1)."""
    near = np.exp(min(bound, 500.0)) * false_positives + delta
    far = 1 - math.exp(-bound) * (1 - delta - false_positives)
    found: Floats = np.clip(np.minimum(near, far), 0.0, 1.0)
    return found


def most_read(chance: float, noise_multiplier: float) -> float:
    """How often anybody who guesses right with `chance` guesses right after one round without sampling.

    A guess from the sum without the person is right by chance; the noise is moved by at most 1/σ (Dong et al. 2022,
    Theorem 2.7; Hayes et al. 2023, §2).
    """
    return float(ndtr(ndtri(chance) + 1 / noise_multiplier))


def most_advantage(bound: float, delta: float) -> float:
    """The highest true minus false positive rate of any test (Kairouz et al. 2015, Remark A.1)."""
    return min(1.0, math.tanh(bound / 2) + 2 * delta / (1 + math.exp(min(bound, 500.0))))


def epsilon_from_guesses(canaries: int, guesses: int, correct: int, delta: float, error: float = ERROR) -> float:
    """ε is at least this, but for an `error`: one run, `correct` of `guesses` about `canaries` drawn by fair coins.

    Steinke, Nasr & Jagielski 2023, Theorem 5.2. Canaries about which nothing was guessed count in `canaries` only.
    """

    def excess(bound: float) -> float:
        return _luck(canaries, guesses, correct, (bound, delta)) - error

    return _first_crossing(excess)


def epsilon_from_rates(found: int, present: int, alarms: int, absent: int, delta: float) -> float:
    """ε is at least this, but for an `ERROR`: `found` of `present` canaries, `alarms` of `absent` ones.

    Clopper-Pearson bounds on both error rates in the hypothesis-testing region (Jagielski et al. 2020, §4). The
    threshold must have been chosen on other trials, and trials must be independent.
    """
    missed, alarmed = most_events(present - found, present, ERROR / 2), most_events(alarms, absent, ERROR / 2)
    ratios = ((1 - missed - delta, alarmed), (1 - alarmed - delta, missed))
    return max(0.0, *(math.log(top / bottom) for top, bottom in ratios if top > 0))


def _luck(canaries: int, guesses: int, correct: int, terms: tuple[float, float]) -> float:
    """The chance, at most, that a mechanism with these (ε, δ) lets so many guesses come true."""
    bound, delta = terms
    right = 1 / (1 + math.exp(-bound))
    if not correct:
        return 1.0
    fewer = float(bdtr(correct - 1, guesses, right))
    counts = np.arange(1, correct + 1)
    much_fewer = np.append(bdtr(correct - 1 - counts[:-1], guesses, right), 0.0)
    slack = float(np.max((fewer - much_fewer) / counts))
    return min(1.0, 1 - fewer + 2 * slack * delta * canaries)


def _first_crossing(excess: Callable[[float], float]) -> float:
    """The largest ε that is refuted: below it `excess` is negative, that is, luck explains too little."""
    if excess(0.0) >= 0:
        return 0.0
    if excess(HIGHEST_EPSILON) < 0:
        return HIGHEST_EPSILON
    return float(brentq(excess, 0.0, HIGHEST_EPSILON))  # type: ignore[no-untyped-call]
