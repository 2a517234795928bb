"""A folder belongs to one scenario; results in it are whole or not there."""

from pathlib import Path

import pytest

from federation.errors import UsageError
from simulations import scenario as scenarios
from simulations.sweep.folder import RUNS, SCENARIO, Folder, claim, written
from simulations.sweep.plan import jobs


@pytest.fixture
def claimed(tmp_path, scenario):
    return lambda resume=False, **changes: claim(tmp_path / "out", wanted := scenario(**changes), jobs(wanted), resume)


def test_saved_scenario_reads_as_the_same(tmp_path, scenario):
    wanted = scenario(sweep={"privacy.epsilon": [1.0, 2.0]}, privacy={"unit": "none"}, seeds=[5])
    path = tmp_path / "scenario.toml"
    path.write_text(written(wanted))
    assert scenarios.read(path) == wanted
    assert scenarios.read(path).digest() == wanted.digest()


def test_result_is_kept_and_read_again(claimed, scenario, outcome):
    folder, (job,) = claimed(), jobs(scenario())
    assert folder.finished([job]) == []
    folder.keep(job, outcome())
    assert folder.outcomes([job]) == [outcome()]
    assert [file.name for file in (folder.path / RUNS).iterdir()] == [f"{job.digest}.json"]


def test_results_are_kept_only_when_that_was_asked_for(claimed, scenario, outcome):
    folder, (job,) = claimed(), jobs(scenario())
    folder.keep(job, outcome())
    with pytest.raises(UsageError, match=r"holds 1 of 1 results of this scenario. Keep them and go on with --resume"):
        claimed()
    assert claimed(resume=True).finished([job]) == [job]


def test_folder_of_another_scenario_is_refused(claimed):
    before = (claimed().path / SCENARIO).read_text()
    with pytest.raises(UsageError, match=r"(?s)another scenario.*rounds: 2 there, 3 here.*seeds: \[1\] there"):
        claimed(rounds=3, seeds=[1, 2], resume=True)
    assert (claimed().path / SCENARIO).read_text() == before


def test_folder_with_other_things_is_left_alone(tmp_path, scenario):
    wanted = scenario()
    (tmp_path / "holiday.jpg").write_text("sea")
    with pytest.raises(UsageError, match="holds something that no simulation wrote"):
        claim(tmp_path, wanted, jobs(wanted), resume=False)
    with pytest.raises(UsageError, match="is a file"):
        claim(tmp_path / "holiday.jpg", wanted, jobs(wanted), resume=False)
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_scenario_that_somebody_wrote_is_not_written_over(tmp_path, scenario):
    wanted, mine = scenario(), tmp_path / SCENARIO
    mine.write_text(f"# my remarks\n{written(wanted)}")
    with pytest.raises(UsageError, match="holds something that no simulation wrote"):
        claim(tmp_path, wanted, jobs(wanted), resume=False)
    assert mine.read_text().startswith("# my remarks")


def test_place_that_cannot_be_written_is_named(scenario):
    wanted = scenario()
    with pytest.raises(UsageError, match=r"nothing can be written to /proc/none .*name another folder with --out"):
        claim(Path("/proc/none"), wanted, jobs(wanted), resume=False)


def test_damaged_result_is_named(claimed, scenario):
    folder, (job,) = claimed(), jobs(scenario())
    folder.file(job).write_text('{"seed": 1')
    with pytest.raises(UsageError, match=r"\.json is no result of a simulation; remove it"):
        Folder(folder.path).outcomes([job])
    with pytest.raises(UsageError, match=r"\.json is no result of a simulation; remove it"):
        claimed(resume=True)
