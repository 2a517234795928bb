"""Which phase a round trains, who contributes to it, and how often it may be tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import phases
from federation.errors import ManifestError, TermsError, WorkloadError
from federation.manifest import Manifest
from federation.workloads import find
from simulations.specimens import COACHES, MAKERS, RUNNERS, manifest, open_manifest, shared_manifest

GAN = find("motion_gan")
READING, IMAGINING = GAN.phases


def task(named=("discriminator", "generator"), privately=True, **changes) -> Manifest:
    specimen = manifest() if privately else open_manifest()
    training = specimen.training.model_copy(update={"phases": tuple(named)})
    return Manifest.model_validate(dict(specimen) | {"training": training} | changes)


def test_without_names_rounds_train_the_phases_in_the_workloads_order():
    assert phases.turns(GAN, ()) == (READING, IMAGINING)


def test_a_phase_that_does_not_exist_is_refused_by_name():
    with pytest.raises(WorkloadError, match="no phase 'sharpen'; it has discriminator, generator"):
        phases.turns(GAN, ("sharpen",))


@given(st.lists(st.sampled_from(["discriminator", "generator"]), min_size=1, max_size=6), st.integers(1, 200))
def test_rounds_on_people_are_counted_as_they_come(named, rounds):
    order = phases.turns(GAN, named)
    reading = [phases.phase_of(GAN, task(named), number).reads_people for number in range(1, rounds + 1)]
    assert phases.on_people(order, range(1, rounds + 1)) == sum(reading)


def test_rounds_on_people_have_the_attempts_that_epsilon_is_for_and_rounds_on_nobody_two_each():
    assert phases.attempts(GAN, task(), READING) == 12
    assert phases.attempts(GAN, task(), IMAGINING) == 10
    assert phases.attempts(GAN, task(privately=False), READING) == 10


def test_only_algorithm_providers_contribute_where_nobodys_rows_are_read():
    assert {member.party for member in phases.contributors(task(), READING)} == {RUNNERS, COACHES, MAKERS}
    assert [member.party for member in phases.contributors(task(), IMAGINING)] == [MAKERS]
    silent = task().model_copy(update={"training": task().training.model_copy(update={"public_weight": 0.0})})
    assert [member.party for member in phases.contributors(silent, IMAGINING)] == [MAKERS]


def test_min_parties_holds_for_rounds_on_people_only():
    assert not phases.enough(task(), READING, [RUNNERS, MAKERS])
    assert phases.enough(task(), READING, [RUNNERS, COACHES])
    assert phases.enough(task(), IMAGINING, [MAKERS])
    assert not phases.enough(task(), IMAGINING, [RUNNERS, COACHES])


def test_the_divisor_of_a_round_on_nobody_knows_no_people():
    assert phases.divisor(task(), READING) == task().divisor() == pytest.approx(0.25 * 200 + 2)
    assert phases.divisor(task(), IMAGINING) == 1.0


def test_a_contract_names_the_phases_of_a_workload_that_has_several():
    with pytest.raises(ManifestError, match='write phases = \\["discriminator", "generator"\\] under'):
        phases.require_possible(GAN, task(()))
    phases.require_possible(find("exercise_recognition"), task(()))


def test_control_variates_and_several_phases_do_not_go_together():
    plain = task(privately=False)
    training = plain.training.model_copy(update={"scaffold": True})
    with pytest.raises(ManifestError, match="scaffold keeps one slope"):
        phases.require_possible(GAN, plain.model_copy(update={"training": training}))


def test_contracts_without_phases_keep_their_bytes():
    assert "phases" not in manifest().model_dump(mode="json")["training"]
    assert task().model_dump(mode="json")["training"]["phases"] == ["discriminator", "generator"]


@pytest.mark.parametrize(("people", "fits"), [(50, True), (1500, True), (6000, False), (10**6, False)])
def test_lanes_that_hold_the_noise_but_not_everybodys_updates_are_refused(people: int, fits: bool) -> None:
    """A sum that passes the lanes comes back on their other side, and nobody sees that it is wrong."""
    named, workload = shared_manifest(), find("exercise_recognition")
    crowd = tuple(member.model_copy(update={"people": people}) for member in named.cohort)
    crowded = Manifest.model_validate(dict(named) | {"cohort": crowd})
    if fits:
        phases.require_possible(workload, crowded)
    else:
        with pytest.raises(TermsError, match=r"up_bits = 16 cannot hold a sum of .* people .* write at least \d\d"):
            phases.require_possible(workload, crowded)
