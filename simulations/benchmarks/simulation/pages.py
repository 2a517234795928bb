"""The comparison as a page: people per second, what was promised, and how far the machine's limit is."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulations.benchmarks.record import commit, machine
from simulations.benchmarks.simulation.peers.clock import WARM_UP

Cell = tuple[str, int, int]
"""Work, registered people, people per round."""

NOTES = """
## What the numbers mean

- The work is the same for everybody: the same model (a test compares one person's update of ours with a peer's to
  1e-6), the same rows from one file that all programs map into memory, the same SGD steps.
  1,000 different people lie in the file; more registered ones share their rows in turn, so that nobody spends time on
  making data.
- *Whole rounds* of ours do more than the peers: every round is signed, checked against the contract and the owner's
  policy, limited to who consents, charged to a ledger, sampled by chance, clipped per person, noised and committed.
  The peers average and nothing else. *Local training alone* is the part that all of them have.
- A plain loop and pfl use one process. Torch's threads help them little or hurt at this size; two processes side by
  side on two cores would do up to twice as much, and the ratios to them would halve. Flower with Ray has two worker
  processes of one core each, ours two threads.
- Times are medians over rounds, after {warm} rounds that are left out; then medians over repeats, which take turns.
- People per processor second leave out the time in which other programs of the machine had the processor; multiplied
  with the threads they say what an idle machine would do at most.
- The peak memory is that of a program's largest process, which says little for Ray: its workers and its store are
  processes of their own.
"""


def write(out: Path, found: Mapping[str, Any], command: str) -> Path:
    """Write ``simulation.json`` and ``simulation.md``, whose path is returned.

    `found` holds `parts`, where they were `measured_on`, `limit` and `first_result`, which are measured for each page.
    """
    about = {"title": "How fast a federation is simulated", "command": command, "machine": machine()}
    whole = {**about, "commit": commit(), **found}
    out.mkdir(parents=True, exist_ok=True)
    (out / "simulation.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    written = out / "simulation.md"
    written.write_text("\n".join(page(whole)) + "\n", "utf-8")
    return written


def page(whole: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    yield f"# {whole['title']}\n"
    yield f"`{whole['command']}` on {whole['measured_on']}."
    yield f"The machine's limit and the first result: on {whole['machine']}, commit {whole['commit']}."
    yield f"Load of the machine by others while this was measured: {_loads(whole['parts'])}.\n"
    yield "## What was promised\n"
    yield from promises(whole)
    for cell in dict.fromkeys(map(cell_of, whole["parts"])):
        work, registered, sampled = cell
        yield f"\n## The {work} model, {sampled} of {registered:,} registered people per round\n"
        yield from _table([part for part in whole["parts"] if cell_of(part) == cell])
    yield from _limit(whole)
    yield NOTES.format(warm=WARM_UP).rstrip()


def cell_of(part: Mapping[str, Any]) -> Cell:
    """What the part is compared on."""
    return part["work"], part["registered"], part["sampled"]


def speed(part: Mapping[str, Any]) -> float | None:
    """People per second: the median over repeats, `None` where it never ended."""
    rates = [answer["people_per_s"] for answer in part["answers"] if "failed" not in answer]
    return statistics.median(rates) if rates else None


def best(parts: Sequence[Mapping[str, Any]], cell: Cell, program: str) -> float | None:
    """The speed of a program with the number of threads that suits it best."""
    found = [
        rate
        for part in parts
        if cell_of(part) == cell and part["program"].startswith(program)
        if (rate := speed(part)) is not None
    ]
    return max(found, default=None)


COMMON: Cell = ("convolutional", 1_000, 50)
PROMISES = (
    ("people per second, local training", COMMON, "updates", None, 300.0),
    ("people per second, whole rounds", COMMON, "inline", None, 300.0),
    ("whole rounds against pfl", COMMON, "inline", "pfl", 3.0),
    ("whole rounds against a plain loop", COMMON, "inline", "plain", 2.5),
    ("whole rounds against Flower with Ray", COMMON, "inline", "flower-ray", 8.0),
    ("trivial clients, 50 per round, against Flower with Ray", ("trivial", 1_000, 50), "inline", "flower-ray", 20.0),
    ("trivial clients, 500 per round, against Flower with Ray", ("trivial", 1_000, 500), "inline", "flower-ray", 20.0),
)
"""What, on which cell, whose speed over whose, the target."""


def promises(whole: Mapping[str, Any]) -> Iterator[str]:
    """A line per promise."""
    yield "| promise | target | measured |"
    yield "|---|---|---|"
    for what, cell, ours, theirs, target in PROMISES:
        mine = best(whole["parts"], cell, ours)
        other = best(whole["parts"], cell, theirs) if theirs else 1.0
        value = "not measured" if mine is None or not other else f"{mine / other:,.{1 if theirs else 0}f}"
        yield f"| {what} | ≥ {target:g}{' ×' if theirs else ''} | {value}{' ×' if theirs and other and mine else ''} |"
    for what, seconds in whole.get("first_result", {}).items():
        yield f"| {what} | < 3 s | {statistics.median(seconds):.1f} s |"


def _table(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "| program | threads | people/s | least … most | people per processor second | first round (s) | memory (MB) "
        "| ours, whole rounds, is |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    ours = best(parts, cell_of(parts[0]), "inline")
    for part in parts:
        yield _row(part, ours)


def _row(part: Mapping[str, Any], ours: float | None) -> str:
    done = [answer for answer in part["answers"] if "failed" not in answer]
    if not done:
        return f"| {part['title']} | {part['threads']} | – | {part['answers'][0]['failed']} | – | – | – | – |"
    rates = [answer["people_per_s"] for answer in done]
    middle = statistics.median(rates)
    first, memory = (statistics.median(answer[key] for answer in done) for key in ("first_round_s", "peak_rss_mb"))
    ratio = "–" if ours is None or part["program"].startswith("inline") else f"{ours / middle:.1f} ×"
    cells = [part["title"], part["threads"], f"{middle:,.0f}", f"{min(rates):,.0f} … {max(rates):,.0f}"]
    cells += [_per_processor(part, done), f"{first:.2f}"]
    return f"| {' | '.join(map(str, cells))} | {memory:,.0f} | {ratio} |"


def _per_processor(part: Mapping[str, Any], done: Sequence[Mapping[str, Any]]) -> str:
    """What a program's own process achieves for each second on a processor; with Ray the work is elsewhere."""
    return "–" if "ray" in part["program"] else f"{statistics.median(a['people_per_processor_s'] for a in done):,.0f}"


def _limit(whole: Mapping[str, Any]) -> Iterator[str]:
    """How far the machine's limit is, from what was measured."""
    limits: Sequence[Mapping[str, Any]] = whole.get("limit", ())
    if not limits:
        return
    flop = limits[0]["flop_per_person"]
    yield "\n## How far the machine's limit is\n"
    names = list(limits[0]["gflop_per_s"])
    yield f"| 10⁹ operations per second | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    for limit in limits:
        rates = " | ".join(f"{limit['gflop_per_s'][name]:g}" for name in names)
        yield f"| {limit['threads']} thread{'s' * (limit['threads'] > 1)} | {rates} |"
    one = max(limits[0]["gflop_per_s"].values())
    cores = max(limit["threads"] for limit in limits)
    most = cores * one * 1e9 / flop
    yield f"\nA person of the convolutional work takes {flop / 1e6:.0f} million operations in matrix products alone."
    yield f"{cores} cores at {one:.0f} · 10⁹ each could do no more than {most:,.0f} people per second."
    for program, what in (("updates", "local training"), ("inline", "whole rounds")):
        rate = best(whole["parts"], COMMON, program)
        if rate is not None:
            yield f"We reach {rate / most:.0%} of that with {what}."
    yield (
        "The rest: the first convolution and the linear layers are products of matrices, which run at their own rates "
        "of the table and not at the best one; memory traffic between the products (windows of the signal for the "
        "taps, the maximum and its slope, ReLU, bias, each of which reads or writes the 0.2 MB that a layer of one "
        "person takes); what torch and Python spend on each operation; and, in whole rounds, the fixed work of "
        "signing, consent, ledger and commit."
    )


def _loads(parts: Sequence[Mapping[str, Any]]) -> str:
    loads = [answer["load"] for part in parts for answer in part["answers"] if "load" in answer]
    return f"{min(loads):.1f} to {max(loads):.1f} processes (ours included)" if loads else "unknown"
