"""Default deny: what the owner did not write down is refused, with the line to write."""

import copy
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from clients.policy import Admission, Policy, Unprotected, Waiver, admit, cost_per_person, unprotected
from federation.consent import Purpose
from federation.errors import PrivacyError, Refusal, Refused
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.roles import Role, Step
from privacy import accounting
from simulations import specimens

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUNNERS = PartyId("runners")


def manifest(**changes: Any) -> Manifest:
    cost = accounting.SampledGaussian(0.1, 2.0)
    values: dict[str, Any] = {
        "name": "pace-1",
        "title": "Pace",
        "workload": {"name": "running_pace", "version": 1, "digest": "a" * 64},
        "purpose": "train-motion-models",
        "rounds": 10,
        "privacy": {
            "unit": "person",
            "sampling_rate": 0.1,
            "noise_multiplier": 2.0,
            "clip": 1.0,
            "rows_per_person": 4,
            "max_attempts": 12,
            "delta": 1e-5,
            "epsilon": accounting.epsilon(cost, 12, 1e-5) * 1.001,
        },
        "training": {"learning_rate": 0.1},
        "exchange": {"min_parties": 2},
        "cohort": [
            {"party": "runners", "name": "R", "role": "data-provider", "fingerprint": "1" * 64, "people": 100},
            {"party": "coaches", "name": "C", "role": "trainer", "fingerprint": "2" * 64, "people": 50},
            {"party": "models", "name": "M", "role": "algorithm-provider", "fingerprint": "3" * 64},
        ],
        "coordinator": "4" * 64,
        "issued_at": NOW,
        "expires_at": NOW + timedelta(days=30),
    }
    return Manifest.model_validate(values | changes)


OPEN = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,), workloads=("running_pace",), max_epsilon=8, max_epsilon_per_task=8
)
PLAIN = {"unit": "none"}
PUBLISHED = {"disclosure": "published"}


def test_what_the_policy_lists_is_admitted_without_a_waiver() -> None:
    admission = admit(OPEN, manifest(), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    assert admission.waiver is None
    assert admission.member.people == 100


def test_an_empty_policy_refuses_everything() -> None:
    for party, role, step in [
        (RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE),
        (PartyId("models"), Role.ALGORITHM_PROVIDER, Step.INITIALISE),
        (PartyId("coaches"), Role.TRAINER, Step.EVALUATE_PEOPLE),
    ]:
        with pytest.raises(Refused) as caught:
            admit(Policy(), manifest(), party, role, step)
        assert caught.value.code is Refusal.POLICY


@pytest.mark.parametrize(
    ("policy", "task", "text"),
    [
        (OPEN.model_copy(update={"workloads": ()}), manifest(), "--workload running_pace"),
        (OPEN.model_copy(update={"purposes": ()}), manifest(), "--purpose train-motion-models"),
        (OPEN, manifest(purpose="injury-research"), "--purpose injury-research"),
        (OPEN.model_copy(update={"max_epsilon_per_task": 0.1}), manifest(), "this node allows 0.1"),
        (OPEN.model_copy(update={"max_epsilon": 0.2}), manifest(), "this node allows 0.2"),
        (OPEN.model_copy(update={"min_parties": 3}), manifest(), "min_parties = 3"),
        (OPEN.model_copy(update={"max_task_days": 29}), manifest(), "lasts 30 days"),
        (OPEN, manifest(privacy=PLAIN), "--unprotected pace-1"),
        (OPEN.model_copy(update={"allow_unprotected": ("pace-2",)}), manifest(privacy=PLAIN), "allows pace-2"),
    ],
)
def test_each_line_of_the_policy_refuses_with_the_next_step(policy: Policy, task: Manifest, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        admit(policy, task, RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    assert caught.value.code is Refusal.POLICY


def sharing(task: Manifest, *parties: int, **changes: str) -> Policy:
    """A policy for `task` that lists its members of these numbers, with `changes` to their fingerprints."""
    listed = {task.cohort[number].party: task.cohort[number].fingerprint for number in parties}
    return Policy(
        purposes=(Purpose.TRAIN_MOTION_MODELS,),
        workloads=("exercise_recognition",),
        max_epsilon=90,
        max_epsilon_per_task=90,
        share_noise_with=listed | {PartyId(party.replace("_", "-")): other for party, other in changes.items()},
    )


def test_shared_noise_is_admitted_with_as_many_listed_parties_as_must_be_honest() -> None:
    task, me = specimens.shared_manifest(parties=6, colluding=1), PartyId("runners-1")
    admit(sharing(task, 1, 2, 3, 4), task, me, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    for listed in ((), (1, 2, 3), (0, 1, 2, 3)):
        with pytest.raises(Refused, match=r"the task allows for 1 such.*--share-noise-with") as caught:
            admit(sharing(task, *listed), task, me, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
        assert caught.value.code is Refusal.POLICY
    trusting = specimens.shared_manifest(parties=6, colluding=0)
    with pytest.raises(Refused, match="share_noise_with: runners-6; the task allows for 0 such"):
        admit(sharing(trusting, 1, 2, 3, 4), trusting, me, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)


def test_noise_of_the_node_itself_needs_nobody() -> None:
    admit(OPEN, manifest(), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    task = specimens.shared_manifest()
    own = task.model_copy(update={"privacy": specimens.person_terms()})
    admit(sharing(task), own, PartyId("runners-1"), Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)


def test_a_listed_party_with_another_key_is_refused_in_any_task() -> None:
    policy = OPEN.model_copy(update={"share_noise_with": {"coaches": "7" * 64}})
    with pytest.raises(Refused, match=r"coaches with key 2222.* lists 7777.*--share-noise-with coaches=FINGERPRINT"):
        admit(policy, manifest(), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    task = specimens.shared_manifest()
    policy = sharing(task, 1, 2, 3, 4, runners_6="7" * 64)
    with pytest.raises(Refused, match="names runners-6 with key"):
        admit(policy, task, PartyId("runners-1"), Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)


def test_a_role_is_held_to_its_own_steps() -> None:
    for step in (Step.EVALUATE_PEOPLE, Step.INITIALISE, Step.TRAIN_ON_PUBLIC):
        with pytest.raises(Refused) as caught:
            admit(OPEN, manifest(), RUNNERS, Role.DATA_PROVIDER, step)
        assert caught.value.code is Refusal.WRONG_ROLE


def test_a_task_that_gives_this_node_another_role_is_refused() -> None:
    with pytest.raises(Refused, match="names this node a data-provider; it joined as trainer") as caught:
        admit(OPEN, manifest(), RUNNERS, Role.TRAINER, Step.TRAIN_ON_PEOPLE)
    assert caught.value.code is Refusal.WRONG_ROLE


def test_a_node_outside_the_cohort_is_refused() -> None:
    with pytest.raises(Refused, match="not in the cohort") as caught:
        admit(OPEN, manifest(), PartyId("stranger"), Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    assert caught.value.code is Refusal.UNKNOWN_TASK


def test_steps_without_people_need_no_purpose() -> None:
    policy = OPEN.model_copy(update={"purposes": ()})
    admit(policy, manifest(), PartyId("models"), Role.ALGORITHM_PROVIDER, Step.TRAIN_ON_PUBLIC)


def test_exact_scores_leave_only_where_the_owner_allows_it() -> None:
    task, coaches = manifest(evaluation=PUBLISHED), PartyId("coaches")
    with pytest.raises(Refused, match="--published-scores"):
        admit(OPEN, task, coaches, Role.TRAINER, Step.EVALUATE_PEOPLE)
    admit(OPEN.model_copy(update={"allow_published_scores": True}), task, coaches, Role.TRAINER, Step.EVALUATE_PEOPLE)
    with pytest.raises(Refused, match="no evaluation"):
        admit(OPEN, manifest(), coaches, Role.TRAINER, Step.EVALUATE_PEOPLE)


def test_noised_scores_count_towards_the_cap() -> None:
    cost = accounting.SampledGaussian(1.0, 2.0)
    epsilon = accounting.epsilon(cost, 40, 1e-5) * 1.001
    scores = {
        "disclosure": "noised",
        "noise_multiplier": 2.0,
        "max_evaluations": 40,
        "delta": 1e-5,
        "epsilon": epsilon,
    }
    assert cost_per_person(manifest(evaluation=scores), 1e-5) == pytest.approx(epsilon, rel=0.01)
    assert cost_per_person(manifest(), 1e-5) < 2
    with pytest.raises(Refused, match="may cost each person"):
        admit(OPEN, manifest(evaluation=scores), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)


def test_a_waiver_for_training_does_not_waive_what_noised_scores_may_cost() -> None:
    epsilon = accounting.epsilon(accounting.SampledGaussian(1.0, 1.0), 40, 1e-5) * 1.001
    scores = {"disclosure": "noised", "noise_multiplier": 1.0, "max_evaluations": 40, "delta": 1e-5, "epsilon": epsilon}
    policy = OPEN.model_copy(update={"allow_unprotected": ("pace-1",)})
    task, coaches = manifest(privacy=PLAIN, evaluation=scores), PartyId("coaches")
    with pytest.raises(Refused, match="may cost each person"):
        admit(policy, task, coaches, Role.TRAINER, Step.EVALUATE_PEOPLE)
    generous = policy.model_copy(update={"max_epsilon": 90.0, "max_epsilon_per_task": 90.0})
    admit(generous, task, coaches, Role.TRAINER, Step.EVALUATE_PEOPLE)


def test_a_waiver_comes_from_the_policy_and_names_its_task() -> None:
    policy = OPEN.model_copy(update={"allow_unprotected": ("pace-1",)})
    admission = admit(policy, manifest(privacy=PLAIN), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    assert admission.waiver is not None
    assert admission.waiver.task == "pace-1"
    assert unprotected(np.ones(3, np.float32), admission.waiver).waiver == admission.waiver


def test_an_update_without_noise_needs_a_waiver() -> None:
    with pytest.raises(Refused, match="needs a waiver"):
        unprotected(np.ones(3, np.float32), None)


FORGERIES: list[Callable[[], object]] = [
    lambda: Waiver("pace-1", object()),
    lambda: Unprotected(np.ones(3, np.float32), None, None),  # type: ignore[arg-type]
    lambda: Admission(manifest(), Step.INITIALISE, manifest().cohort[0], None, "seal"),
    lambda: dataclasses.replace(
        admit(OPEN, manifest(), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE), step=Step.INITIALISE, seal=None
    ),
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_proof_cannot_be_made_by_hand(forge: Callable[[], object]) -> None:
    with pytest.raises(PrivacyError, match=r"only clients\.policy"):
        forge()


def test_a_proof_cannot_be_changed() -> None:
    admission = admit(OPEN, manifest(), RUNNERS, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.copy(admission).step = Step.INITIALISE  # type: ignore[misc]
