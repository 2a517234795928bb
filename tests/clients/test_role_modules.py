"""What single roles do: count whom they may train on, judge on, and declare."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyroaring import BitMap

from clients import consent
from clients.data_provider import people_to_declare, trainable
from clients.people import person_numbers
from clients.policy import Policy
from clients.store import Imported, NodeStore, open_store
from clients.trainer import held_out, scorable
from federation.consent import ConsentState, Purpose
from federation.terms import PublishedScores

NAMES = ("ann", "bob", "cem", "dot")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    """ann and bob train; cem and dot are held out; all but bob permit training, only cem permits publishing."""
    with open_store(tmp_path) as opened:
        ann, bob, cem, dot = person_numbers(opened, NAMES).values()
        opened.add_dataset(Imported("pace", "pace/a", 2, BitMap([ann, bob]), "a" * 64, False))
        opened.add_dataset(Imported("pace", "pace/b", 2, BitMap([cem, dot]), "b" * 64, True))
        given = [(person, Purpose.TRAIN_MOTION_MODELS) for person in (ann, cem, dot)] + [(cem, Purpose.PUBLISH_SCORES)]
        at = datetime.now(UTC)
        for person, purpose in given:
            said = consent.ConsentStatement(
                person=person, purpose=purpose, state=ConsentState.GIVEN, at=at, adult=True, notice_version="v1"
            )
            consent.record(opened, said)
        yield opened


def task(evaluation: Any) -> Any:
    return SimpleNamespace(
        evaluation=evaluation, workload=SimpleNamespace(name="pace"), purpose=Purpose.TRAIN_MOTION_MODELS
    )


def test_only_people_with_rows_to_train_on_and_consent_are_trainable(store: NodeStore) -> None:
    numbers = person_numbers(store, NAMES)
    found = trainable(store, Policy(), "pace", Purpose.TRAIN_MOTION_MODELS, datetime.now(UTC))
    assert found == BitMap([numbers["ann"]])


def test_published_scores_need_both_consents(store: NodeStore) -> None:
    numbers, now = person_numbers(store, NAMES), datetime.now(UTC)
    assert held_out(store, "pace") == BitMap([numbers["cem"], numbers["dot"]])
    published = task(PublishedScores(disclosure="published"))
    assert scorable(store, Policy(), published, now) == BitMap([numbers["cem"]])
    assert scorable(store, Policy(), task("noised"), now) == BitMap([numbers["cem"], numbers["dot"]])
    assert not scorable(store, Policy(), task(None), now)


def test_a_declared_number_is_never_more_than_there_are() -> None:
    for people in range(200):
        assert people - 5 < people_to_declare(people) <= people
