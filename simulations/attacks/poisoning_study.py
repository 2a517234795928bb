"""Poisoning: the model against the share of dishonest parties, without bounds, within them, and with them ignored."""

from collections.abc import Mapping
from typing import Any

from federation.errors import UsageError
from simulations.attacks import poisoning
from simulations.attacks.findings import Advance, Findings, Plot, Verdict
from simulations.attacks.measures import Estimate
from simulations.attacks.poisoning import KINDS, LOUD, QUIETER, Damage, Manner
from simulations.attacks.setting import Setting
from simulations.pages import drawing
from simulations.pages.page import table, words
from simulations.seeded import SeededSource

TRIALS = 4
"""Shares of bad parties above none, up to `MOST_BAD`."""

MOST_BAD = 0.4
FREE, BOUNDED, IGNORED = "no protection", "within clip × declared people", "clip ignored"
Case = tuple[str, str, int]
"""Kind, bound, number of bad parties."""

ATTACKER = (
    f"Parties that exaggerate {LOUD:g} times (a backdoor {QUIETER:g} times where that is better): the opposite of what "
    "they learned, too much of it, what wrong labels teach, or a trigger that means a class. Within the bound a "
    "party's vector is cut to the clip times the people that it declared, over a divisor that the task fixes: no "
    "honest party brings more, but for noise."
)
REMARK = (
    "The node clips, nobody else does: the coordinator adds what a party signs. A dishonest party ignores the clip, "
    "and then privacy terms protect the model from nothing. A coordinator that cut every vector to the length that "
    "declared people and noise can explain would enforce it; with secure aggregation nobody could. Within the "
    "bound every party still weighs as much as its people, and a backdoor that accuracy does not show needs few."
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
    damages: dict[Case, Damage] = {}
    for kind, bound, bad in _cases(trials, setting):
        same = next((one for case, one in damages.items() if not bad and _all_honest(case, bound)), None)
        damages[kind, bound, bad] = same or _damage(setting, (kind, bound, bad))
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


def _damage(setting: Setting, case: Case) -> Damage:
    """What came of it; whoever hides a backdoor is as loud as serves them best."""
    kind, bound, bad = case
    training = setting.training.unprotected() if bound == FREE else setting.training
    damages = [
        poisoning.damage(
            training, poisoning.play(training, Manner(kind, bound == BOUNDED, loud), bad, SeededSource(setting.seed))
        )
        for loud in ((LOUD, QUIETER) if kind == "backdoor" and bad else (LOUD,))
    ]
    return max(damages, key=lambda one: one.backdoor.value if one.backdoor else 0.0)


def _all_honest(case: Case, bound: str) -> bool:
    """Whether nobody is bad in `case`, under the terms that `bound` means: then one training stands for all."""
    return not case[2] and (case[1] == FREE) == (bound == FREE)


def _cases(trials: int, setting: Setting) -> list[Case]:
    kinds = [kind for kind in KINDS if kind != "backdoor" or poisoning.has_trigger(setting.training.workload)]
    bounds = (FREE, BOUNDED, IGNORED) if setting.terms else (FREE,)
    return [(kind, bound, bad) for kind in kinds for bound in bounds for bad in counts(trials, setting)]


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
    workload, parties = setting.training.workload, len(setting.training.parties)
    made = []
    for kind in dict.fromkeys(kind for kind, _, _ in damages):
        rows = []
        for bad in sorted({bad for _, _, bad in damages}):
            row = {"bad": f"{bad} of {parties}"}
            for bound in dict.fromkeys(bound for _, bound, _ in damages):
                one = damages[kind, bound, bad]
                row[bound] = str(one.backdoor if kind == "backdoor" and one.backdoor else one.score)
            rows.append(row)
        measure = "triggered windows taken in" if kind == "backdoor" else words(workload.headline)
        bounds = {key: key for key in rows[0] if key != "bad"}
        made.append(table(f"{kind}: {KINDS[kind]} ({measure})", {"bad": "bad parties"} | bounds, rows))
    return tuple(made)


def _plots(setting: Setting, damages: Mapping[Case, Damage]) -> tuple[Plot, ...]:
    kinds = list(dict.fromkeys(kind for kind, _, _ in damages))
    figure, panels = drawing.panels(len(kinds), height=3.0, across=2)
    for kind, panel in zip(kinds, panels, strict=True):
        for number, bound in enumerate(dict.fromkeys(bound for _, bound, _ in damages)):
            bads = sorted({bad for _, _, bad in damages})
            found = [_shown(kind, damages[kind, bound, bad]) for bad in bads]
            middle = [one.value for one in found]
            errors = [
                [max(0.0, one.value - one.low) for one in found],
                [max(0.0, one.high - one.value) for one in found],
            ]
            colour, dashes = drawing.style(number)
            panel.errorbar(
                bads, middle, errors, color=colour, linestyle=dashes, marker="o", ms=3, capsize=2, label=bound
            )
        drawing.heading(panel, kind)
        taken = "triggered windows taken in"
        panel.set_ylabel(taken if kind == "backdoor" else words(setting.training.workload.headline))
        panel.set_xlabel("bad parties")
    drawing.legend_above(figure, panels[0])
    caption = (
        "The released model on held-out people, against how many parties are bad; bars: 95 % intervals over people."
    )
    return (Plot(drawing.svg(figure, "Damage against the number of bad parties"), caption),)


def _shown(kind: str, damage: Damage) -> Estimate:
    return damage.backdoor if kind == "backdoor" and damage.backdoor else damage.score
