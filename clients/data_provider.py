"""What a party with people alone can say before a task: how many of them it may declare."""

from datetime import datetime

from pyroaring import BitMap

from clients import consent
from clients.policy import Policy
from clients.store import NodeStore
from federation.consent import Purpose

ROUND_DOWN_TO = 5


def trainable(store: NodeStore, policy: Policy, workload: str, purpose: Purpose, at: datetime) -> BitMap:
    """People with rows to train on whose consent covers `purpose` now."""
    people = BitMap.union(BitMap(), *(data.people for data in store.datasets(workload) if not data.held_out))
    return consent.permitted(store, purpose, at, people, policy.age_of_consent_years)


def people_to_declare(people: int) -> int:
    """A public number for the task's cohort: rounded down, so that one person more or less does not show.

    >>> [people_to_declare(people) for people in (3, 12, 8636)]
    [3, 10, 8635]
    """
    return people if people < ROUND_DOWN_TO else people - people % ROUND_DOWN_TO
