"""What noise costs: calculators of ε over the durable ledger, without a memory of their own.

One charge is one Poisson-sampled mechanism under add/remove of one unit (a person, unless a task says otherwise).
RDP binds: its curves add up across charges whose terms were chosen after seeing earlier results (Feldman & Zrnic
2020). PLD reports a tighter figure for terms that were fixed beforehand. GDP's central-limit ε is absent on purpose:
it under-reports. The formulas are dp-accounting's; tests hold them against Opacus.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from privacy import skellam_rdp
from privacy.charges import HIGHEST_LEVELS, HIGHEST_NOISE, Charge, SampledGaussian, SampledSkellam, between, charge
from privacy.errors import TermsError

__all__ = [
    "ORDERS",
    "Charge",
    "Curve",
    "SampledGaussian",
    "SampledSkellam",
    "charge",
    "epsilon",
    "epsilon_from_rdp",
    "epsilon_pld",
    "epsilon_replaced",
    "noise_for",
    "of_group",
    "rdp",
]

Curve = npt.NDArray[np.float64]
"""Rényi DP at each of `ORDERS`, (orders,)."""

ORDERS: Final[tuple[float, ...]] = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 65), 128, 256, 512, 1024)
"""Fixed for all tasks: curves of different tasks can only be added on the same orders."""

MOST_STEPS: Final = 10**9
NOISE_DIGITS: Final = 4
_STRIDE: Final = 8
_PLD_INTERVAL: Final = 1e-3
_PLD_SENSIBLE: Final = 200.0


def rdp(cost: Charge, steps: int) -> Curve:
    """RDP of `steps` charges of `cost` at `ORDERS`: (orders,), ≥ 0, rising with the order; adds up across costs."""
    return _curve(cost) * _checked_steps(steps)


def epsilon_from_rdp(curve: Curve, delta: float) -> float:
    """The least ε at `delta` that `curve` proves (Canonne et al. 2020, Prop. 12); infinite where it proves none."""
    if curve.shape != (len(ORDERS),) or np.isnan(curve).any() or (curve < 0).any():
        raise TermsError(
            f"found an RDP curve of shape {curve.shape}, perhaps with NaN or negative values; expected "
            f"({len(ORDERS)},) values ≥ 0. Make curves with rdp() and add them up."
        )
    return _proven(curve, _conversion(_checked_delta(delta)), delta)


def _proven(curve: Curve, added: Curve, delta: float) -> float:
    """The least ε that a curve at some orders proves, whose conversion is `added`."""
    if np.any(np.expm1(-curve) + delta**2 > 0):
        return 0.0  # Pinsker: total variation is below δ already
    return max(0.0, float(np.min(curve + added)))


def epsilon(cost: Charge, steps: int, delta: float) -> float:
    """The binding figure: ε of `steps` charges by RDP, for one unit, add/remove, at `delta`."""
    return epsilon_from_rdp(rdp(cost, steps), delta)


def epsilon_pld(cost: Charge, steps: int, delta: float) -> float:
    """The reported figure: ε by privacy loss distributions, an upper bound too, never above `epsilon`.

    For Skellam noise it is RDP's figure: no distribution is known that dominates all vectors. Where RDP already says
    more than 200 it is handed back as it is: nobody needs three digits of no privacy, and the distribution would not
    fit into memory.
    """
    return _tightened(epsilon(cost, steps, delta), cost, steps, delta, "ADD_OR_REMOVE_ONE")


def epsilon_replaced(cost: Charge, steps: int, delta: float) -> float:
    """ε for hiding *what* a unit gave, when it is no secret that it takes part: its vector is replaced, by PLD.

    Larger than `epsilon_pld`: the vector may turn round, which is twice the sensitivity. For Skellam noise nothing is
    won by sampling.
    """
    without_sampling = epsilon(of_group(_without_sampling(cost), 2), steps, delta)
    return _tightened(without_sampling, cost, steps, delta, "REPLACE_ONE")


def of_group(cost: Charge, size: int) -> Charge:
    """The charge of a group of `size` units, from the charge of one: group privacy as one larger unit.

    At most all of them are drawn together, each moving the sum by the clip: with probability 1-(1-q)^size, σ/size.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise TermsError(f"found a group of {size!r}; expected a whole number of at least 1.")
    rate = -math.expm1(size * math.log1p(-cost.sampling_rate)) if cost.sampling_rate < 1 else 1.0
    noise = cost.noise_multiplier / size
    if isinstance(cost, SampledGaussian):
        return SampledGaussian(rate, noise)
    return SampledSkellam(rate, noise, min(cost.levels * size, HIGHEST_LEVELS))  # fewer levels only raise the curve


def noise_for(epsilon: float, sampling_rate: float, steps: int, delta: float, levels: int = 0) -> float:
    """The smallest σ, in steps of 0.0001, whose `steps` charges cost at most `epsilon`; `TermsError` if none does.

    With `levels` the charges are of Skellam noise, with 0 of Gaussian.
    """
    if not between(0.0, epsilon, math.inf) or epsilon in {0.0, math.inf}:
        raise TermsError(f"found ε = {epsilon!r}; expected a positive finite number, such as 4.")
    unit = 10**NOISE_DIGITS

    def cost(noise_multiplier: float) -> Charge:
        return charge(sampling_rate, noise_multiplier, levels)

    def excess(noise_multiplier: float) -> float:
        return _epsilon(cost(noise_multiplier), steps, delta) - epsilon

    if excess(HIGHEST_NOISE) > 0:
        raise TermsError(
            f"no noise up to σ = {HIGHEST_NOISE:g} brings {steps} charges at q = {sampling_rate:g} under "
            f"ε = {epsilon:g} at δ = {delta:g}. Ask for a larger ε, or for fewer rounds."
        )
    guess = max(1, math.ceil(_about(epsilon, cost, steps, delta) * unit))
    return _smallest(lambda ticks: excess(ticks / unit) <= 0, guess) / unit


def _smallest(enough: Callable[[int], bool], guess: int) -> int:
    """The smallest whole number from 1 that is `enough`, as all larger ones are; quick if `guess` is near it."""
    low, high, step = guess - 1, guess, 1
    while not enough(high):
        low, high, step = high, high + step, 2 * step
    while low > 0 and enough(low):
        low, high, step = max(0, low - step), low, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _about(epsilon: float, cost: Callable[[float], Charge], steps: int, delta: float) -> float:
    """Nearly the σ at which `steps` charges of `cost(σ)` come to `epsilon`.

    A curve takes long at all orders, and one decides: the root at every eighth says where that one is, and with its
    neighbours the root is as good as with all. The lowest order is always there: where ε is 0, it proves it.
    """
    from scipy.optimize import root_scalar

    def root(places: Sequence[int], low: float, high: float) -> float:
        orders, added = tuple(ORDERS[place] for place in places), _conversion(delta)[list(places)]

        def excess(log: float) -> float:
            curve = _curve(cost(math.exp(log)), orders) * steps
            return _proven(curve, added, delta) - epsilon

        if excess(math.log(low)) <= 0:
            return low
        bracket = (math.log(low), math.log(high))
        return math.exp(root_scalar(excess, bracket=bracket, xtol=1e-9).root)  # type: ignore[no-untyped-call]

    few = {*range(0, len(ORDERS), _STRIDE), len(ORDERS) - 1}
    rough = root(sorted(few), 10**-NOISE_DIGITS, HIGHEST_NOISE)
    best = int(np.argmin(_curve(cost(rough)) * steps + _conversion(delta)))
    near = range(max(0, best - _STRIDE), min(best + _STRIDE, len(ORDERS)))
    return root(sorted({*few, *near}), rough / 2, rough * (1 + 1e-6))


def _without_sampling(cost: Charge) -> Charge:
    return charge(1.0, cost.noise_multiplier, cost.levels if isinstance(cost, SampledSkellam) else 0)


_epsilon = epsilon  # noise_for's first parameter bears the same name


def _tightened(binding: float, cost: Charge, steps: int, delta: float, neighbours: str) -> float:
    """`binding`, or the PLD figure for `neighbours` where that is smaller."""
    if isinstance(cost, SampledSkellam) or steps == 0 or binding == 0 or epsilon(cost, steps, delta) > _PLD_SENSIBLE:
        return binding
    from dp_accounting.dp_event import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld.pld_privacy_accountant import PLDAccountant
    from dp_accounting.privacy_accountant import NeighboringRelation

    accountant = PLDAccountant(NeighboringRelation[neighbours], value_discretization_interval=_PLD_INTERVAL)
    event = PoissonSampledDpEvent(cost.sampling_rate, GaussianDpEvent(cost.noise_multiplier))
    accountant.compose(SelfComposedDpEvent(event, steps))
    return min(binding, float(accountant.get_epsilon(delta)))


@lru_cache(maxsize=4096)
def _curve(cost: Charge, orders: tuple[float, ...] = ORDERS) -> Curve:
    """RDP of one charge, (orders,); shared, so it is never handed out."""
    found = skellam_rdp.curve(cost, orders) if isinstance(cost, SampledSkellam) else _gaussian_curve(cost, orders)
    if np.isnan(found).any():
        raise TermsError(f"no RDP could be computed for {cost}; choose terms that are less extreme.")
    # RDP rises with the order, so a bound at a higher order holds at a lower one, where the series may not converge.
    curve: Curve = np.maximum(0.0, np.minimum.accumulate(found[::-1])[::-1])
    return curve


def _gaussian_curve(cost: SampledGaussian, orders: tuple[float, ...]) -> Curve:
    """Without sampling it is α/(2σ²) (Mironov 2017, Prop. 7), and the accountant's second of imports is saved."""
    if cost.sampling_rate == 1.0:
        unsampled: Curve = np.asarray(orders) / (2 * cost.noise_multiplier**2)
        return unsampled
    from dp_accounting.rdp import rdp_privacy_accountant

    with _without_notes():
        found = rdp_privacy_accountant._compute_rdp_poisson_subsampled_gaussian(
            cost.sampling_rate, cost.noise_multiplier, orders
        )
    return np.asarray(found, dtype=np.float64)


@lru_cache(maxsize=64)
def _conversion(delta: float) -> Curve:
    """What is added to a curve to make it ε at `delta`, (orders,)."""
    orders = np.asarray(ORDERS)
    added: Curve = np.log1p(-1 / orders) - np.log(delta * orders) / (orders - 1)
    return added


@contextmanager
def _without_notes() -> Iterator[None]:
    """Keep dp-accounting's notes on orders that it leaves out away from the user's screen; `_curve` mends those."""

    def silent(_record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("absl")
    logger.addFilter(silent)
    try:
        yield
    finally:
        logger.removeFilter(silent)


def _checked_steps(steps: int) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MOST_STEPS:
        raise TermsError(f"found {steps!r} charges; expected a whole number from 0 to {MOST_STEPS:,}.")
    return steps


def _checked_delta(delta: float) -> float:
    if not between(0.0, delta, 1.0) or delta in {0.0, 1.0}:
        raise TermsError(f"found δ = {delta!r}; expected a number between 0 and 1, below one over the people.")
    return delta
