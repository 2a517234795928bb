"""What person-level privacy costs in time: one private local round against plain SGD on the same rows.

Run: ``python -m simulations.benchmarks.local_step``. Both sides take one gradient step of the exercise model on
32 people × 8 windows on one thread; the private one includes clipping and noise. Interleaved, medians.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from clients.training import party_update, person_updates
from federation.manifest import TrainingTerms
from federation.workload import trained_names
from federation.workloads import exercise_recognition
from privacy.noise import add_noise, os_source
from privacy.person_level import bound, combine
from simulations.benchmarks.learning_report import commit, machine

PEOPLE, WINDOWS, REPEATS = 32, 8, 41
COMMAND = "python -m simulations.benchmarks.local_step"


def measure() -> dict[str, float]:
    """Median seconds of a private and of a plain step, and their ratio."""
    workload, terms = exercise_recognition.WORKLOAD, TrainingTerms(learning_rate=0.1, batch_rows=PEOPLE * WINDOWS)
    rows, weights = workload.invent(0, PEOPLE, WINDOWS), workload.initial(0)
    phase, source = workload.phases[0], os_source()
    names = trained_names(weights, phase)

    def private() -> None:
        chunks = person_updates(workload, phase, weights, names, rows, terms, WINDOWS, 0)
        add_noise(combine([bound(updates, 1.0) for _, updates in chunks]), 1.0, source)

    def plain() -> None:
        party_update(workload, phase, weights, names, rows, terms, 0)

    taken = [(_seconds(private), _seconds(plain)) for _ in range(REPEATS)][3:]
    private_s, plain_s = (statistics.median(column) for column in zip(*taken, strict=True))
    return {"private_s": private_s, "plain_s": plain_s, "ratio": private_s / plain_s}


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    """Measure and write ``docs/benchmarks/local_step.json`` and ``.md``."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/benchmarks")
    found = measure()
    document = {"command": COMMAND, "machine": machine(), "commit": commit(), **found}
    (folder / "local_step.json").write_text(json.dumps(document, indent=1) + "\n")
    plain_ms, private_ms = 1e3 * found["plain_s"], 1e3 * found["private_s"]
    text = (
        f"# What person-level privacy costs in time\n\n`{COMMAND}` on {machine()}, commit {commit()}. One step of the "
        f"exercise model (two convolutions, all weights trained) on {PEOPLE} people × {WINDOWS} windows, medians of "
        f"{REPEATS - 3} interleaved runs.\n\n| step | milliseconds | |\n|---|---|---|\n"
        f"| plain SGD on the same rows | {plain_ms:.1f} | 1.00 × |\n"
        f"| one update per person, clipped, summed, noised | {private_ms:.1f} | {found['ratio']:.2f} × |\n"
    )
    (folder / "local_step.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
