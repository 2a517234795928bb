"""The demo's task files say what its contracts need, and the private ones keep the ε they are named for."""

import tomllib
from importlib.resources import files

import pytest

from federation import workloads
from federation.consent import Purpose
from federation.terms import ExchangeTerms, PersonTerms, PublishedScores, TrainingTerms
from federation.workload import trained_names
from privacy.accounting import noise_for

TASKS = ("watch", "watch-private", "runners", "runners-private")


def words(name):
    return tomllib.loads((files("simulations") / "tasks" / f"{name}.toml").read_text())


@pytest.mark.parametrize("name", TASKS)
def test_task_file_names_an_installed_workload_and_weights_that_exist(name):
    task = words(name)
    workload, training = workloads.find(task["workload"]), TrainingTerms.model_validate(task["training"])
    assert task["name"] == name
    assert Purpose(task["purpose"]) is Purpose.TRAIN_MOTION_MODELS
    assert trained_names(workload.initial(0), workload.phases[0], training.trains)
    assert ExchangeTerms.model_validate(task["exchange"]).min_parties < len(task["cohort"])
    assert PublishedScores.model_validate(task["evaluation"])


@pytest.mark.parametrize(("name", "epsilon", "delta"), [("watch-private", 8.0, 1e-3), ("runners-private", 1.0, 1e-5)])
def test_private_task_keeps_its_epsilon_with_an_attempt_to_spare(name, epsilon, delta):
    task = words(name)
    terms = task["privacy"]
    levels = 28 if terms.get("noise") == "shared" else 0
    noise = noise_for(terms["epsilon"], terms["sampling_rate"], terms["max_attempts"], terms["delta"], levels)
    assert PersonTerms.model_validate({**terms, "noise_multiplier": noise, "levels": levels})
    assert (terms["unit"], terms["epsilon"], terms["delta"]) == ("person", epsilon, delta)
    assert terms["max_attempts"] > task["rounds"]


@pytest.mark.parametrize("name", ["watch", "runners"])
def test_task_without_privacy_says_so_in_words(name):
    assert words(name)["privacy"] == {"unit": "none"}
