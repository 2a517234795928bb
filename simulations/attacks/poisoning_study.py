"""Poisoning: the model against the share of dishonest parties, by what bounds them and how the coordinator combines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from federation.errors import UsageError
from federation.schema import Rows
from server import robust
from simulations.attacks import poisoning
from simulations.attacks.findings import Advance, Findings, Plot, Verdict
from simulations.attacks.measures import Estimate
from simulations.attacks.poisoning import KINDS, LOUD, QUIETER, SPREAD, Damage, Defence, Manner
from simulations.attacks.setting import Setting
from simulations.attacks.training import Training, answer, first_weights
from simulations.pages import drawing
from simulations.pages.page import table, words
from simulations.seeded import SeededSource

TRIALS = 4
"""Shares of bad parties above none, up to `MOST_BAD`."""

MOST_BAD = 0.4
FREE, LIMITED, MEDIAN, TRIMMED, KRUM = "no protection", "lengths limited", "median", "trimmed mean", "multi-Krum"
BOUNDED, IGNORED = "within clip × declared people", "clip ignored, nothing cut"
CUT, CUT_TRIMMED, CUT_KRUM = "clip ignored, lengths cut", "lengths cut, trimmed mean", "lengths cut, multi-Krum"
RULES = {
    MEDIAN: "median",
    TRIMMED: "trimmed-mean",
    KRUM: "multi-krum",
    CUT_TRIMMED: "trimmed-mean",
    CUT_KRUM: "multi-krum",
}
WITHOUT_TERMS = (FREE, LIMITED, MEDIAN, TRIMMED, KRUM)
UNDER_TERMS = (BOUNDED, IGNORED, CUT, CUT_TRIMMED, CUT_KRUM)
Case = tuple[str, str, int]
"""Kind, bound, number of bad parties."""

ATTACKER = (
    f"Parties that exaggerate {LOUD:g} times (a backdoor {QUIETER:g} times where that is better): the opposite of what "
    "they learned, too much of it, what wrong labels teach, or a trigger that means a class. Others know every honest "
    f"vector and keep {SPREAD:g} of their standard deviations away from their mean. Within the bound a party's vector "
    "is cut to the clip times the people that it declared, over a divisor that the task fixes: no honest party brings "
    "more, but for noise."
)
REMARK = (
    "Only the node can clip people; what the coordinator can do is to cut each vector to what declared people and "
    "noise reach, and it always does. That leaves a dishonest party the noise's length to lie with. Rules that compare "
    "vectors do better where honest ones are alike, as long as no more are bad than the rule was told, and none sees "
    "whoever stays within the honest spread. With secure aggregation the coordinator sees no vector: there the lanes' "
    "range bounds a party, and nothing compares it with others."
)


def counts(trials: int, setting: Setting) -> list[int]:
    """How many parties are bad, from none to `MOST_BAD` of them."""
    parties = len(setting.training.parties)
    if parties < 3:
        raise UsageError(f"the scenario has {parties} parties; poisoning needs at least 3, so that most are honest.")
    return sorted({round(MOST_BAD * parties * step / trials) for step in range(trials + 1)} | {0, 1})


def work(trials: int, setting: Setting) -> int:
    """Units of work."""
    return len(_cases(trials, setting))


def run(setting: Setting, trials: int, advance: Advance) -> Findings:
    """Train with every kind, bound and number of bad parties."""
    if setting.training.local.scaffold:
        raise UsageError(
            "poisoning compares rules that combine single updates, which do not go with SCAFFOLD's variates. Attack "
            "the same scenario without: --set training.scaffold=false."
        )
    damages: dict[Case, Damage] = {}
    defences = {bound: _defence(setting, _under(setting, bound), bound) for bound in _bounds(setting)}
    for kind, bound, bad in _cases(trials, setting):
        same = next((one for case, one in damages.items() if not bad and _all_honest(case, bound)), None)
        damages[kind, bound, bad] = same or _damage(setting, (kind, bound, bad), defences[bound])
        advance(1)
    workload = setting.training.workload
    return Findings(
        title="Poisoning: what can dishonest parties do to the model?",
        attacker=ATTACKER,
        control=_control(setting, damages),
        promise=None,
        tables=_tables(setting, damages),
        plots=_plots(setting, damages),
        figures={
            "parties": len(setting.training.parties),
            workload.headline: {_name(case): one.score for case, one in damages.items()},
            "backdoor": {_name(case): one.backdoor for case, one in damages.items() if one.backdoor},
        },
        remark=REMARK,
    )


def _damage(setting: Setting, case: Case, defence: Defence) -> Damage:
    """What came of it; whoever hides a backdoor is as loud as serves them best."""
    kind, bound, bad = case
    training = _under(setting, bound)
    damages = [
        poisoning.damage(
            training,
            poisoning.play(training, Manner(kind, bound == BOUNDED, loud), bad, SeededSource(setting.seed), defence),
        )
        for loud in ((LOUD, QUIETER) if kind == "backdoor" and bad else (LOUD,))
    ]
    return max(damages, key=lambda one: one.backdoor.value if one.backdoor else 0.0)


def _under(setting: Setting, bound: str) -> Training:
    return setting.training.unprotected() if bound in WITHOUT_TERMS else setting.training


def _defence(setting: Setting, training: Training, bound: str) -> Defence:
    """What the coordinator does under `bound`; a rule is told of as many bad parties as it can withstand."""
    parties, rule = len(training.parties), RULES.get(bound, "mean")
    hostile = max(0, (parties - 3) // 2 if rule == "multi-krum" else (parties - 1) // 2)
    if bound == LIMITED:
        return Defence(longest=(_usual(training),) * parties)
    if bound in (CUT, CUT_TRIMMED, CUT_KRUM):
        return Defence(rule, hostile, tuple(_longest(setting, rows) for rows in training.parties))
    return Defence(rule, hostile)


def _longest(setting: Setting, rows: Rows) -> float:
    """What `server.robust` allows a party with the people in `rows`."""
    names = setting.training.names(weights := first_weights(setting.training))
    people = len(torch.unique(rows.person))
    party = next(member.party for member in setting.manifest.cohort if member.people == people)
    size = sum(weights[name].numel() for name in names)
    return robust.longest(setting.manifest, setting.training.phase, party, size)


def _usual(training: Training) -> float:
    """The median length of honest first updates, which an operator would write as norm_limit."""
    weights = first_weights(training)
    return float(
        np.median([robust.length(answer(training, weights, rows, SeededSource(1))) for rows in training.parties])
    )


def _all_honest(case: Case, bound: str) -> bool:
    """Whether nobody is bad in `case` and `bound` is its own; all kinds of attack have one training without any."""
    return not case[2] and case[1] == bound


def _cases(trials: int, setting: Setting) -> list[Case]:
    kinds = [kind for kind in KINDS if kind != "backdoor" or poisoning.has_trigger(setting.training.workload)]
    return [(kind, bound, bad) for kind in kinds for bound in _bounds(setting) for bad in counts(trials, setting)]


def _bounds(setting: Setting) -> tuple[str, ...]:
    return WITHOUT_TERMS + (UNDER_TERMS if setting.terms else ())


def _name(case: Case) -> str:
    kind, bound, bad = case
    return f"{kind}, {bound}, {bad} bad"


def _control(setting: Setting, damages: Mapping[Case, Damage]) -> Verdict:
    """The loudest of the bad ruin an unprotected model."""
    workload = setting.training.workload
    most = max(bad for _, _, bad in damages)
    before, after = damages["sign-flip", FREE, 0].score, damages["sign-flip", FREE, most].score
    worse = after.high < before.low if workload.higher_is_better else after.low > before.high
    return Verdict(
        worse,
        f"Without protection {most} of {len(setting.training.parties)} parties that flip signs take the model's "
        f"{words(workload.headline)} from {before} to {after}.",
    )


def _tables(setting: Setting, damages: Mapping[Case, Damage]) -> tuple[dict[str, Any], ...]:
    return tuple(
        _table(setting, damages, kind, bounds)
        for bounds in _sides(damages)
        for kind in dict.fromkeys(kind for kind, _, _ in damages)
    )


def _sides(damages: Mapping[Case, Damage]) -> list[tuple[str, ...]]:
    """Bounds that stand in one table: without privacy terms, and under them."""
    tried = {bound for _, bound, _ in damages}
    return [side for side in (WITHOUT_TERMS, UNDER_TERMS) if tried.issuperset(side)]


def _table(setting: Setting, damages: Mapping[Case, Damage], kind: str, bounds: Sequence[str]) -> dict[str, Any]:
    workload, parties = setting.training.workload, len(setting.training.parties)
    rows = [
        {"bad": f"{bad} of {parties}"} | {bound: str(_shown(kind, damages[kind, bound, bad])) for bound in bounds}
        for bad in sorted({bad for _, _, bad in damages})
    ]
    measure = "triggered windows taken in" if kind == "backdoor" else words(workload.headline)
    heads = {"bad": "bad parties"} | {bound: bound for bound in bounds}
    return table(f"{kind}: {KINDS[kind]} ({measure})", heads, rows)


def _plots(setting: Setting, damages: Mapping[Case, Damage]) -> tuple[Plot, ...]:
    return tuple(_plot(setting, damages, bounds) for bounds in _sides(damages))


def _plot(setting: Setting, damages: Mapping[Case, Damage], bounds: Sequence[str]) -> Plot:
    kinds = list(dict.fromkeys(kind for kind, _, _ in damages))
    figure, panels = drawing.panels(len(kinds), height=3.0, across=2)
    for kind, panel in zip(kinds, panels, strict=True):
        for number, bound in enumerate(bounds):
            bads = sorted({bad for _, _, bad in damages})
            found = [_shown(kind, damages[kind, bound, bad]) for bad in bads]
            errors = [
                [max(0.0, one.value - one.low) for one in found],
                [max(0.0, one.high - one.value) for one in found],
            ]
            colour, dashes = drawing.style(number)
            panel.errorbar(
                bads,
                [one.value for one in found],
                errors,
                color=colour,
                linestyle=dashes,
                marker="o",
                ms=3,
                capsize=2,
                label=bound,
            )
        drawing.heading(panel, kind)
        taken = "triggered windows taken in"
        panel.set_ylabel(taken if kind == "backdoor" else words(setting.training.workload.headline))
        panel.set_xlabel("bad parties")
    drawing.legend_above(figure, panels[0])
    where = "without privacy terms" if bounds[0] == FREE else "under the scenario's privacy terms"
    caption = (
        f"The released model on held-out people {where}, against how many parties are bad; bars: 95 % intervals over "
        "people."
    )
    return Plot(drawing.svg(figure, f"Damage against the number of bad parties, {where}"), caption)


def _shown(kind: str, damage: Damage) -> Estimate:
    return damage.backdoor if kind == "backdoor" and damage.backdoor else damage.score
