"""Rényi DP of noise that parties share: Skellam in whole numbers, with or without Poisson sampling of people.

Valid for add/remove of one unit, whose vector of whole numbers has an L2 norm ≤ levels.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from privacy.charges import SampledSkellam

Curve = npt.NDArray[np.float64]


def curve(cost: SampledSkellam, orders: Sequence[float]) -> Curve:
    """RDP of one charge at `orders`, all above 1: (orders,).

    The theorems are about whole orders. (α-1)·RDP is convex in α (van Erven & Harremoës 2014, Cor. 2) and 0 at α = 1,
    so that the straight line between two whole orders is a bound at those between them.
    """
    wanted = np.asarray(orders, dtype=np.float64)
    whole = np.unique([np.floor(wanted), np.ceil(wanted)]).astype(np.int64)
    whole = whole[whole > 1]
    bounds = _unsampled(cost, whole)
    if cost.sampling_rate < 1:
        bounds = np.minimum(bounds, _sampled(cost, whole))  # sampling never costs: RDP is quasi-convex
    found: Curve = np.interp(wanted, [1, *whole], [0, *(whole - 1) * bounds]) / (wanted - 1)
    return found


def _unsampled(cost: SampledSkellam, orders: npt.NDArray[np.int64]) -> Curve:
    """Agarwal, Kairouz, Liu 2021, Theorem 3.5, with variance μ = (σ × levels)² and Δ₂ = levels, at whole orders.

    α Δ₂²/2μ + min(((2α-1) Δ₂² + 6 Δ₁)/4μ², 3 Δ₁/2μ). A whole number is at most its square, so Δ₁ ≤ Δ₂², and the
    length of the vector does not matter. The first term is the Gaussian's; the second goes to 0 with many levels.
    """
    precision = cost.noise_multiplier**-2
    excess = np.minimum((2 * orders + 5) * (precision / cost.levels) ** 2 / 4, 1.5 * precision)
    bounds: Curve = orders * precision / 2 + excess
    return bounds


def _sampled(cost: SampledSkellam, orders: npt.NDArray[np.int64]) -> Curve:
    """Zhu & Wang 2019, Theorem 5: Poisson sampling at q of any mechanism with RDP ε(·), at whole orders.

    (α-1) ε'(α) ≤ log{(1-q)^{α-1} (αq-q+1) + C(α,2) q² (1-q)^{α-2} e^{ε(2)} + 3 Σ_{ℓ≥3} C(α,ℓ) q^ℓ (1-q)^{α-ℓ}
    e^{(ℓ-1)ε(ℓ)}}. Theirs without the 3 (Theorem 6) needs odd divergences of the mechanism to be positive, which nobody
    has shown of Skellam; nor does the Gaussian's own formula hold for it. So sampling is dearer here than with noise
    at the node: ε is larger by 15 to 35 % at q ≤ 0.2; at q = 0.5 hardly anything is won over q = 1.
    """
    from scipy.special import gammaln, logsumexp

    top = int(orders.max())
    parts = np.arange(2, top + 1)
    gains = (parts - 1) * _unsampled(cost, parts)
    # By the binomial theorem all terms with e^0 add up to 1: what is left after log(1 + …) loses no digits.
    gains[0] += np.log(-np.expm1(-gains[0]))
    gains[1:] += math.log(3) + np.log1p(-np.exp(-gains[1:]) / 3)
    binomials = gammaln(np.arange(top + 1) + 1)
    rates = parts * math.log(cost.sampling_rate)
    found = []
    for order in orders:
        taken = parts[: order - 1]
        chances = binomials[order] - binomials[taken] - binomials[order - taken] + rates[: order - 1]
        chances += (order - taken) * math.log1p(-cost.sampling_rate)
        found.append(np.logaddexp(0, logsumexp(chances + gains[: order - 1])) / (order - 1))
    return np.array(found)
