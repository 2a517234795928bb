"""The table of roles, said in sentences."""

import pytest

from federation.errors import Refusal, Refused
from federation.roles import PERMISSIONS, Role, Step, may, require, training_step


def test_every_role_has_its_line_in_the_table():
    assert set(PERMISSIONS) == set(Role)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ALGORITHM_PROVIDER])
def test_parties_with_people_train_on_people_and_never_on_public_rows(role):
    assert may(role, Step.TRAIN_ON_PEOPLE)
    assert not may(role, Step.TRAIN_ON_PUBLIC)
    assert not may(role, Step.SIGN_WORKLOAD)
    assert training_step(role) is Step.TRAIN_ON_PEOPLE


def test_algorithm_provider_touches_no_people():
    people = {Step.TRAIN_ON_PEOPLE, Step.EVALUATE_PEOPLE, Step.KEEP_CONSENT, Step.SERVE_RELEASE}
    assert not people & PERMISSIONS[Role.ALGORITHM_PROVIDER]
    assert training_step(Role.ALGORITHM_PROVIDER) is Step.TRAIN_ON_PUBLIC


def test_only_the_algorithm_provider_initialises():
    assert [role for role in Role if may(role, Step.INITIALISE)] == [Role.ALGORITHM_PROVIDER]


def test_data_provider_may_not_evaluate():
    assert not may(Role.DATA_PROVIDER, Step.EVALUATE_PEOPLE)
    assert not may(Role.DATA_PROVIDER, Step.EVALUATE_PUBLIC)


def test_a_step_outside_the_table_is_refused_with_who_may():
    with pytest.raises(
        Refused, match=r"a data-provider may not take the step initialise; .*algorithm-provider"
    ) as info:
        require(Role.DATA_PROVIDER, Step.INITIALISE)
    assert info.value.code is Refusal.WRONG_ROLE


def test_a_permitted_step_passes():
    require(Role.TRAINER, Step.EVALUATE_PEOPLE)
