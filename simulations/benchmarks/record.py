"""How a measurement is written down: raw JSON beside a table, each with its command, machine and commit."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds by the clock and seconds of the processor, of each call."""

    clock_s: list[float]
    processor_s: list[float]


def timed(action: Callable[[int], object], times: int) -> Timing:
    """How long each of `times` calls ``action(0)``, ``action(1)``, … takes."""
    timing = Timing([], [])
    for number in range(times):
        clock, processor = time.perf_counter(), time.process_time()
        action(number)
        timing.clock_s.append(time.perf_counter() - clock)
        timing.processor_s.append(time.process_time() - processor)
    return timing


def row(what: str, seconds: Sequence[float], limit_ms: float | None = None) -> dict[str, Any]:
    """One line of a table: median, 95th percentile and worst in milliseconds, beside what was promised."""
    ordered = sorted(seconds)
    return {
        "what": what,
        "runs": len(ordered),
        "median_ms": median_ms(ordered),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))] * 1e3, 3),
        "worst_ms": round(ordered[-1] * 1e3, 3),
        "limit_ms": limit_ms,
    }


def median_ms(seconds: Sequence[float]) -> float:
    """The median in milliseconds, to a microsecond."""
    return round(statistics.median(seconds) * 1e3, 3)


def write(
    out: Path, name: str, title: str, command: str, rows: Sequence[Mapping[str, Any]], measured_on: str = ""
) -> None:
    """Write ``out/name.json`` and ``out/name.md``; `measured_on`: where, if it was not here and now."""
    about = {"title": title, "command": command, "machine": machine(), "commit": commit()}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps({**about, "rows": list(rows)}, indent=2) + "\n", encoding="utf-8")
    place = measured_on or f"{about['machine']}, commit {about['commit']}"
    head = f"# {title}\n\n`{command}` on {place}.\n\n"
    (out / f"{name}.md").write_text(head + table(rows) + "\n", encoding="utf-8")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of one shape as a Markdown table; None is a dash."""
    if not rows:
        return "Not measured."
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join('–' if row[key] is None else str(row[key]) for key in columns)} |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """Processor cores, architecture, operating system and Python."""
    return f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def commit(place: Path = Path(__file__).parent) -> str:
    """The commit of the working tree, marked where files differ from it; "unknown" outside of a clone.

    Files in docs/ do not count: a benchmark writes its own page.
    """
    found = _git(place, "rev-parse", "--short=12", "HEAD")
    changed = _git(place, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs")
    return f"{found}-dirty" if changed else found or "unknown"


def _git(place: Path, *words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=place).stdout.strip()
