"""The study's figures as JSON, as a page and as plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from simulations.benchmarks.kept import Part
from simulations.benchmarks.privacy_utility import plots
from simulations.benchmarks.privacy_utility.plots import deviation
from simulations.benchmarks.privacy_utility.words import AGREEMENT, HOW, OPENING, TEN, TERMS, WHAT_BOUGHT_WHAT
from simulations.seeded import STAMP

COMMAND = "python -m simulations.benchmarks.privacy_utility"
Found = Mapping[str, Any]
FIGURES = "privacy_utility.json"
NAMES = {"node": "at each node", "shared": "shared"}


def write(folder: Path, parts: Sequence[Part]) -> None:
    """``privacy_utility.json``, ``.md`` and two plots in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"command": COMMAND, "stamp": STAMP, "parts": parts}
    (folder / FIGURES).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (folder / "privacy_utility.md").write_text(page(parts), "utf-8")
    figures = arranged(parts)
    plots.by_epsilon(figures, folder / "privacy_utility_epsilon.png")
    plots.what_bought_what(figures["changes"], folder / "privacy_utility_changes.png")


def arranged(parts: Sequence[Part]) -> dict[str, Any]:
    """What was found, by part; ``motion`` and ``references`` are those of all numbers of people."""
    found = {part["name"]: part["found"] for part in parts}

    def of_all(prefix: str) -> list[Found]:
        return [one for name, one in found.items() if name.startswith(prefix)]

    return found | {"motion": of_all("motion-"), "references": of_all("everything-")}


def page(parts: Sequence[Part]) -> str:
    """The Markdown page."""
    document = arranged(parts)
    real = [document[name] for name in ("runners", "lifters") if name in document]
    written = [
        "# Privacy at the size where it works\n",
        f"`{COMMAND}` on {_measured_on(parts)}. "
        f"**{STAMP.capitalize()}**: the noise is seeded, so that everything can be repeated.\n",
        OPENING,
        _promises(document),
        "## Synthetic people with a watch: accuracy against ε\n",
        "![Accuracy against ε for 100 to 6,400 people, and the error of runners and lifters]"
        "(privacy_utility_epsilon.png)\n",
        "Dotted: no DP. Bars: standard deviation over seeds.\n",
        _accuracies(document["motion"]),
        *([TEN, _accuracies([document["ten"]])] if "ten" in document else []),
        "## Real people: error against ε\n",
        *(_errors(case) for case in real),
        "## What bought what\n",
        _changes(document["changes"]),
        *([_whole(document["whole"])] if "whole" in document else []),
        *(_reference(found) for found in document["references"]),
        WHAT_BOUGHT_WHAT,
        AGREEMENT,
        _width(document["width"]),
        _agreement(document["motion"], document["direct"]),
        "## Terms\n",
        _terms([*document["motion"], *real]),
        TERMS,
        HOW,
    ]
    return "\n".join(written)


def _measured_on(parts: Sequence[Part]) -> str:
    """Machine and commit; all of them where parts were measured at several times."""
    machines, commits = (list(dict.fromkeys(part[key] for part in parts)) for key in ("machine", "commit"))
    said = f"commit {commits[0]}" if len(commits) == 1 else f"commits {', '.join(commits)} (the JSON says which part)"
    return f"{' and '.join(machines)}, one thread, {said}"


def _promises(document: Found) -> str:
    """Targets beside what was measured, with noise at the nodes and with shared noise."""
    lines = ["| promise | target | noise at the nodes | shared noise |", "|---|---|---|---|"]
    for case in document["motion"]:
        limit = {400: 12, 1600: 5}.get(case["people"])
        if limit and "8" in case["node"]:
            cells = " | ".join(f"{lost:.1f} points" for lost in _lost(mean(case["plain"]), case))
            lines.append(f"| ε = 8 against no DP, {case['people']:,} people | ≤ {limit} points | {cells} |")
    for found in document["references"]:
        case = next(case for case in document["motion"] if case["people"] == found["people"])
        cells = " | ".join(f"{lost:.1f} points" for lost in _lost(found["plain"], case))
        lines.append(f"| the same against no DP and everything trained, {case['people']:,} people | – | {cells} |")
    runners = document["runners"]
    if "1" in runners["node"]:
        cells = " | ".join(f"{mean(runners[place]['1']) / mean(runners['plain']) - 1:+.2%}" for place in NAMES)
        lines.append(f"| `running_pace` at ε = 1, error against no DP | within 2 % | {cells} |")
    return "\n".join(lines) + "\n"


def _lost(free: float, case: Found) -> list[float]:
    """Points that ε = 8 costs against `free`, by whose noise it is."""
    return [100 * (free - mean(case[place]["8"])) for place in NAMES]


def _accuracies(cases: Sequence[Found]) -> str:
    epsilons = list(cases[0]["node"])
    heads = " | ".join(f"ε = {epsilon}" for epsilon in epsilons)
    lines = [f"| people | noise | no DP | clipped, no noise | {heads} |", f"|---|---|---|---|{'---|' * len(epsilons)}"]
    for case in cases:
        for place, name in NAMES.items():
            cells = " | ".join(spread(case[place][epsilon]) for epsilon in epsilons)
            first = f"{case['people']:,} | {name} | {spread(case['plain'])} | {case['quiet']:.3f}"
            lines.append(f"| {first if place == 'node' else f' | {name} | | '} | {cells} |")
    return "\n".join(lines) + "\n"


def _errors(case: Found) -> str:
    epsilons, free = list(case["node"]), mean(case["plain"])
    unit = {"mae_s_per_km": "s/km", "mae_kg": "kg"}.get(case["headline"], case["headline"])
    parties = ", ".join(f"{people:,}" for people in case["parties"])
    lines = [
        f"**{case['name'].capitalize()}**: {case['people']:,} people at five parties ({parties}); {case['judges']:,} "
        f"others judge. Mean absolute error, {unit}. From synthetic rows alone: {case['start']:.2f}.\n",
        f"| noise | no DP | clipped, no noise | {' | '.join(f'ε = {epsilon}' for epsilon in epsilons)} |",
        f"|---|---|---|{'---|' * len(epsilons)}",
    ]
    for place, name in NAMES.items():
        cells = [f"{mean(case[place][e]):.2f} ({mean(case[place][e]) / free - 1:+.1%})" for e in epsilons]
        lines.append(f"| {name} | {free:.2f} | {case['quiet']:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _changes(found: Found) -> str:
    base = found["variants"][0]
    epsilons = list(base["scores"])
    lines = [
        f"{found['people']:,} people; one change at a time from the base: noise at each of five nodes, "
        f"{base['parameters']} trained numbers, everybody in every round. In brackets: points against the base.\n",
        "![Accuracy with one change at a time](privacy_utility_changes.png)\n",
        f"| change | no noise | {' | '.join(f'ε = {epsilon}' for epsilon in epsilons)} |",
        f"|---|---|{'---|' * len(epsilons)}",
    ]
    for one in found["variants"]:
        cells = [
            f"{spread(one['scores'][e])} ({100 * (mean(one['scores'][e]) - mean(base['scores'][e])):+.1f})"
            for e in epsilons
        ]
        lines.append(f"| {one['name']} | {one['quiet']:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nThe pre-trained start itself scores {found['pretrained_start']:.3f}.\n"


def _whole(found: Found) -> str:
    epsilons = list(found["trained"][0]["scores"])
    lines = [
        f"Few or many parameters: the model with its convolutions, {found['people']:,} people, {found['rounds']} "
        f"rounds, two rows per local step, noise at each node.\n",
        f"| trained | numbers | no noise | {' | '.join(f'ε = {epsilon}' for epsilon in epsilons)} |",
        f"|---|---|---|{'---|' * len(epsilons)}",
    ]
    for one in found["trained"]:
        name = ", ".join(f"`{prefix}`" for prefix in one["trains"]) or "everything"
        cells = " | ".join(spread(one["scores"][epsilon]) for epsilon in epsilons)
        lines.append(f"| {name} | {one['parameters']:,} | {one['quiet']:.3f} | {cells} |")
    return "\n".join(lines) + "\n"


def _reference(found: Found) -> str:
    return f"Everything trained without DP on {found['people']:,} people: {found['plain']:.3f}.\n"


def _width(found: Found) -> str:
    """How much noise came, with its standard error: that of the variance of so many Gaussian values."""
    error = (2 / found["values"]) ** 0.5
    return (
        f"The noise of sums over {found['people']:,} people at ε = {found['epsilon']:g}, {found['values']:,} values: "
        f"{found['variance']:.3f} ± {error:.3f} of the variance that was reckoned with.\n"
    )


def _agreement(motion: Sequence[Found], direct: Found) -> str:
    """The case that was also computed directly, both ways."""
    case = next(case for case in motion if case["people"] == direct["people"])
    epsilons = list(direct["node"])
    lines = [
        f"| noise | {direct['people']:,} people | {' | '.join(f'ε = {epsilon}' for epsilon in epsilons)} |",
        f"|---|---|{'---|' * len(epsilons)}",
    ]
    for place, name in NAMES.items():
        for how, found in (("over the protocol", case[place]), ("computed directly", direct[place])):
            lines.append(f"| {name} | {how} | {' | '.join(spread(found[epsilon]) for epsilon in epsilons)} |")
        points = [_difference(case[place][epsilon], direct[place][epsilon]) for epsilon in epsilons]
        lines.append(f"| {name} | difference, points | {' | '.join(points)} |")
    return "\n".join(lines) + "\n"


def _difference(scores: Sequence[float], others: Sequence[float]) -> str:
    """Of two means, in points, with its standard error."""
    error = sum(deviation(one) ** 2 / len(one) for one in (scores, others)) ** 0.5
    return f"{100 * (mean(scores) - mean(others)):+.1f} ± {100 * error:.1f}"


def _terms(cases: Sequence[Found]) -> str:
    epsilons = list(cases[0]["node"])
    lines = [
        f"| case | people | δ | rounds | C | rows each | n/h | noise | {' | '.join(f'σ, ε = {e}' for e in epsilons)} |",
        f"|---|---|---|---|---|---|---|---|{'---|' * len(epsilons)}",
    ]
    for case in cases:
        terms, first = case["terms"], True
        figures = [case["delta"], terms["rounds"], terms["clip"], terms["rows_per_person"]]
        for place, key in (("node", "sigma"), ("shared", "sigma_shared")):
            heads = [case["name"], f"{case['people']:,}", *(f"{figure:g}" for figure in figures)] if first else [""] * 6
            surplus = f"{case['surplus']:.3g}" if place == "shared" else "–"
            lines.append(
                f"| {' | '.join([*heads, surplus, NAMES[place], *(f'{case[key][e]:.2f}' for e in epsilons)])} |"
            )
            first = False
    return "\n".join(lines) + "\n"


def spread(scores: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{mean(scores):.3f} ± {deviation(scores):.3f}"
