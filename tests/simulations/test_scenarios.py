"""Every scenario that comes with Paceline runs, in small."""

import os
import tomllib

import pytest

from federation.errors import UsageError
from simulations import engine, overrides, scenarios, settings
from simulations.scenario import FORMAT, read_words
from simulations.sweep import plan

SMALL = ("rounds=2", "seeds=[1]")
FEW = ("data.people=12", "data.rows_per_person=3", "data.held_out=0.2")
UNTRAINED = ("training.pretrain_epochs=1", "training.public_people=4")


def small(name):
    """The last point of the scenario's sweep, with two rounds and few people."""
    scenario = read_words(tomllib.loads(scenarios.text(name)))
    changes = [*SMALL, *(FEW if scenario.data.source == "invented" else ())]
    changes += UNTRAINED if scenario.training.pretrain_epochs else ()
    if "sampling_rate" in scenario.privacy:
        changes.append("privacy.sampling_rate=1.0")
    changes.append(f"parties.count={min(scenario.parties.count, 3)}")
    return plan.jobs(overrides.overridden(scenario, changes))[-1]


@pytest.mark.parametrize("name", scenarios.names())
def test_scenario_runs_in_small(name):
    job = small(name)
    try:
        outcome = engine.run(job.scenario, job.seed, lambda _: None)
    except UsageError as error:
        if settings.VARIABLE in str(error) and settings.VARIABLE not in os.environ:
            pytest.skip(f"${settings.VARIABLE} names no folder with the data of this scenario")
        raise
    assert [done.round for done in outcome.rounds] == [1, 2]
    assert outcome.headline in outcome.rounds[-1].scores


@pytest.mark.parametrize("name", scenarios.names())
def test_scenario_says_what_it_is_about(name):
    text = scenarios.text(name)
    assert text.startswith("# ")
    assert tomllib.loads(text)["format"] == FORMAT
    assert tomllib.loads(text)["name"] == name.replace("_", "-")


def test_there_are_a_good_dozen():
    assert len(scenarios.names()) > 12
