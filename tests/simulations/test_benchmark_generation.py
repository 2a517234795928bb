"""The benchmark of generated motion is one command that goes on where it was cut off."""

import json

import pytest

from simulations.benchmarks import generation
from simulations.benchmarks.kept import Kept
from simulations.benchmarks.record import commit, machine


@pytest.fixture
def measured(monkeypatch):
    """Every measurement is made up; what was measured is kept."""
    asked = []

    def measure(what, score):
        asked.append(what)
        return {"ridge": score}

    def of_ten(held_out):
        return {"real people (TRTR)": lambda: measure(f"real {held_out}", held_out[0] / 10)}

    def of_many(seed):
        return {"generated, 400 invented people": lambda: measure(f"many {seed}", seed / 10)}

    monkeypatch.setattr(generation, "of_ten", of_ten)
    monkeypatch.setattr(generation, "of_many", of_many)
    return asked


def test_every_line_is_a_mean_over_folds_or_seeds_with_its_parts_beside_it(tmp_path, measured):
    generation.main(["--folds", "2", "--seeds", "2", "4", "--out", str(tmp_path)])
    page, raw = (tmp_path / "generation.md").read_text(), json.loads((tmp_path / "generation.json").read_text())
    assert "| real people (TRTR) | 0.500 ± 0.566 | – | – |" in page
    assert "| generated, 400 invented people | 0.300 ± 0.141 | – | – |" in page
    assert raw["command"] == "python -m simulations.benchmarks.generation --folds 2 --seeds 2 4"
    assert raw["parts"][0]["name"] == "real people (TRTR), judged by 9 and 10"
    assert len(raw["parts"]) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"generation.json", "generation.md"}


def test_what_was_measured_before_an_interruption_is_not_measured_again(tmp_path, measured, monkeypatch):
    whole = generation.of_many
    monkeypatch.setattr(generation, "of_many", lambda seed: {"generated": lambda: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        generation.main(["--folds", "1", "--seeds", "1", "--out", str(tmp_path)])
    monkeypatch.setattr(generation, "of_many", whole)
    generation.main(["--folds", "1", "--seeds", "1", "--out", str(tmp_path)])
    assert measured == ["real (9, 10)", "many 1"]


def test_the_page_names_the_commit_of_parts_that_were_measured_before(tmp_path, measured):
    former = {"machine": "another", "commit": "former", "found": {"ridge": 0.5}}
    Kept(tmp_path / "generation.parts.jsonl").restore([{"name": "real people (TRTR), judged by 9 and 10", **former}])
    generation.main(["--folds", "1", "--seeds", "1", "--out", str(tmp_path)])
    said = f" on another and {machine()}, commit former (1), {commit()} (1).\n"
    assert said in (tmp_path / "generation.md").read_text()


def test_lines_of_invented_people_name_how_many_of_them_train():
    assert list(generation.of_many(1)) == [
        "generated, federated, ε = 8, 12 invented people",
        "generated, federated, ε = 8, 100 invented people",
        "generated, federated, ε = 8, 400 invented people",
        "generated, federated, no DP, 400 invented people",
    ]
