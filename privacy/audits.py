"""An attack on the noised step itself, which measures how much privacy it really gives.

The auditor runs the step many times with and without one worst-case person and tries to tell which is which. How well
that goes bounds ε from below (Nasr et al. 2023, §4, with Clopper-Pearson intervals): a lower bound above the claim
proves a bug. It cannot prove that there is none.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import brentq
from scipy.special import betaincinv, log_ndtr, ndtr, ndtri

from privacy.errors import TermsError

Step = Callable[[torch.Tensor], npt.NDArray[np.floating]]
"""Updates (people, parameters) in, noised sum (parameters,) out; nobody is left out by sampling."""

MOST_TRIALS: Final = 1_000_000
_ERROR: Final = 1e-6


@dataclass(frozen=True)
class Claim:
    """What the step promises a person: noise of `noise_multiplier` × `clip`, hence an ε at `delta`."""

    noise_multiplier: float
    clip: float
    delta: float

    def epsilon(self) -> float:
        """ε of one Gaussian step without sampling, exactly (Balle & Wang 2018, Theorem 8)."""
        return gaussian_epsilon(1 / self.noise_multiplier, self.delta)


@dataclass(frozen=True)
class Finding:
    """What an audit found: with error probability below 10⁻⁶ the step's ε is at least `lower_bound`."""

    claimed: float
    lower_bound: float
    canary: str
    trials: int

    @property
    def refuted(self) -> bool:
        """Whether the step gives less privacy than it claims."""
        return self.lower_bound > self.claimed


def canaries(parameters: int, clip: float) -> Mapping[str, torch.Tensor]:
    """Worst-case people by name, each (parameters,): what a hostile or broken local training could hand over."""
    axis = torch.zeros(parameters)
    axis[0] = clip
    broken = axis.clone()
    broken[-1] = math.nan
    return {"at the clip": axis, "far beyond the clip": 1e4 * axis, "overflowing": 3e38 * (axis / clip), "NaN": broken}


def audit(step: Step, claim: Claim, parameters: int, trials: int) -> Finding:
    """The strongest finding over all `canaries`, with `trials` runs of `step` with and without each of them."""
    if not 100 <= trials <= MOST_TRIALS:
        raise TermsError(f"found {trials} trials; expected 100 to {MOST_TRIALS:,}.")
    people = torch.full((3, parameters), 0.1 * claim.clip / math.sqrt(parameters))
    without = _scores(step, people, trials)
    rows = canaries(parameters, claim.clip)
    found = []
    for name, row in rows.items():
        distance = _distance(_scores(step, torch.cat([people, row[None]]), trials), without, _ERROR / len(rows))
        found.append(Finding(claim.epsilon(), gaussian_epsilon(distance, claim.delta), name, trials))
    return max(found, key=lambda finding: finding.lower_bound)


def gaussian_epsilon(distance: float, delta: float) -> float:
    """ε at `delta` of telling N(0, 1) from N(distance, 1); 0 where they cannot be told apart, at most 10⁶."""

    def excess(epsilon: float) -> float:
        near, far = distance / 2 - epsilon / distance, -distance / 2 - epsilon / distance
        return float(ndtr(near) - np.exp(epsilon + log_ndtr(far)) - delta)

    if distance <= 0 or excess(0.0) <= 0:
        return 0.0
    most = 1e6
    return most if excess(most) > 0 else float(brentq(excess, 0.0, most))  # type: ignore[no-untyped-call]


def most_events(events: int, count: int, error: float) -> float:
    """Above the rate of what came `events` times in `count`, but for an `error` (Clopper & Pearson 1934)."""
    return 1.0 if events == count else float(betaincinv(events + 1, count - events, 1 - error))


def _scores(step: Step, updates: torch.Tensor, trials: int) -> npt.NDArray[np.float64]:
    """Where the first coordinate came out, (trials,); +∞ where the answer itself gives the canary away."""
    answers = (step(updates) for _ in range(trials))
    return np.array([float(answer[0]) if np.isfinite(answer).all() else math.inf for answer in answers])


def _distance(present: npt.NDArray[np.float64], absent: npt.NDArray[np.float64], error: float) -> float:
    """A lower bound on the distance of the two, in standard deviations, false with probability at most `error`.

    The threshold is chosen on the first half of the trials, the two error rates are bounded on the second.
    """
    half = len(present) // 2
    thresholds = np.quantile(absent[:half], np.linspace(0.02, 1.0, 99))
    guesses = [np.mean(present[:half] <= bar) + np.mean(absent[:half] > bar) for bar in thresholds]
    bar = thresholds[int(np.argmin(guesses))]
    misses, alarms = int((present[half:] <= bar).sum()), int((absent[half:] > bar).sum())
    count = len(present) - half
    missed, alarmed = (most_events(events, count, error / 2) for events in (misses, alarms))
    return float(ndtri(1 - alarmed) - ndtri(missed))
