"""A workload that stands in for a study is found by its name alone, and only as long as the study runs."""

from dataclasses import replace

import pytest

from federation import workloads
from federation.errors import WorkloadError
from simulations.standing_in import NO_FILE, standing_in


def test_another_form_of_an_installed_workload_is_found_under_its_name_and_keeps_the_digest():
    installed, digest = workloads.find("running_pace"), workloads.digest("running_pace")
    other = replace(installed, title="another form")
    with standing_in(other):
        assert workloads.find("running_pace") is other
        assert workloads.find("lift_weight").name == "lift_weight"
        assert workloads.digest("running_pace") == digest != workloads.digest("lift_weight")
    assert workloads.find("running_pace") is installed


def test_a_workload_without_a_file_has_no_digest_of_one():
    with standing_in(replace(workloads.find("running_pace"), name="made_up")):
        assert workloads.find("made_up").name == "made_up"
        assert workloads.digest("made_up") == NO_FILE
    with pytest.raises(WorkloadError, match="'made_up' is not installed"):
        workloads.find("made_up")


def test_the_installed_workload_is_back_after_a_failure():
    installed = workloads.find("running_pace")
    with pytest.raises(ZeroDivisionError), standing_in(replace(installed, title="another form")):
        raise ZeroDivisionError
    assert workloads.find("running_pace") is installed
