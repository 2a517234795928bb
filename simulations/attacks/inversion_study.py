"""Inversion: windows read off single updates, without protection, at growing noise, and under the scenario's terms."""

from collections.abc import Mapping
from typing import Any

import torch

from federation.errors import UsageError
from federation.schema import Rows
from simulations.attacks import inversion
from simulations.attacks.findings import Advance, Findings, Plot, Verdict
from simulations.attacks.inversion import CANDIDATES, Readings
from simulations.attacks.measures import Estimate, bars
from simulations.attacks.promises import most_read
from simulations.attacks.setting import Setting
from simulations.pages import drawing
from simulations.pages.page import table
from simulations.seeded import SeededSource

TRIALS = 28
"""Windows that are attacked, under each protection."""

NOISES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Noise multipliers from nothing to far below any that is stated."""

SHOWN = 3
NONE, OWN = "no protection", "the scenario's protection"
ATTACKER = (
    "A coordinator that reads what one person's single window did to the weights, with nobody else in the sum. A "
    "hostile one sends weights that it made for the purpose and reads the window off them; an honest one reads the "
    "class and the posture off the linear layer, and finds the window among candidates."
)
REMARK = (
    "One window alone is the worst case: sums over many people, several steps and secure aggregation all make reading "
    "harder, but none of them is a promise. Only noise beside a clip is."
)


def work(trials: int, setting: Setting) -> int:
    """Units of work."""
    return trials * (2 + len(NOISES) if setting.terms else 1)


def run(setting: Setting, trials: int, advance: Advance) -> Findings:
    """Attack `trials` windows of different people under every protection."""
    training = setting.training
    inversion.require(training)
    targets, others = _targets(setting, trials), training.held_out
    if len(others) < CANDIDATES - 1:
        raise UsageError(
            f"{len(others)} held-out windows; inversion needs {CANDIDATES - 1} of other people as candidates. Hold out "
            "more people, or give them more rows."
        )
    trainings = {NONE: training.unprotected()}
    if training.terms:
        trainings |= {f"σ = {noise:g}": inversion.with_noise(training, noise) for noise in NOISES} | {OWN: training}
    read = {
        name: inversion.read(one, targets, others, SeededSource(setting.seed), advance)
        for name, one in trainings.items()
    }
    figures = {name: one.figures() for name, one in read.items()}
    blind = inversion.without_reading(targets, others)
    return Findings(
        title="Inversion: can a window be read off an update?",
        attacker=ATTACKER,
        control=_control(figures[NONE], blind),
        promise=_promise(setting, figures, blind),
        tables=(_table(figures, blind, setting),),
        plots=_plots(read, figures, blind, setting),
        figures={"read": figures, "without reading": blind},
        remark=REMARK,
    )


def _targets(setting: Setting, trials: int) -> Rows:
    """One window each of the first people of all parties, another one of each."""
    everybody = [rows.of(person[None]) for rows in setting.training.parties for person in torch.unique(rows.person)]
    if len(everybody) < trials:
        raise UsageError(f"{len(everybody)} people train; {trials} were to be attacked. Lower --trials.")
    chosen = [own.take(torch.tensor([number % len(own)])) for number, own in enumerate(everybody[:trials])]
    fields = {name: torch.cat([one.fields[name] for one in chosen]) for name in chosen[0].fields}
    return Rows(fields, torch.cat([one.person for one in chosen]))


def _control(read: Mapping[str, Estimate], blind: Mapping[str, float]) -> Verdict:
    found = read["window correlation"]
    return Verdict(
        found.low > blind["window correlation"],
        f"Without protection the window that was read correlates with the true one by {found}; the best of "
        f"{CANDIDATES} windows of other people does by {blind['window correlation']:.2f}.",
    )


def _promise(
    setting: Setting, figures: Mapping[str, Mapping[str, Estimate]], blind: Mapping[str, float]
) -> Verdict | None:
    if setting.terms is None:
        return None
    found, named = figures[OWN]["window correlation"], figures[OWN]["window named"]
    most = most_read(1 / CANDIDATES, setting.terms.noise_multiplier)
    return Verdict(
        found.high < blind["window correlation"] and named.low <= most,
        f"Under the scenario's terms it correlates by {found}, less than other people's windows do. The right one of "
        f"{CANDIDATES} windows is named in {named} of the cases; no attack on one such sum can exceed {most:.2f}.",
    )


def _table(
    figures: Mapping[str, Mapping[str, Estimate]], blind: Mapping[str, float], setting: Setting
) -> dict[str, Any]:
    names = list(blind)
    rows: list[dict[str, Any]] = [
        {"protection": name, **{key: str(one[key]) for key in names}} for name, one in figures.items()
    ]
    rows.append({"protection": "without reading", **blind})
    if setting.terms:
        least = setting.terms.noise_multiplier
        most = {"window named": 1 / CANDIDATES, "class read": blind["class read"]}
        rows.append(
            {
                "protection": "most, by the promise",
                **{key: f"≤ {most_read(one, least):.3f}" for key, one in most.items()},
            }
        )
    note = (
        "95 % intervals in brackets. Correlation and squared error (over the variance) of the window; share of "
        "classes read; correlation of the 15 statistics of posture and motion; share of windows told among "
        f"{CANDIDATES}."
    )
    return table("What was read", {"protection": "protection", **{key: key for key in names}}, rows, note)


def _plots(
    read: Mapping[str, Readings],
    figures: Mapping[str, Mapping[str, Estimate]],
    blind: Mapping[str, float],
    setting: Setting,
) -> tuple[Plot, ...]:
    windows = Plot(
        _windows(read),
        "The first axis (acceleration along the forearm, g) of windows as they were and as they were read. Without "
        "noise small differences remain, because training turns and stretches each window a little.",
    )
    if setting.terms is None:
        return (windows,)
    return windows, Plot(_decline(figures, blind, setting), "How reading ends as noise grows; bars are 95 % intervals.")


def _windows(read: Mapping[str, Readings]) -> str:
    """The first few windows, before and after, one row of panels per protection."""
    kept = [name for name in (NONE, OWN) if name in read]
    figure, panels = drawing.panels(SHOWN * len(kept), height=2.1, across=SHOWN)
    for place, panel in enumerate(panels):
        name, number = kept[place // SHOWN], place % SHOWN
        one = read[name].targets[number]
        panel.plot(one.truth[0], color=drawing.QUIET, lw=2.4, alpha=0.6, label="true")
        panel.plot(one.read[0], color=drawing.COLOURS[1], lw=1.1, label="read")
        drawing.heading(panel, f"{name}: {one.correlation:.2f}")
    drawing.legend_above(figure, panels[0])
    return drawing.svg(figure, "True windows and what was read of them")


def _decline(figures: Mapping[str, Mapping[str, Estimate]], blind: Mapping[str, float], setting: Setting) -> str:
    assert setting.terms is not None  # noqa: S101 - narrows the type; the caller decided
    figure, (panel,) = drawing.panels(1, height=3.4)
    noises = [NOISES[0] / 10, *NOISES, setting.terms.noise_multiplier]
    for number, key in enumerate(("window correlation", "class read", "posture correlation", "window named")):
        colour, dashes = drawing.style(number)
        found = [one[key] for one in figures.values()]
        middle = [one.value for one in found]
        panel.errorbar(
            noises, middle, bars(found), color=colour, linestyle=dashes, lw=1.5, capsize=2, marker="o", ms=3, label=key
        )
    panel.axhline(blind["window correlation"], color=drawing.QUIET, lw=1, linestyle=":", label="best window of others")
    panel.set_xscale("log")
    panel.set_xticks(noises, ["0", *(f"{noise:g}" for noise in noises[1:])])
    panel.minorticks_off()
    panel.set_xlabel("noise multiplier σ (0: no clip either)")
    drawing.legend_above(figure, panel)
    return drawing.svg(figure, "What is read against the noise multiplier")
