"""What person-level privacy costs in time: a private step beside plain SGD on the same rows, in one run."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from clients import training
from federation import workloads
from federation.terms import TrainingTerms
from federation.workload import Workload, trained_names
from privacy.noise import add_noise, os_source
from privacy.person_level import bound, combine, empty
from simulations.benchmarks.record import row, write

WORKLOAD, LIMIT = "exercise_recognition", 1.5
PEOPLE, ROWS_EACH = 32, 8
RUNS, WARM_UP = 200, 20
CLIP, NOISE_MULTIPLIER = 1.0, 1.0

Lap = Callable[[str], None]


def main(arguments: list[str]) -> None:
    """Measure and write ``person_level.json`` and ``person_level.md``; several threads need an idle machine."""
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks.person_level", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    asked = parser.parse_args(arguments)
    before, rows = torch.get_num_threads(), []
    for threads in asked.threads:
        torch.set_num_threads(threads)
        rows += compared(workloads.find(WORKLOAD), threads, asked.runs)
    torch.set_num_threads(before)
    said = " ".join(map(str, asked.threads))
    command = f"python -m simulations.benchmarks.person_level --runs {asked.runs} --threads {said}"
    write(asked.out, "person_level", "One private step against plain SGD", command, rows)
    for line in rows:
        print(line)


def compared(workload: Workload, threads: int, runs: int) -> list[dict[str, Any]]:
    """Both kinds of step on one batch, taken in turn; the ratio is the median of the ratios of neighbours."""
    plain, private = steps(workload)
    for _ in range(WARM_UP):
        lapped(plain)
        lapped(private)
    pairs = [(lapped(plain), lapped(private)) for _ in range(runs)]
    ratio = statistics.median(second["all"] / first["all"] for first, second in pairs)
    about = f"{workload.name}, {PEOPLE} people × {ROWS_EACH} rows, {threads} thread{'s' * (threads > 1)}"
    found = [
        line(f"plain SGD: {about}", [first["all"] for first, _ in pairs]),
        line(f"private step: {about}", [second["all"] for _, second in pairs], ratio, LIMIT),
    ]
    parts = [name for name in pairs[0][1] if name != "all"]
    return found + [line(f"– of which {name}", [second[name] for _, second in pairs]) for name in parts]


def steps(workload: Workload) -> tuple[Callable[[Lap], None], Callable[[Lap], None]]:
    """A plain step over all rows, then train, bound and noise as a node does it at q = 1."""
    phase = next(phase for phase in workload.phases if phase.reads_people)
    weights, rows = workload.initial(0), workload.invent(0, PEOPLE, ROWS_EACH)
    names = trained_names(weights, phase)
    terms, source = TrainingTerms(learning_rate=0.05), os_source()
    size = sum(weights[name].numel() for name in names)

    def plain(lap: Lap) -> None:
        moved = {name: weights[name].detach().requires_grad_() for name in names}
        loss = phase.loss({**weights, **moved}, rows.fields, 0).mean()
        slopes = torch.autograd.grad(loss, list(moved.values()))
        for name, slope in zip(names, slopes, strict=True):
            torch.sub(weights[name], slope, alpha=terms.learning_rate)
        lap("step")

    def private(lap: Lap) -> None:
        parts = [empty(size, CLIP)]
        for _, updates in training.person_updates(workload, phase, weights, names, rows, terms, ROWS_EACH, 0):
            lap("train")
            parts.append(bound(updates, CLIP))
        total = combine(parts)
        lap("bound")
        add_noise(total, NOISE_MULTIPLIER, source)
        lap("noise")

    return plain, private


def lapped(step: Callable[[Lap], None]) -> Mapping[str, float]:
    """Seconds of one `step`, in all and between its laps."""
    laps: dict[str, float] = {}
    start = last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        laps[name] = laps.get(name, 0.0) + now - last
        last = now

    step(lap)
    return {**laps, "all": time.perf_counter() - start}


def line(what: str, seconds: list[float], ratio: float | None = None, limit: float | None = None) -> dict[str, Any]:
    """One line of the table."""
    figures = {key: value for key, value in row(what, seconds).items() if key != "limit_ms"}
    return figures | {"times_plain": None if ratio is None else round(ratio, 2), "limit": limit}


if __name__ == "__main__":
    main(sys.argv[1:])
