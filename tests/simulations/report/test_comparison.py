"""Results side by side: where the scenarios differ, and what came out."""

import pytest

from federation.errors import UsageError
from simulations.report import comparison
from simulations.sweep import claim, jobs


@pytest.fixture
def results(tmp_path, scenario, outcome):
    def made(folder, final=0.9, changes=None, **words):
        wanted = scenario(**words)
        held = claim(tmp_path / folder, wanted, jobs(wanted), resume=False)
        for job in jobs(wanted):
            held.keep(job, outcome(final, job.seed, point=job.point, **(changes or {})))
        return tmp_path / folder

    return made


def test_differences_and_results_stand_side_by_side(results, tmp_path):
    found = comparison.compare([results("a", name="plain"), results("b", 0.8, name="longer", rounds=3, seeds=[1, 2])])
    facts = comparison.facts(found)
    assert facts["scenarios"] == ["plain", "longer"]
    assert facts["differences"] == [
        {"key": "rounds", "plain": "2", "longer": "3"},
        {"key": "seeds", "plain": "[1]", "longer": "[1, 2]"},
    ]
    assert [(line["results"], line["score"]) for line in facts["points"]] == [
        ("plain", "accuracy 0.9"),
        ("longer", "accuracy 0.8 ± 0"),
    ]
    comparison.write(found, tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text()
    assert page.count("<svg") == 1
    assert "longer" in page
    assert "<script" not in page


def test_figures_of_another_kind_get_a_plot_of_their_own(results, tmp_path):
    other = {"headline": "mae_s_per_km", "higher_is_better": False}
    found = comparison.compare([results("a"), results("b", changes=other, name="pace")])
    comparison.write(found, tmp_path / "compare.html")
    assert (tmp_path / "compare.html").read_text().count("<svg") == 2


def test_results_of_one_scenario_are_told_apart_by_folder(results):
    found = comparison.compare([results("a"), results("b")])
    assert [one.name.rsplit("/", 1)[-1] for one in found] == ["a", "b"]
    assert comparison.differences(found) == []


def test_what_cannot_be_compared_is_refused(results, tmp_path, scenario):
    folder = results("a")
    empty = claim(tmp_path / "empty", scenario(), jobs(scenario()), resume=False).path
    for folders, said in (
        ([folder], "two or more"),
        ([folder, folder], "named twice"),
        ([folder, tmp_path], r"holds no scenario\.toml"),
        ([folder, empty], "holds no finished run"),
    ):
        with pytest.raises(UsageError, match=said):
            comparison.compare(folders)
    found = comparison.compare([folder, results("b")])
    with pytest.raises(UsageError, match="cannot be written"):
        comparison.write(found, tmp_path / "nowhere" / "compare.html")
