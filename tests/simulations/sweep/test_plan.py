"""Every point of a sweep with every seed; what cannot be is refused before anything runs."""

import pytest

from federation.errors import UsageError
from simulations.sweep.plan import described, jobs, require_data


def test_grid_times_seeds(scenario):
    found = jobs(scenario(seeds=[1, 2], sweep={"rounds": [2, 3], "data.people": [8, 9]}))
    assert len(found) == 8
    assert {job.label for job in found} >= {"rounds = 2, people = 8, seed 1", "rounds = 3, people = 9, seed 2"}
    assert {(job.scenario.rounds, job.scenario.data.people) for job in found} == {(2, 8), (2, 9), (3, 8), (3, 9)}
    assert all(not job.scenario.sweep for job in found)


def test_without_a_sweep_there_is_one_run_per_seed(scenario):
    assert [(job.label, job.point) for job in jobs(scenario(seeds=[3, 4]))] == [("seed 3", {}), ("seed 4", {})]


def test_digest_is_of_what_decides_the_result(scenario):
    (plain,), (renamed,) = jobs(scenario()), jobs(scenario(title="Another title", name="other"))
    assert plain.digest == renamed.digest
    others = [jobs(scenario(seeds=[2]))[0], jobs(scenario(rounds=3))[0]]
    assert len({job.digest for job in [plain, *others]}) == 3
    (swept,) = jobs(scenario(rounds=9, sweep={"rounds": [2]}))
    assert swept.digest == plain.digest


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"data.peple": [1]}, "data.peple: there is no such setting; did you mean 'people'?"),
        ({"privcy.epsilon": [1]}, "privcy: there is no such setting; did you mean 'privacy'?"),
        ({"rounds": []}, "sweeps over nothing"),
        ({"rounds": [2, 2]}, "names a value twice"),
        ({"parties.count": [2, 9]}, "(?s)cannot reach count = 9: .*parties without people"),
        ({"exchange.up": ["int8_blocks"]}, r"'int8_blocks' is none of .*'int8_block'.*; did you mean 'int8_block'\?"),
        ({"rounds.x": [1]}, "the sweep names rounds.x, but rounds is no table"),
        ({"training.seed": list(range(1001)), "rounds": list(range(1, 101))}, "100,100 runs, at most 100,000"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_at_once(scenario, sweep, said):
    with pytest.raises(UsageError, match=said):
        jobs(scenario(sweep=sweep))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"data": {"source": "lifters"}, "workload": "lift_weight"}, r"\$PACELINE_DATA is not set"),
        ({"data": {"source": "files", "files": ["gone.csv"], "mapping": "m.toml"}}, "there is no file .*gone.csv; "),
    ],
)
def test_data_that_is_not_here_is_told_before_any_run(scenario, words, said, monkeypatch):
    monkeypatch.delenv("PACELINE_DATA", raising=False)
    with pytest.raises(UsageError, match=said):
        require_data(jobs(scenario(**words)))


def test_files_of_every_point_are_looked_for(scenario):
    mapping = {"source": "files", "files": [__file__], "mapping": __file__}
    swept = scenario(data=mapping, sweep={"data.files": [["gone.csv"], [__file__]]})
    with pytest.raises(UsageError, match=r"there is no file gone\.csv; "):
        require_data(jobs(swept))


def test_point_is_described_by_the_last_words_of_its_keys():
    assert described({"privacy.epsilon": 0.5, "exchange.up": "int8_block"}) == "epsilon = 0.5, up = int8_block"
