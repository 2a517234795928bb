"""All pages of the exchange, from what is kept of its parts."""

from collections.abc import Mapping
from pathlib import Path

from simulations.benchmarks.exchange import aggregation, codecs, learning, overview, plots, secagg, trials
from simulations.benchmarks.exchange.parts import (
    AGGREGATION,
    CODECS,
    LARGE,
    LEARNING,
    PARTS,
    SECAGG,
    TRAFFIC,
    TRIALS,
    Part,
)
from simulations.benchmarks.exchange.told import Told
from simulations.benchmarks.kept import Kept
from simulations.benchmarks.kept import Part as Line

PLOTTED_VALUES = 1_000_000
"""Of the vectors under masks that are drawn."""


def write(out: Path, kept: Kept) -> Path:
    """Every page of which something was measured, and the page of all parts, which is returned."""
    lines = kept.parts()
    told = {part.name: tell(part, lines) for part in PARTS}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in documents(told).items():
        (out / name).write_text(text, "utf-8")
    draw(out, told)
    page = out / "exchange.md"
    page.write_text(overview.page(told), "utf-8")
    return page


def tell(part: Part, lines: Mapping[str, Line]) -> Told:
    """What was found of a part, and where it was measured."""
    ours = part.lines(lines)
    return Told(part.name, part.about, len(part.jobs()), tuple(ours.values()), tuple(ours))


def documents(told: Mapping[str, Told]) -> dict[str, str]:
    """The detailed pages, by file."""
    tried = told[TRIALS.name]
    made = {
        "exchange_codecs.md": (told[CODECS.name], codecs.page),
        "exchange_learning.md": (told[LEARNING.name], learning.page),
        "secagg.md": (told[SECAGG.name], secagg.page),
        "aggregation.md": (told[AGGREGATION.name], aggregation.page),
    }
    pages = {name: page(part.head, part.found) for name, (part, page) in made.items() if part.found}
    if tried.found:
        large = told[LARGE.name]
        pages["exchange_trials.md"] = trials.page(f"{tried.head}\n\n{large.head}", tried.found, large.found)
    return pages


def draw(out: Path, told: Mapping[str, Told]) -> None:
    """The plots of all parts that are complete, and of learning whatever there is to compare."""
    learned = [*told[LEARNING.name].found.values()]
    if learning.points(learned):
        plots.accuracy(learned, out / overview.ACCURACY)
        plots.curves(learned, out / "exchange_learning.png")
    coded, masked, sent = told[CODECS.name], told[SECAGG.name], told[TRAFFIC.name]
    if coded.complete:
        plots.errors(coded.found["error"], coded.found["lanes"], out / overview.ERRORS)
        plots.speeds(coded.found["speed"], out / overview.SPEEDS)
    if masked.complete:
        plots.secure(secagg.tables(masked.found), PLOTTED_VALUES, out / overview.SECURE)
    if sent.complete:
        plots.traffic([line for lines in sent.found.values() for line in lines], out / overview.TRAFFIC_PLOT)
