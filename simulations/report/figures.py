"""The figures of a report: what runs with different seeds say together about each point of a sweep."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.traffic import ratio
from simulations.outcome import Outcome
from simulations.sweep.plan import described

WORST_SHARE = 0.1


@dataclass(frozen=True)
class Spread:
    """A figure over several seeds. `std` is that of a sample, 0 for one seed."""

    mean: float
    low: float
    high: float
    std: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4g}" + (f" ± {self.std:.2g}" if self.count > 1 else "")


@dataclass(frozen=True)
class Point:
    """The runs of one point of a sweep, by seed."""

    values: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def label(self) -> str:
        """The values of the point, or the scenario's name where nothing is swept."""
        return described(dict(self.values)) or str(self.outcomes[0].scenario.get("name", "all runs"))

    @property
    def headline(self) -> str:
        """The figure that the workload is judged by."""
        return self.outcomes[0].headline

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the headline is better."""
        return self.outcomes[0].higher_is_better


def points(outcomes: Sequence[Outcome]) -> list[Point]:
    """The outcomes by point, in their order."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(repr(sorted(outcome.point.items())), []).append(outcome)
    return [Point(own[0].point, tuple(sorted(own, key=lambda item: item.seed))) for own in found.values()]


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, extremes and standard deviation of the finite ones of `values`; None where there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    std = statistics.stdev(finite) if len(finite) > 1 else 0.0
    return Spread(statistics.fmean(finite), min(finite), max(finite), std, len(finite))


def final(outcome: Outcome) -> float:
    """The headline of the last round that was evaluated; not a number where none was."""
    values = [done.scores[outcome.headline] for done in outcome.rounds if outcome.headline in done.scores]
    return float(values[-1]) if values else math.nan


def curve(point: Point) -> list[tuple[int, Spread]]:
    """The headline over the seeds, for each round that was evaluated."""
    by_round: dict[int, list[float]] = {}
    for outcome in point.outcomes:
        for done in outcome.rounds:
            if outcome.headline in done.scores:
                by_round.setdefault(done.round, []).append(float(done.scores[outcome.headline]))
    spreads = ((number, spread(values)) for number, values in sorted(by_round.items()))
    return [(number, found) for number, found in spreads if found is not None]


def per_round(point: Point, name: str) -> list[tuple[int, float]]:
    """The mean over the seeds of a field of `RoundOutcome`, by round, without the start (round 0)."""
    by_round: dict[int, list[float]] = {}
    for outcome in point.outcomes:
        for done in outcome.rounds:
            if done.round > 0:
                by_round.setdefault(done.round, []).append(float(getattr(done, name)))
    return [(number, statistics.fmean(values)) for number, values in sorted(by_round.items())]


def people(point: Point) -> list[float]:
    """The headline of every held-out person, the worst first, over all seeds."""
    found = [value for outcome in point.outcomes for value in outcome.people if math.isfinite(value)]
    return sorted(found, reverse=not point.higher_is_better)


def worst_tenth(point: Point) -> float | None:
    """The mean over the tenth of the held-out people whom the model serves worst; None without people."""
    found = people(point)
    worst = found[: max(1, round(len(found) * WORST_SHARE))]
    return statistics.fmean(worst) if worst else None


def parties(point: Point) -> dict[str, Spread]:
    """The headline of the final model on each party's own people."""
    names = sorted({name for outcome in point.outcomes for name in outcome.parties}, key=_natural)
    values = {
        name: [float(o.parties[name][o.headline]) for o in point.outcomes if o.headline in o.parties.get(name, {})]
        for name in names
    }
    return {name: found for name, own in values.items() if (found := spread(own)) is not None}


def timing(point: Point) -> dict[str, float]:
    """Seconds per round by part, and what no part accounts for."""
    rounds = [done for outcome in point.outcomes for done in outcome.rounds if done.round > 0]
    if not rounds:
        return {}
    names = sorted({name for done in rounds for name in done.timing})
    parts = {name: statistics.fmean(done.timing.get(name, 0.0) for done in rounds) for name in names}
    rest = statistics.fmean(done.seconds for done in rounds) - sum(parts.values())
    return parts | ({"other": rest} if rest > 0 else {})


def total(outcome: Outcome, name: str) -> float:
    """The sum over the rounds of a field of `RoundOutcome`."""
    return float(sum(getattr(done, name) for done in outcome.rounds))


def times_fewer(point: Point) -> float | None:
    """How many times fewer bytes than fp32 the rounds took, both ways; None where that was not counted."""
    sent, fp32 = (
        sum(total(outcome, f"{prefix}_{way}") for outcome in point.outcomes for way in ("up", "down"))
        for prefix in ("bytes", "fp32")
    )
    return ratio(sent, fp32)


def epsilon(point: Point) -> float | None:
    """The most that a person has spent in any run; None without differential privacy."""
    spent = max((done.epsilon for outcome in point.outcomes for done in outcome.rounds), default=0.0)
    return spent or None


def best(found: Sequence[Point]) -> Point | None:
    """The point with the best mean; None where nothing was evaluated."""
    scored = [(own.mean, point) for point in found if (own := spread([final(one) for one in point.outcomes]))]
    if not scored:
        return None
    pick = max if scored[0][1].higher_is_better else min
    return pick(scored, key=lambda item: item[0])[1]


def leading(found: Sequence[Point], count: int) -> list[Point]:
    """All of a few points; of many the `count` best, in their order."""
    if len(found) <= count or best(found) is None:
        return list(found[:count])
    sign = -1 if found[0].higher_is_better else 1
    means = [own and sign * own.mean for own in (spread([final(one) for one in point.outcomes]) for point in found)]
    order = sorted((mean, place) for place, mean in enumerate(means) if mean is not None)
    return [found[place] for place in sorted(place for _, place in order[:count])]


def summary(point: Point) -> dict[str, Any]:
    """The figures of a point as plain values."""
    judged = spread([final(outcome) for outcome in point.outcomes])
    rounds = max(len(point.outcomes), 1)
    seconds = spread([outcome.seconds for outcome in point.outcomes])
    return {
        "point": dict(point.values),
        "label": point.label,
        "seeds": [outcome.seed for outcome in point.outcomes],
        "headline": point.headline,
        "higher_is_better": point.higher_is_better,
        "mean": judged and judged.mean,
        "std": judged and judged.std,
        "low": judged and judged.low,
        "high": judged and judged.high,
        "worst_tenth": worst_tenth(point),
        "held_out_people": len(people(point)),
        "epsilon": epsilon(point),
        "bytes_up": sum(total(outcome, "bytes_up") for outcome in point.outcomes) / rounds,
        "bytes_down": sum(total(outcome, "bytes_down") for outcome in point.outcomes) / rounds,
        "fp32_ratio": times_fewer(point),
        "seconds": seconds and seconds.mean,
        "seconds_per_round": sum(timing(point).values()) or None,
        "peak_rss_mb": max(outcome.peak_rss_mb for outcome in point.outcomes),
    }


def _natural(name: str) -> tuple[str, int]:
    """party-2 before party-10."""
    head = name.rstrip("0123456789")
    return head, int(name[len(head) :] or 0)
