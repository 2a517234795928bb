"""Plots of the report as SVG text, so that one file holds everything."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simulations.demo.live import words

INK, QUIET = "#1c2733", "#6b7785"
COLOURS = ("#0b6e99", "#d9730d", "#4d6461", "#9065b0", "#c14c8a")

Task = Mapping[str, Any]


def scores(tasks: Sequence[Task]) -> str:
    """Score per round on held-out people, one panel per workload, one line per task."""
    workloads = list(dict.fromkeys(task["workload"] for task in tasks))
    figure, panels = _panels(len(workloads))
    for panel, workload in zip(panels, workloads, strict=True):
        for number, task in enumerate(task for task in tasks if task["workload"] == workload):
            points = [(entry["round"], entry["score"]) for entry in task["rounds"] if entry["score"] is not None]
            if points:
                panel.plot(
                    *zip(*points, strict=True),
                    color=COLOURS[number],
                    marker="o",
                    linestyle="-" if task["epsilon"] is None else "--",
                    markersize=3.5,
                    lw=1.8,
                    label=f"{task['name']} ({_protection(task)})",
                )
        panel.set_title(workload.replace("_", " "), loc="left", fontsize=10, color=INK, weight="bold")
        panel.set_ylabel(_score_label(tasks, workload))
        panel.set_xlabel("round")
        panel.set_ylim(0, 1.12 * _highest(tasks, workload))
        panel.legend(frameon=False, fontsize=8, loc="lower right")
    return _svg(figure, "Score per round on people who were never trained on")


def traffic(tasks: Sequence[Task]) -> str:
    """Bytes on the wire in each round, up and down, one panel per task."""
    figure, panels = _panels(len(tasks), height=2.5)
    for panel, task in zip(panels, tasks, strict=True):
        rounds = [entry["round"] for entry in task["rounds"] if entry["round"] > 0]
        up = [entry["bytes_up"] / 1000 for entry in task["rounds"] if entry["round"] > 0]
        down = [entry["bytes_down"] / 1000 for entry in task["rounds"] if entry["round"] > 0]
        panel.bar(rounds, down, color="#9fc5d6", label="models, to the parties", width=0.8)
        panel.bar(rounds, up, bottom=down, color=COLOURS[0], label="updates, to the coordinator", width=0.8)
        panel.set_title(task["name"], loc="left", fontsize=10, color=INK, weight="bold")
        panel.set_xlabel("round")
    panels[0].set_ylabel("kB, all parties")
    _legend_above(figure, panels[0])
    return _svg(figure, "Bytes on the wire per round")


def spending(budgets: Sequence[Mapping[str, Any]]) -> str:
    """The ε that each party's people have spent at most over all tasks, beside the cap of that party."""
    figure, (panel,) = _panels(1, height=0.7 + 0.27 * len(budgets))
    places = range(len(budgets))
    panel.barh(places, [entry["epsilon"] for entry in budgets], color=COLOURS[0], height=0.5, label="spent at most")
    panel.scatter([entry["cap"] for entry in budgets], places, marker="|", s=260, color=COLOURS[1], label="cap", lw=2)
    panel.set_yticks(list(places), [f"{entry['party']} ({entry['group']})" for entry in budgets])
    panel.invert_yaxis()
    panel.set_xlabel("ε per person")
    _legend_above(figure, panel)
    return _svg(figure, "ε spent per party")


def _legend_above(figure: Figure, panel: Axes) -> None:
    """One legend for all panels, above them, where it hides nothing."""
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False, fontsize=8)


def _protection(task: Task) -> str:
    return "no DP" if task["epsilon"] is None else f"ε = {task['epsilon']:g}"


def _highest(tasks: Sequence[Task], workload: str) -> float:
    values = [entry["score"] for task in tasks if task["workload"] == workload for entry in task["rounds"]]
    return max((float(value) for value in values if value is not None), default=1.0)


def _score_label(tasks: Sequence[Task], workload: str) -> str:
    task = next(task for task in tasks if task["workload"] == workload)
    return f"{words(task['headline'])} ({'higher' if task['higher_is_better'] else 'lower'} is better)"


def _panels(count: int, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(10, height), layout="constrained")
    FigureCanvasSVG(figure)
    panels = [figure.add_subplot(1, count, number + 1) for number in range(count)]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(QUIET)
        panel.tick_params(colors=QUIET, labelsize=8)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        panel.grid(axis="y", color="#e3e8ed", lw=0.8)
        panel.set_axisbelow(True)
    return figure, panels


def _svg(figure: Figure, title: str) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{title}"', svg, count=1)
