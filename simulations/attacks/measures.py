"""How well an attack does: ROC curves, shares and their 95 % intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from privacy.audits import most_events

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]

ERROR = 0.05
RESAMPLES = 400


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def roc(scores: Floats, present: Flags) -> tuple[Floats, Floats]:
    """False and true positive rates as the threshold falls, (distinct scores + 1,) each, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    found, alarms = np.cumsum(present[order])[last], np.cumsum(~present[order])[last]
    return (
        np.append(0.0, alarms / max(1, int((~present).sum()))),
        np.append(0.0, found / max(1, int(present.sum()))),
    )


def area(scores: Floats, present: Flags) -> float:
    """Area under the ROC curve, ties counted half: the chance that a present one scores above an absent one."""
    count, others = int(present.sum()), int((~present).sum())
    ranks = rankdata(scores)[present].sum()
    return float((ranks - count * (count + 1) / 2) / max(1, count * others))


def found_at(scores: Floats, present: Flags, false_positives: float) -> float:
    """The true positive rate at the lowest threshold whose false positive rate is at most `false_positives`."""
    alarms, found = roc(scores, present)
    return float(found[alarms <= false_positives].max())


def share(events: int, count: int) -> Estimate:
    """`events` of `count` with the Clopper-Pearson interval."""
    return Estimate(
        events / count, 1 - most_events(count - events, count, ERROR / 2), most_events(events, count, ERROR / 2)
    )


def mean(values: Floats) -> Estimate:
    """The mean of independent `values`, with a bootstrap interval."""
    return resampled(lambda index: float(values[index].mean()), np.arange(len(values)))


def bars(found: Sequence[Estimate]) -> Floats:
    """How far each interval reaches below and above its value, (2, estimates), as plots want it."""
    reach = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
    outwards: Floats = np.maximum(0.0, np.array(reach))
    return outwards


def resampled(figure: Callable[[Groups], float], groups: Groups) -> Estimate:
    """`figure` of the rows' indices, with a bootstrap interval that draws whole groups (people, not single guesses)."""
    source = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = [
        figure(np.concatenate([members[pick] for pick in source.integers(0, len(members), len(members))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, [ERROR / 2, 1 - ERROR / 2])
    return Estimate(figure(np.arange(len(groups))), float(low), float(high))
