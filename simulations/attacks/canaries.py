"""The strongest attack on the private sum: a crowd of worst-case people, each of them a bet.

Each canary hands over a vector far beyond the clip along an axis of its own and takes part by a fair coin (one-run
auditing, Steinke et al. 2023, §5; as clients of a federation, Andrew et al. 2024). All real people are known to the
attacker and therefore subtracted, so they need not be simulated: what remains is what the terms really promise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln, logsumexp, xlog1py, xlogy

from federation.terms import PersonTerms
from privacy.noise import RandomSource, add_noise, uniform
from privacy.person_level import bound, sample
from simulations.attacks.measures import Flags, Floats, Groups
from simulations.attacks.promises import ERROR, epsilon_from_guesses, epsilon_from_rates

FAR = 1e3
"""How many clips long a canary's vector is: a forgotten clip shows."""

GUESS_SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Shares of the canaries about which something is guessed; the best one counts, for an error that they share."""

EXPECTED_SLIPS = 0.1
"""Canaries of one run times δ: with more of them one run proves less (the slack in Steinke et al. 2023, Thm 5.2)."""

Release = Callable[[torch.Tensor], Floats]
"""Updates of those who were drawn, (people, parameters), in; the vector that leaves the party, (parameters,), out."""


@dataclass(frozen=True)
class Bets:
    """A log likelihood ratio per canary, and whether it took part."""

    scores: Floats
    present: Flags

    def epsilon_proven(self, delta: float) -> float:
        """ε is at least this, with 95 % confidence, even if canaries disturb one another (Steinke et al. 2023)."""
        count = min(len(self.scores), max(50, round(EXPECTED_SLIPS / delta)))
        order, found = np.argsort(self.scores[:count]), []
        for share in GUESS_SHARES:
            side = max(1, int(share * count / 2))
            correct = int(self.present[order[-side:]].sum() + (~self.present[order[:side]]).sum())
            found.append(epsilon_from_guesses(count, 2 * side, correct, delta, ERROR / len(GUESS_SHARES)))
        return max(found)

    def epsilon_independent(self, delta: float) -> float:
        """The same where canaries are independent trials, which they are if axes do not mix (Jagielski et al. 2020).

        The threshold is chosen on the first half of the canaries and judged on the second.
        """
        half = len(self.scores) // 2
        first, second = (Bets(self.scores[part], self.present[part]) for part in (slice(half), slice(half, None)))
        bars = np.quantile(first.scores, np.linspace(0.01, 0.99, 99))
        best = max(bars, key=lambda bar: first._at(bar, delta))
        return second._at(best, delta)

    def _at(self, bar: float, delta: float) -> float:
        above, present = self.scores > bar, self.present
        found, alarms = int((above & present).sum()), int((above & ~present).sum())
        return epsilon_from_rates(found, int(present.sum()), alarms, int((~present).sum()), delta)


def noised(terms: PersonTerms, source: RandomSource) -> Release:
    """The node's own gates: bound, then noise."""
    return lambda updates: add_noise(bound(updates, terms.clip), terms.noise_multiplier, source).vector.astype(float)


def bare(terms: PersonTerms) -> Release:
    """The same node with its noise forgotten: the positive control."""
    return lambda updates: bound(updates, terms.clip).vector


def bet(release: Release, terms: PersonTerms, rounds: int, canaries: int, source: RandomSource) -> Bets:
    """One run of `rounds`: each canary takes part or not; every round draws those present at the terms' rate."""
    present, rows = uniform(canaries, source) < 0.5, _rows(terms)
    vectors = (torch.eye(canaries) * (FAR * terms.clip)).repeat_interleave(rows, dim=0)
    units: Groups = np.flatnonzero(np.repeat(present, rows))
    scores = np.zeros(canaries)
    for _ in range(rounds):
        drawn = sample(units, terms.sampling_rate, source)
        scores += _ratio(release(vectors[torch.from_numpy(drawn)]) / terms.clip, terms)
    return Bets(scores, present)


def together(runs: Sequence[Bets]) -> Bets:
    """The canaries of several runs, in order."""
    return Bets(np.concatenate([run.scores for run in runs]), np.concatenate([run.present for run in runs]))


def _rows(terms: PersonTerms) -> int:
    """How many units a canary is: under unit ``record`` all the rows that a person is charged for."""
    return terms.rows_per_person if terms.unit == "record" else 1


def _ratio(seen: Floats, terms: PersonTerms) -> Floats:
    """log p(seen | present) / p(seen | absent) of one round: N(0, σ²), moved by one clip for each unit that was drawn,
    each with probability q.
    """
    drawn, rows = np.arange(_rows(terms) + 1), _rows(terms)
    ways = gammaln(rows + 1) - gammaln(drawn + 1) - gammaln(rows - drawn + 1)
    chance = ways + xlogy(drawn, terms.sampling_rate) + xlog1py(rows - drawn, -terms.sampling_rate)
    moved = (seen[:, None] * drawn - drawn**2 / 2) / terms.noise_multiplier**2
    ratio: Floats = np.asarray(logsumexp(chance + moved, axis=1), dtype=np.float64)
    return ratio
