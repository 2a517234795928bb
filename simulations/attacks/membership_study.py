"""Membership: guesses about people who took part or not, without and with the scenario's protection."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from federation.schema import concatenate
from federation.terms import PersonTerms
from privacy import accounting
from simulations.attacks import canaries, membership
from simulations.attacks.canaries import Bets
from simulations.attacks.findings import Advance, Findings, Plot, Verdict
from simulations.attacks.measures import Estimate, roc
from simulations.attacks.membership import FALSE_POSITIVES, Guesses
from simulations.attacks.setting import Setting
from simulations.pages import drawing
from simulations.pages.page import table
from simulations.seeded import SeededSource

TRIALS = 24
"""Runs, with and without protection each."""

CONTROL_AREA = 0.65
"""What an attack on an unprotected training must reach to be taken seriously."""

CANARIES, CANARY_RUNS = 500, 20

NAMES = {
    ("updates", False): "coordinator, no protection",
    ("updates", True): "coordinator, protected",
    ("release", False): "holder of the released model, no protection",
    ("release", True): "holder of the released model, protected",
}
ATTACKER = (
    "Someone who has the very rows of everybody who may have taken part, and asks of each person: were they in the "
    "training? The coordinator sees every party's vector in every round; a holder of the release sees the last model. "
    "Canaries are the worst case: made-up people who hand over whatever betrays them most, to an attacker who knows "
    "everybody else."
)
REMARK = (
    "An attack that fails proves little: another may succeed. What limits all of them is the promise. Guesses about "
    "one person in many runs are not independent, so intervals are drawn over people."
)


def work(trials: int, setting: Setting) -> int:
    """Units of work."""
    return trials * (2 if setting.terms else 1)


def run(setting: Setting, trials: int, advance: Advance) -> Findings:
    """`trials` runs without protection and, if the scenario has any, as many with it; then the canaries."""
    known = concatenate(list(setting.training.parties))
    guesses: dict[tuple[str, bool], Guesses] = {}
    for protected in (False, True) if setting.terms else (False,):
        training = setting.training if protected else setting.training.unprotected()
        found = membership.guess(training, known, trials, setting.seed, advance)
        guesses |= {(view, protected): one for view, one in found.items()}
    areas = {key: one.area() for key, one in guesses.items()}
    found_low = {key: one.found() for key, one in guesses.items()}
    promise = setting.promise()
    bets = _bets(setting.terms, setting) if setting.terms else {}
    proven = _proven(bets, setting.terms) if setting.terms else {}
    return Findings(
        title="Membership: was this person in the training?",
        attacker=ATTACKER,
        control=_control(areas["updates", False]),
        promise=_promise(setting, guesses, proven),
        tables=_tables(setting, areas, found_low, proven),
        plots=_plots(setting, guesses, bets),
        figures={
            "area": {NAMES[key]: one for key, one in areas.items()},
            f"true positives at {FALSE_POSITIVES:g} false": {NAMES[key]: one for key, one in found_low.items()},
            "epsilon proven": proven,
            "most area": promise.most_area() if promise else None,
            "guesses": {NAMES[key]: len(one.scores) for key, one in guesses.items()},
        },
        remark=REMARK,
    )


def _bets(terms: PersonTerms, setting: Setting) -> dict[str, Bets]:
    """The worst case under the terms, and with the noise forgotten."""
    source = SeededSource(setting.seed)
    releases = {
        "canaries, protected": canaries.noised(terms, source),
        "canaries, noise forgotten": canaries.bare(terms),
    }
    return {
        name: canaries.together(
            [canaries.bet(release, terms, setting.training.charges, CANARIES, source) for _ in range(CANARY_RUNS)]
        )
        for name, release in releases.items()
    }


def _proven(bets: Mapping[str, Bets], terms: PersonTerms) -> dict[str, dict[str, float]]:
    """Lower bounds on ε by name and method."""
    return {
        name: {"one run": one.epsilon_proven(terms.delta), "independent": one.epsilon_independent(terms.delta)}
        for name, one in bets.items()
    }


def _control(unprotected: Estimate) -> Verdict:
    return Verdict(
        unprotected.low > 0.5 and unprotected.value > CONTROL_AREA,
        f"Without protection the coordinator's guesses have an area under the ROC curve of {unprotected} "
        f"(0.5 is a coin; more than {CONTROL_AREA:g} was expected).",
    )


def _promise(
    setting: Setting, guesses: Mapping[tuple[str, bool], Guesses], proven: Mapping[str, Mapping[str, float]]
) -> Verdict | None:
    """Nobody finds more people than the terms allow, and no more ε is proven than was stated."""
    promise, terms = setting.promise(), setting.terms
    if promise is None or terms is None:
        return None
    spent = accounting.epsilon(terms.person_cost(), setting.training.charges, terms.delta)
    best = max(proven["canaries, protected"].values())
    areas = [guesses[view, True].area() for view in ("updates", "release")]
    within = all(one.low <= promise.most_area() for one in areas)
    return Verdict(
        within and best <= spent,
        f"Stated is ε = {spent:.3g}; the canaries prove ε ≥ {best:.2f}. Any test has an area of at most "
        f"{promise.most_area():.3f}; the coordinator's has {areas[0]}, that of the release {areas[1]}.",
    )


def _tables(
    setting: Setting,
    areas: Mapping[tuple[str, bool], Estimate],
    low: Mapping[tuple[str, bool], Estimate],
    proven: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, Any], ...]:
    promise = setting.promise()
    rows = [{"who": NAMES[key], "area": str(areas[key]), "found": str(low[key])} for key in NAMES if key in areas]
    if promise:
        most = float(promise.most_found(np.array([FALSE_POSITIVES]))[0])
        rows.append(
            {"who": "anybody, by the promise", "area": f"≤ {promise.most_area():.3f}", "found": f"≤ {most:.3f}"}
        )
    columns = {"who": "attacker", "area": "area under ROC", "found": f"true positives at {FALSE_POSITIVES:.0%} false"}
    first = table("How many are found", columns, rows, "95 % intervals in brackets, over people.")
    if not proven:
        return (first,)
    bounds = [{"who": name, **{key: f"≥ {value:.2f}" for key, value in one.items()}} for name, one in proven.items()]
    headings = {
        "who": "attacker",
        "one run": "#one run",
        "independent": f"#{CANARIES * CANARY_RUNS:,} independent bets",
    }
    note = (
        "Lower bounds on ε with 95 % confidence: of one run, whatever the mechanism does (Steinke et al. 2023), and of "
        "bets that do not disturb one another (Jagielski et al. 2020). With no noise they grow with the bets for ever."
    )
    return first, table("What ε the canaries prove", headings, bounds, note)


def _plots(setting: Setting, guesses: Mapping[tuple[str, bool], Guesses], bets: Mapping[str, Bets]) -> tuple[Plot, ...]:
    """ROC curves on both scales: the left end of the second one is where people are named with confidence."""
    curves = {NAMES[key]: (one.scores, one.present) for key, one in guesses.items()}
    curves |= {name: (one.scores, one.present) for name, one in bets.items()}
    figure, panels = drawing.panels(2, height=4.2)
    for panel, logarithmic in zip(panels, (False, True), strict=True):
        for number, (name, (scores, present)) in enumerate(curves.items()):
            colour, dashes = drawing.style(number)
            panel.plot(*roc(scores, present), color=colour, linestyle=dashes, lw=1.6, label=name)
        grid = np.geomspace(1e-4, 1, 400)
        panel.plot(grid, grid, color=drawing.QUIET, lw=0.8, linestyle=":", label="a coin")
        promise = setting.promise()
        if promise:
            panel.fill_between(grid, promise.most_found(grid), 1, color=drawing.PALE, alpha=0.35, lw=0)
            panel.plot(grid, promise.most_found(grid), color=drawing.INK, lw=1.2, label="promise")
        if logarithmic:
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xlim(1e-3, 1.05)
            panel.set_ylim(1e-3, 1.05)
        else:
            panel.set_xticks(drawing.SHARES)
        panel.set_xlabel("false positives")
    panels[0].set_ylabel("true positives")
    drawing.legend_above(figure, panels[0])
    caption = "True against false positives, on both scales."
    if setting.terms:
        caption += " No attack of any kind can enter the shaded corner."
    return (Plot(drawing.svg(figure, "ROC curves of all attackers"), caption),)
