"""Property: traits of whole parties, told from their updates, in parties of growing size."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from federation.errors import UsageError
from federation.schema import Rows, concatenate
from privacy import accounting
from simulations.attacks import property as attack
from simulations.attacks.findings import Advance, Findings, Plot, Verdict
from simulations.attacks.measures import Estimate, bars, roc, share
from simulations.attacks.property import TRAITS, Question, Verdicts
from simulations.attacks.rounds import play
from simulations.attacks.setting import Setting
from simulations.pages import drawing
from simulations.pages.page import table
from simulations.seeded import SeededSource

TRIALS = 60
"""Simulated parties to learn from, and as many to be asked about."""

SIZES = (0.5, 1.0, 4.0)
"""Party sizes as multiples of the scenario's."""

CONTROL_AREA = 0.75
MOST_ROWS = 8
REMARK = (
    "Differential privacy of persons is no defence here and does not claim to be: it hides whether one person took "
    "part, not what a party's people have in common. The noise is that of one person; the trait adds up over all of "
    "them, so that large parties show it in spite of the noise. What helps is to hide parties: secure aggregation over "
    "many, or not to take part with people whose common trait is a secret."
)


def work(trials: int, setting: Setting) -> int:
    """Units of work."""
    return 2 * trials * len(SIZES) * (2 if setting.terms else 1)


def about(trait: str) -> Callable[[Setting, int, Advance], Findings]:
    """The study of one trait."""
    return lambda setting, trials, advance: run(setting, trials, trait, advance)


def run(setting: Setting, trials: int, trait: str, advance: Advance) -> Findings:
    """Judge parties with and without `trait`, at every size, without and with the scenario's protection."""
    training = setting.training
    attack.require(trait, training.workload)
    sent = [one.weights for one in play(training, torch.zeros(0, dtype=torch.int64), SeededSource(setting.seed))[0]]
    pool, victims = _halves(setting)
    usual = round(len(training.people()) / len(training.parties))
    found: dict[tuple[int, bool], Verdicts] = {}
    for size in (max(2, round(usual * factor)) for factor in SIZES):
        rows = min(MOST_ROWS, len(pool) // len(torch.unique(pool.person)))
        question = Question(trait, size, max(1, rows), pool, victims)
        for protected in (False, True) if training.terms else (False,):
            played = training if protected else training.unprotected()
            source = SeededSource(setting.seed)
            found[size, protected] = attack.judge(played, sent, question, trials, source, advance)
    areas = {key: one.area() for key, one in found.items()}
    best = areas[max(size for size, _ in areas), False]
    return Findings(
        title="Property: what does a party's update tell of its people as a whole?",
        attacker=(
            "A coordinator that keeps what a party sends over all rounds, simulates parties with and without a trait "
            f"from people of its own, and learns to tell them apart. The trait: {TRAITS[trait]}."
        ),
        control=Verdict(
            best.low > 0.5 and best.value > CONTROL_AREA,
            f"Without protection the largest parties are told apart with an area under the ROC curve of {best} "
            f"(0.5 is a coin; more than {CONTROL_AREA:g} was expected).",
        ),
        promise=None,
        tables=(_table(setting, found, areas),),
        plots=(_plot(found, areas, usual),),
        figures={
            "trait": trait,
            "area": {_name(*key): one for key, one in areas.items()},
            "told right": {_name(*key): share(one.right(), len(one.scores)) for key, one in found.items()},
        },
        remark=REMARK,
    )


def _halves(setting: Setting) -> tuple[Rows, Rows]:
    """The attacker's own people, and those of the parties it asks about."""
    rows, people = concatenate(list(setting.training.parties)), setting.training.people()
    if len(people) < 4:
        raise UsageError(f"{len(people)} people train; property needs at least 4, half of them the attacker's own.")
    return rows.of(people[::2]), rows.of(people[1::2])


def _name(size: int, protected: bool) -> str:
    return f"{size} people, {'protected' if protected else 'no protection'}"


def _table(
    setting: Setting, found: Mapping[tuple[int, bool], Verdicts], areas: Mapping[tuple[int, bool], Estimate]
) -> dict[str, Any]:
    terms, rounds = setting.terms, setting.training.charges
    rows = []
    for (size, protected), one in found.items():
        row: dict[str, Any] = {"party": _name(size, protected), "area": str(areas[size, protected])}
        row["right"] = str(share(one.right(), len(one.scores)))
        if protected and terms:
            group = accounting.of_group(terms.person_cost(), size)
            row["epsilon"] = accounting.epsilon(group, rounds, terms.delta)
        rows.append(row)
    columns = {"party": "party", "area": "area under ROC", "right": "told right", "epsilon": "#ε of all its people"}
    note = (
        "95 % intervals in brackets. The last column is what the terms promise about all people of a party together, "
        "by group privacy: nothing."
    )
    return table("Which parties have the trait", columns, rows, note)


def _plot(found: Mapping[tuple[int, bool], Verdicts], areas: Mapping[tuple[int, bool], Estimate], usual: int) -> Plot:
    figure, (left, right) = drawing.panels(2, height=3.8)
    for number, protected in enumerate((False, True)):
        sizes = sorted(size for size, flag in areas if flag is protected)
        if not sizes:
            continue
        colour, dashes = drawing.style(number)
        name = "protected" if protected else "no protection"
        middle = [areas[size, protected].value for size in sizes]
        errors = bars([areas[size, protected] for size in sizes])
        left.errorbar(sizes, middle, errors, color=colour, linestyle=dashes, marker="o", ms=4, capsize=2, label=name)
        curve = found[min(sizes, key=lambda size: abs(size - usual)), protected]
        right.plot(*roc(curve.scores, curve.present), color=colour, linestyle=dashes, lw=1.8)
    left.axhline(0.5, color=drawing.QUIET, lw=0.8, linestyle=":", label="a coin")
    left.set_xscale("log", base=2)
    left.set_xticks(sizes := sorted({size for size, _ in areas}), [str(size) for size in sizes])
    left.set_ylim(0.3, 1.02)
    left.set_xlabel("people in the party")
    left.set_ylabel("area under ROC")
    right.set_xticks(drawing.SHARES)
    right.plot([0, 1], [0, 1], color=drawing.QUIET, lw=0.8, linestyle=":")
    right.set_xlabel(f"false positives, parties of {usual} people")
    right.set_ylabel("true positives")
    drawing.legend_above(figure, left)
    caption = "Left: how well parties are told apart, by size. Right: true against false positives at the usual size."
    return Plot(drawing.svg(figure, "How well a trait of parties is told"), caption)
