"""What the parties of the demo bring, and what their people said."""

import json
import tomllib
from importlib.resources import files

import pytest

from clients.data.columns import check_mapping, read_mapping
from federation.consent import Purpose
from federation.workloads import find
from simulations.demo import consents
from simulations.demo.acts import TASKS
from simulations.demo.cast import CAST, PEOPLE, WITHDRAWS, WITHDRAWS_AT
from simulations.demo.files import PACE, WATCH, deliver


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory):
    return deliver(tmp_path_factory.mktemp("files"))


def people(deliveries, workload, held_out):
    return [
        person
        for item in deliveries
        if (item.workload, item.held_out) == (workload, held_out)
        for person in item.people
    ]


def test_every_person_of_both_data_sets_is_at_exactly_one_party(deliveries):
    for workload, count in ((WATCH, 10), (PACE, 8636)):
        everyone = people(deliveries, workload, False) + people(deliveries, workload, True)
        assert len(everyone) == len(set(everyone)) == count


def test_only_the_trainer_holds_people_out(deliveries):
    assert {item.party.role.value for item in deliveries if item.held_out} == {"trainer"}
    assert people(deliveries, WATCH, True) == ["watch-09", "watch-10"]


def test_every_mapping_fits_its_workload(deliveries):
    for item in deliveries:
        check_mapping(read_mapping(item.mapping), find(item.workload).schema)


def test_contracts_declare_the_people_that_the_parties_bring(deliveries):
    for name in TASKS:
        task = tomllib.loads((files("simulations") / "tasks" / f"{name}.toml").read_text())
        declared = {member["party"]: member.get("people", 0) for member in task["cohort"]}
        assert declared == {
            party.party: sum(
                len(item.people)
                for item in deliveries
                if item.party == party and item.workload == task["workload"] and not item.held_out
            )
            for party in CAST
        }


def test_the_person_who_withdraws_trains_at_that_party(deliveries):
    assert WITHDRAWS in next(i.people for i in deliveries if i.party.party == WITHDRAWS_AT and i.workload == WATCH)


def test_minors_are_covered_by_a_guardian_and_everybody_says_something(deliveries):
    lines = [line for item in deliveries for line in consents._lines(item)]
    assert {line["person"] for line in lines} == {person for item in deliveries for person in item.people}
    guarded = [line for line in lines if line["actor"] == "guardian"]
    assert guarded
    assert all("born" in line for line in guarded)
    json.dumps(lines)


def test_held_out_people_permit_scores_and_one_runner_permits_another_purpose_only(deliveries):
    said = {}
    for item in deliveries:
        for line in consents._lines(item):
            said.setdefault(line["person"], set()).add(line["purpose"])
    assert all(Purpose.PUBLISH_SCORES in said[person] for person in people(deliveries, WATCH, True))
    assert [purposes for purposes in said.values() if Purpose.TRAIN_MOTION_MODELS not in purposes] == [
        {Purpose.IMPROVE_OWN_SERVICE}
    ]
    assert len(PEOPLE) == 4
