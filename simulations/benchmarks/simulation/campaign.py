"""Measures every part of the comparison that has not been measured yet, then writes the page."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulations.benchmarks.kept import picked, places
from simulations.benchmarks.simulation import first_result, limit, pages
from simulations.benchmarks.simulation.parts import Part, Place, measured, plan
from simulations.benchmarks.simulation.peers import work

POOL = 1000
"""Different people whose rows are written; more registered ones share them."""

CACHE = Path.home() / ".cache" / "paceline" / "comparison"
"""Environments of the peers, people's rows and finished parts."""


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    place: Place
    out: Path
    only: tuple[str, ...]
    repeats: int
    again: bool


def run(wish: Wish, say: Callable[[str], None]) -> Path:
    """Every part, repeat by repeat so that a change of the machine's load meets all; finished ones are kept.

    Returns the page; `say` hears of each part once it is done.
    """
    every = plan()
    parts = [every[name] for name in picked(every, wish.only)]
    if wish.again:
        wish.place.kept.forget([_name(part, repeat) for part in parts for repeat in range(wish.repeats)])
    write_rows(wish.place, parts)
    for repeat in range(wish.repeats):
        for part in parts:
            answer(wish, part, repeat, say)
    say("the machine's limit and the first result …")
    return pages.write(wish.out, gathered(wish), f"paceline bench simulation --repeats {wish.repeats}")


def write_rows(place: Place, parts: Sequence[Part]) -> None:
    """The rows that the parts read, once."""
    place.rows.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(part.cell.work for part in parts if part.cell.work in work.WORKS):
        if not (place.rows / f"{name}-y.npy").is_file():
            work.write(place.rows, work.WORKS[name], POOL)


def answer(wish: Wish, part: Part, repeat: int, say: Callable[[str], None]) -> None:
    """Measure one part once, unless it is kept."""
    name = _name(part, repeat)
    if name in wish.place.kept.parts():
        return
    load = os.getloadavg()[0]
    found = {**measured(part, wish.place), "load": round(load, 1)}
    wish.place.kept.keep(name, found)
    rate = f"{found['people_per_s']:,.0f} people per second" if "people_per_s" in found else found["failed"]
    say(f"{part.name}, repeat {repeat + 1}: {rate}")


def _name(part: Part, repeat: int) -> str:
    return f"{part.name}-r{repeat}"


def gathered(wish: Wish) -> dict[str, Any]:
    """Everything that is measured so far, in this call or before."""
    parts, lines, kept = [], [], wish.place.kept.parts()
    for part in plan().values():
        names = (_name(part, repeat) for repeat in range(wish.repeats))
        ours = [kept[name] for name in names if name in kept]
        lines += ours
        if ours:
            parts.append({**part.about(), "answers": [line["found"] for line in ours]})
    limits = [limit.measured(threads) for threads in sorted({1, os.cpu_count() or 1})]
    first = first_result.measured(wish.repeats)
    return {"measured_on": places(lines), "parts": parts, "limit": limits, "first_result": first}
