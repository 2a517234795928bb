"""What a trainer alone does: judge every model on athletes whom no model was trained on."""

from datetime import datetime

from pyroaring import BitMap

from clients import consent
from clients.policy import Policy
from clients.store import NodeStore
from federation.consent import Purpose
from federation.manifest import Manifest
from federation.terms import PublishedScores


def held_out(store: NodeStore, workload: str) -> BitMap:
    """People whose rows were imported to judge models; the store refuses to train on any of them."""
    return BitMap.union(BitMap(), *(data.people for data in store.datasets(workload) if data.held_out))


def scorable(store: NodeStore, policy: Policy, manifest: Manifest, at: datetime) -> BitMap:
    """Held-out people whose consent covers what the task does with their scores; nobody without an evaluation."""
    if manifest.evaluation is None:
        return BitMap()
    people = held_out(store, manifest.workload.name)
    purposes = [manifest.purpose]
    if isinstance(manifest.evaluation, PublishedScores):
        purposes.append(Purpose.PUBLISH_SCORES)
    for purpose in purposes:
        people = consent.permitted(store, purpose, at, people, policy.age_of_consent_years)
    return people
