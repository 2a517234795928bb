"""What each program of the comparison is asked, and what it prints: one line of JSON."""

import argparse
import json
import resource
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

WARM_UP = 2
"""Rounds that are left out of the median: caches, threads and actors that start; the first is reported by itself."""


@dataclass(frozen=True)
class Question:
    """Train `sampled` of `registered` people in every round; people's rows lie in `folder`.

    `parties` and `engine` are for programs in which people belong to organisations.
    """

    work: str
    folder: Path
    registered: int
    sampled: int
    rounds: int
    threads: int
    parties: int
    engine: str


@dataclass
class Clock:
    """Seconds of each round, by the clock and of this process's processors; one ends where the next begins."""

    started: float = field(default_factory=time.perf_counter)
    rounds_s: list[float] = field(default_factory=list)
    spent: float = field(default_factory=time.process_time)
    processor_s: list[float] = field(default_factory=list)

    def lap(self) -> None:
        """A round has ended."""
        now, spent = time.perf_counter(), time.process_time()
        self.rounds_s.append(now - self.started)
        self.processor_s.append(spent - self.spent)
        self.started, self.spent = now, spent


def asked() -> Question:
    """The question on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--engine", default="inline")
    for name in ("registered", "sampled", "rounds", "threads", "parties"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return Question(**vars(parser.parse_args()))


def tell(question: Question, clock: Clock, versions: dict[str, str]) -> None:
    """Print the answer. What other processes of a program spend on processors is not in it."""
    steady = clock.rounds_s[WARM_UP:] or clock.rounds_s
    spent = statistics.median(clock.processor_s[WARM_UP:] or clock.processor_s)
    memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    answer = {
        "people_per_s": round(question.sampled / statistics.median(steady), 1),
        "people_per_processor_s": round(question.sampled / spent, 1),
        "round_s": round(statistics.median(steady), 4),
        "best_round_s": round(min(steady), 4),
        "first_round_s": round(clock.rounds_s[0], 3),
        "rounds": len(steady),
        "peak_rss_mb": round(max(memory)),
        "versions": versions,
    }
    print(json.dumps(answer), flush=True)
