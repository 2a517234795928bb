"""Plots of the demo's report."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulations.pages.drawing import COLOURS, INK, PALE, heading, legend_above, panels, svg
from simulations.pages.page import words

Task = Mapping[str, Any]


def scores(tasks: Sequence[Task]) -> str:
    """Score per round on held-out people, one panel per workload, one line per task."""
    workloads = list(dict.fromkeys(task["workload"] for task in tasks))
    figure, drawn = panels(len(workloads))
    for panel, workload in zip(drawn, workloads, strict=True):
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
        heading(panel, workload.replace("_", " "))
        panel.set_ylabel(_score_label(tasks, workload))
        panel.set_xlabel("round")
        panel.set_ylim(0, 1.12 * _highest(tasks, workload))
        panel.legend(frameon=False, fontsize=8, loc="lower right", labelcolor=INK)
    return svg(figure, "Score per round on people who were never trained on")


def traffic(tasks: Sequence[Task]) -> str:
    """Bytes on the wire in each round, up and down, one panel per task."""
    figure, drawn = panels(len(tasks), height=2.5)
    for panel, task in zip(drawn, tasks, strict=True):
        rounds = [entry["round"] for entry in task["rounds"] if entry["round"] > 0]
        up = [entry["bytes_up"] / 1000 for entry in task["rounds"] if entry["round"] > 0]
        down = [entry["bytes_down"] / 1000 for entry in task["rounds"] if entry["round"] > 0]
        panel.bar(rounds, down, color=PALE, label="models, to the parties", width=0.8)
        panel.bar(rounds, up, bottom=down, color=COLOURS[0], label="updates, to the coordinator", width=0.8)
        heading(panel, task["name"])
        panel.set_xlabel("round")
    drawn[0].set_ylabel("kB, all parties")
    legend_above(figure, drawn[0])
    return svg(figure, "Bytes on the wire per round")


def spending(budgets: Sequence[Mapping[str, Any]]) -> str:
    """The ε that each party's people have spent at most over all tasks, beside the cap of that party."""
    figure, (panel,) = panels(1, height=0.7 + 0.27 * len(budgets))
    places = range(len(budgets))
    panel.barh(places, [entry["epsilon"] for entry in budgets], color=COLOURS[0], height=0.5, label="spent at most")
    panel.scatter([entry["cap"] for entry in budgets], places, marker="|", s=260, color=COLOURS[1], label="cap", lw=2)
    panel.set_yticks(list(places), [f"{entry['party']} ({entry['group']})" for entry in budgets])
    panel.invert_yaxis()
    panel.set_xlabel("ε per person")
    legend_above(figure, panel)
    return svg(figure, "ε spent per party")


def _protection(task: Task) -> str:
    return "no DP" if task["epsilon"] is None else f"ε = {task['epsilon']:.4g}"


def _highest(tasks: Sequence[Task], workload: str) -> float:
    values = [entry["score"] for task in tasks if task["workload"] == workload for entry in task["rounds"]]
    return max((float(value) for value in values if value is not None), default=1.0)


def _score_label(tasks: Sequence[Task], workload: str) -> str:
    task = next(task for task in tasks if task["workload"] == workload)
    return f"{words(task['headline'])} ({'higher' if task['higher_is_better'] else 'lower'} is better)"
