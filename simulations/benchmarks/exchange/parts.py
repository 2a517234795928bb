"""The parts of the benchmark of the exchange: what each measures, by which jobs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from simulations.benchmarks.exchange import (
    aggregation,
    codecs,
    large,
    learning,
    secagg,
    traffic,
    trials_learning,
    whole_round,
)
from simulations.benchmarks.exchange.jobs import Job
from simulations.benchmarks.kept import Part as Line


@dataclass(frozen=True)
class Part:
    """One of those that `--only` picks from; `at_once`: how many of its jobs may run side by side."""

    name: str
    about: str
    jobs: Callable[[], Mapping[str, Job]]
    at_once: int = 1

    def names(self) -> dict[str, Job]:
        """Its jobs, as they are called among those of all parts."""
        return {f"{self.name}: {name}": job for name, job in self.jobs().items()}

    def lines(self, kept: Mapping[str, Line]) -> dict[str, Line]:
        """Of all that is kept, what this part's jobs measured, as they are called in the part."""
        return {name: kept[f"{self.name}: {name}"] for name in self.jobs() if f"{self.name}: {name}" in kept}


CODECS = Part("exchange_codecs", "Codecs: error against bits, sums of lanes, bias, speed; two minutes.", codecs.jobs)
LEARNING = Part(
    "exchange_learning", "Accuracy against bits on real motion, round by round; twenty minutes.", learning.jobs, 2
)
SECAGG = Part("secagg", "Secure aggregation beside Flower's SecAgg+; two minutes.", secagg.jobs)
TRAFFIC = Part("exchange_bytes", "Bytes beside an uncompressed FedAvg of Flower; half a minute.", traffic.jobs)
AGGREGATION = Part(
    "aggregation",
    "Answers folded in as they arrive: speed, memory; four minutes.",
    lambda: {**aggregation.jobs(), **whole_round.jobs()},
)
LARGE = Part("exchange_large", "Seconds and memory for ten million parameters; a minute.", large.jobs)
TRIALS = Part("exchange_trials", "References, rotations, AdamW; fifteen minutes.", trials_learning.jobs, 2)
PARTS = (CODECS, SECAGG, TRAFFIC, AGGREGATION, LARGE, LEARNING, TRIALS)
"""In the order in which they are measured: the long ones last."""


def every() -> Iterator[str]:
    """The names of all jobs."""
    return (name for part in PARTS for name in part.names())
