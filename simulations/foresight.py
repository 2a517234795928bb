"""How much memory a run will take, said before it begins."""

import math

import psutil

from federation import workloads
from federation.errors import UsageError
from federation.workload import Workload
from simulations.dealing import MOST_JUDGES
from simulations.population import CACHE_BYTES, OVERSAMPLING
from simulations.scenario import Scenario

PROGRAM_BYTES = 500 << 20
"""Python, torch, the stores' libraries: what a run with nobody takes."""

PERSON_BYTES = 800
"""A registered person's number and consent, on the memory file system and in the indexes."""

COPIES = 3
"""Rows that a step reads are picked, grouped by person and, under skews, turned."""


def require_memory(scenario: Scenario, available: int | None = None) -> None:
    """Raise `UsageError` if the run would not fit into memory; `available`: bytes, by default what is free now."""
    free = psutil.virtual_memory().available if available is None else available
    needed = needed_bytes(scenario, workloads.find(scenario.workload))
    if needed > free:
        raise UsageError(
            f"scenario {scenario.name} needs about {needed / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB are "
            "free. Sample fewer people per round (privacy.sampling_rate), give them fewer rows (data.rows_per_person), "
            "or take a smaller model."
        )


def needed_bytes(scenario: Scenario, workload: Workload) -> int:
    """An upper estimate for invented people; data that is given is in memory or it is not."""
    models = 12 * sum(tensor.nbytes for tensor in workload.initial(0).values())
    if scenario.data.source != "invented":
        return PROGRAM_BYTES + models
    person = _person_bytes(scenario, workload)
    everybody = scenario.data.people
    judges = min(MOST_JUDGES, round(scenario.data.held_out * everybody))
    kept = min(CACHE_BYTES + person, everybody * person)
    at_once = max(judges, _read_at_once(scenario, everybody))
    return PROGRAM_BYTES + models + kept + COPIES * at_once * person + PERSON_BYTES * everybody


def _person_bytes(scenario: Scenario, workload: Workload) -> int:
    row = sum(tensor.nbytes for tensor in workload.invent(0, 1, 1).fields.values())
    mean = scenario.data.rows_per_person * math.exp(scenario.data.quantity_skew**2 / 2)
    return math.ceil(row * mean * (OVERSAMPLING if scenario.data.label_skew is not None else 1))


def _read_at_once(scenario: Scenario, everybody: int) -> int:
    """How many people's rows one party reads in a round: its sample, or without privacy everybody it has."""
    party = everybody if scenario.parties.deal == "quantity" else math.ceil(everybody / scenario.parties.count)
    if scenario.privacy.get("unit") != "person":
        return party
    rate = float(scenario.privacy.get("sampling_rate", 1.0))
    return math.ceil(rate * party + 6 * math.sqrt(rate * party))
