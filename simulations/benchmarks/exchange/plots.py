"""The plots of the exchange's pages, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from simulations.benchmarks.exchange import learning
from simulations.benchmarks.exchange.cases import CASES, PLAIN, SETTINGS, Case
from simulations.benchmarks.exchange.codecs import ECQ_BITS, SPEEDS
from simulations.benchmarks.exchange.learning import Point
from simulations.pages.drawing import COLOURS, QUIET, heading, legend_above, panels, png

Table = Sequence[Mapping[str, Any]]
MARKS = {"updates": "o", "models": "s", "both ways": "D", "sums of lanes": "^"}
TOLERATED_POINTS = 0.5
FIXED_BITS = {"raw32": 32.0, "raw16": 16.0, "int8_block": 8.125}
"""Of codecs that have no budget."""


def accuracy(rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against bits per value, one panel for each kind of people, beside fp32."""
    points = learning.points(rows)
    shown = list(dict.fromkeys(point.people for point in points))
    figure, made = panels(len(shown))
    for panel, people in zip(made, shown, strict=True):
        ours = [point for point in points if point.people == people]
        plain = mean(next(point for point in ours if point.case == PLAIN).late)
        panel.axhspan(plain - TOLERATED_POINTS, plain + TOLERATED_POINTS, color=QUIET, alpha=0.15, lw=0)
        panel.axhline(plain, color=QUIET, lw=1, label="fp32, ± half a point")
        for number, (what, mark) in enumerate(MARKS.items()):
            _points(panel, [point for point in ours if fewer(point.case) == what], what, mark, COLOURS[number])
        panel.set_xscale("log")
        panel.set_xlabel("bits per value, as sent")
        panel.set_ylabel("accuracy (%)")
        heading(panel, people)
    legend_above(figure, made[0])
    png(figure, path)


def _points(panel: Axes, ours: Sequence[Point], what: str, mark: str, colour: str) -> None:
    """Bars are standard errors of the mean difference to fp32 in the same runs."""
    bits = {
        "models": [point.down for point in ours],
        "both ways": [(point.up + point.down) / 2 for point in ours],
    }.get(what, [point.up for point in ours])
    heights, bars = [mean(point.late) for point in ours], [point.error(point.lost) for point in ours]
    panel.errorbar(bits, heights, yerr=bars, color=colour, ls="", marker=mark, ms=5, lw=1, label=what)


def fewer(case: Case) -> str:
    """What a case codes in fewer bits."""
    if case.exchange.get("secure"):
        return "sums of lanes"
    coded = case.exchange.get("down", "raw32") != "raw32", case.exchange.get("up", "raw32") != "raw32"
    return {(True, True): "both ways", (True, False): "models"}.get(coded, "updates")


def curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean accuracy over rounds of the first draws, which all cases have; a panel for each setting, a line per case."""
    shown = [setting.name for setting in SETTINGS if any(row["setting"] == setting.name for row in rows)]
    figure, made = panels(len(shown))
    for panel, name in zip(made, shown, strict=True):
        for number, case in enumerate(CASES):
            of = (name, case.name, 0)
            ours = [row["accuracy"] for row in rows if (row["setting"], row["case"], row["draw"]) == of]
            if ours:
                heights = [mean(values) for values in zip(*ours, strict=True)]
                plain = case == PLAIN
                colour, width = QUIET if plain else COLOURS[number % len(COLOURS)], 3.0 if plain else 1.2
                dash = "-" if number < len(COLOURS) else "--"
                panel.plot(range(1, len(heights) + 1), heights, label=case.name, color=colour, lw=width, ls=dash)
        panel.set_xlabel("round")
        panel.set_ylabel("accuracy on people held out")
        heading(panel, name)
    legend_above(figure, made[0])
    png(figure, path)


def errors(rows: Table, lanes: Table, path: Path) -> None:
    """Error against bits, both in powers, with the limits of unbiased and of all codes of normal values."""
    groups = list(dict.fromkeys(row["vectors"] for row in rows))
    figure, made = panels(len(groups))
    bits = np.geomspace(0.015, 20, 100)
    for panel, of in zip(made, groups, strict=True):
        panel.plot(bits, 1 / (4**bits - 1), color=QUIET, lw=1, label="limit, unbiased")
        panel.plot(bits, 1 / 4**bits, color=QUIET, lw=1, ls=":", label="limit, biased")
        for number, name in enumerate(dict.fromkeys(row["codec"] for row in rows)):
            ours = [row for row in rows if row["codec"] == name and row["vectors"] == of]
            spots = [row["bits spent"] for row in ours], [row["error"] for row in ours]
            panel.plot(*spots, color=COLOURS[number], marker="o", ms=4, lw=1.2, label=name)
        sums = [row for row in lanes if row["vectors"].startswith(of)]
        first = [row for row in sums if row["vectors"] == sums[0]["vectors"]]
        spots = [row["bits per value"] for row in first], [row["error"] for row in first]
        panel.plot(*spots, color=COLOURS[-1], marker="s", ms=4, lw=1.2, label="sum of lanes")
        panel.set_yscale("log")
        panel.set_ylabel("‖x̂ − x‖² / ‖x‖²")
        _against_bits(panel, of)
    legend_above(figure, made[0])
    png(figure, path)


def speeds(rows: Table, path: Path) -> None:
    """Megabytes of float32 per second against bits, there and back, with the targets of codecs with a budget."""
    figure, made = panels(2)
    for place, (panel, way) in enumerate(zip(made, ("encode, MB/s", "decode, MB/s"), strict=True)):
        for number, name in enumerate(dict.fromkeys(row["codec"] for row in rows)):
            ours = [row for row in rows if row["codec"] == name]
            bits = [row["budget"] or FIXED_BITS[name] for row in ours]
            colour = COLOURS[number % len(COLOURS)]
            panel.plot(bits, [row[way] for row in ours], label=name, color=colour, marker="o", ms=4, lw=1.2)
            if name in SPEEDS:
                target = float(SPEEDS[name].split(" / ")[place])
                reach = [ECQ_BITS / 1.5, ECQ_BITS * 1.5] if name == "ecq" else [min(bits), max(bits)]
                panel.plot(reach, [target, target], color=colour, lw=1, ls="--")
        panel.set_yscale("log")
        panel.set_ylabel("MB of float32 per second")
        _against_bits(panel, f"{way.partition(',')[0]}; dashed: target")
    legend_above(figure, made[0])
    png(figure, path)


def secure(tables: Mapping[str, Table], values: int, path: Path) -> None:
    """Time against parties, of a party's mask and of the coordinator when nobody and when most drop."""
    of_size = {name: [row for row in rows if row["values"] == values] for name, rows in tables.items()}
    coordinator = of_size["coordinator"]
    most = {row["parties"]: row["dropped"] for row in coordinator}
    shown: tuple[tuple[str, Table, str], ...] = (
        ("mask of a party", of_size["party"], "mask, ms"),
        ("coordinator, all answer", [row for row in coordinator if not row["dropped"]], "both, ms"),
        (
            "coordinator, most drop",
            [row for row in coordinator if row["dropped"] == most[row["parties"]]],
            "both, ms",
        ),
    )
    figure, made = panels(len(shown))
    for panel, (title, rows, key) in zip(made, shown, strict=True):
        for number, system in enumerate(dict.fromkeys(row["system"] for row in rows)):
            ours = [row for row in rows if row["system"] == system]
            spots = [row["parties"] for row in ours], [row[key] for row in ours]
            panel.plot(*spots, label=system, color=COLOURS[number], marker="o", ms=4, lw=1.2)
        panel.set_yscale("log")
        panel.set_xlabel(f"parties; {values:,} values")
        panel.set_ylabel("ms of the processor")
        heading(panel, title)
    legend_above(figure, made[0])
    png(figure, path)


def traffic(rows: Table, path: Path) -> None:
    """Bytes up and down of a party and round, a panel for each size of a model."""
    sizes = list(dict.fromkeys(row["parameters"] for row in rows))
    figure, made = panels(len(sizes), height=3.6)
    for panel, size in zip(made, sizes, strict=True):
        ours = [row for row in rows if row["parameters"] == size][::-1]
        places, least = np.arange(len(ours)), np.inf
        for offset, (way, colour) in enumerate(zip(("up", "down"), COLOURS, strict=False)):
            bytes_ = [int(row[way].replace(",", "")) for row in ours]
            least = min(least, *bytes_)
            panel.barh(places + 0.2 - 0.4 * offset, bytes_, 0.36, color=colour, label=way)
        panel.set_xscale("log")
        panel.set_xlim(left=10 ** np.floor(np.log10(least)))
        panel.set_yticks(places, [_broken(row["exchange"]) for row in ours] if panel is made[0] else [])
        panel.set_xlabel("bytes of a party and round")
        heading(panel, f"{size} parameters")
    legend_above(figure, made[0])
    png(figure, path)


def _broken(words: str) -> str:
    """In lines, one for each part of a sentence."""
    return words.replace(", ", ",\n")


def _against_bits(panel: Axes, title: str) -> None:
    panel.set_xscale("log")
    panel.set_xlabel("bits per value")
    heading(panel, title)
