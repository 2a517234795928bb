"""From a scenario to what is attacked: its own contract, people and parties."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from federation import phases, workloads
from federation.errors import UsageError
from federation.manifest import Manifest
from federation.schema import Rows
from federation.terms import PersonTerms
from federation.workload import Phase
from privacy import accounting
from simulations import engine
from simulations.attacks.promises import Promise, promised
from simulations.attacks.training import Training
from simulations.population import Indices, People
from simulations.scenario import Scenario


@dataclass(frozen=True)
class Setting:
    """A scenario that is attacked: `training` under its own protection, with the contract that says so."""

    scenario: Scenario
    seed: int
    manifest: Manifest
    training: Training

    @property
    def terms(self) -> PersonTerms | None:
        """The scenario's privacy terms; none where nothing protects anybody."""
        return self.training.terms

    def promise(self) -> Promise | None:
        """What these terms promise a person after the scenario's rounds."""
        terms = self.terms
        return promised(terms.person_cost(), self.training.charges) if terms else None

    def protection(self) -> str:
        """The protection in words."""
        terms = self.terms
        if terms is None:
            return "no differential privacy"
        spent = accounting.epsilon(terms.person_cost(), self.training.charges, terms.delta)
        rows = f"{terms.rows_per_person} rows of a person, each clipped; " if terms.unit == "record" else ""
        return (
            f"ε = {spent:.3g} per person at δ = {terms.delta:g} (add or remove one person, {rows}"
            f"q = {terms.sampling_rate:g}, σ = {terms.noise_multiplier:g}, clip {terms.clip:g}, "
            f"{self.training.charges} rounds, RDP)"
        )


def setting(scenario: Scenario, seed: int) -> Setting:
    """The scenario's people and contract, as in a simulation; `UsageError` for what no attack knows."""
    _require_attackable(scenario)
    with tempfile.TemporaryDirectory(prefix="paceline-attack-") as path:
        stage = engine.prepare(Path(path), scenario, seed)
        manifest = stage.federation.coordinator.store.task(stage.task).manifest()
    terms = manifest.privacy if isinstance(manifest.privacy, PersonTerms) else None
    training = Training(
        workload=workloads.find(scenario.workload),
        phase=_phase(scenario),
        order=_order(scenario),
        local=manifest.training,
        terms=terms,
        rounds=scenario.rounds,
        parties=tuple(_rows(stage.people, hand) for hand in stage.dealt.hands.values()),
        held_out=_rows(stage.people, stage.dealt.judges),
    )
    return Setting(scenario, seed, manifest, training)


def _require_attackable(scenario: Scenario) -> None:
    problems = {
        "it has a [sweep]: name one point with --set, such as --set privacy.epsilon=8": bool(scenario.sweep),
        "nobody is held out to be compared with; write held_out = 0.2 in [data]": (
            not scenario.data.held_out and not scenario.data.held_out_groups
        ),
    }
    found = [text for text, holds in problems.items() if holds]
    if found:
        raise UsageError(f"scenario {scenario.name} cannot be attacked: {'; '.join(found)}.")


def _order(scenario: Scenario) -> tuple[Phase, ...]:
    return phases.turns(workloads.find(scenario.workload), scenario.training.phases)


def _phase(scenario: Scenario) -> Phase:
    """The one phase that reads people; rounds of others may come in between."""
    reading = {phase.name: phase for phase in _order(scenario) if phase.reads_people}
    if len(reading) != 1:
        raise UsageError(
            f"scenario {scenario.name} trains {', '.join(reading)} on people; attacks know trainings "
            "with one phase that reads people. Name one: --set 'training.phases=[\"NAME\"]'."
        )
    return next(iter(reading.values()))


def _rows(people: People, hand: Indices) -> Rows:
    """Rows of these people at the start, under their own numbers."""
    rows = people.rows(hand, 0.0)
    return Rows(rows.fields, torch.from_numpy(np.asarray(hand, dtype=np.int64))[rows.person])
