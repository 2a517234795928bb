"""The benchmark of person-level privacy measures both kinds of step and writes them down."""

import json

import pytest
import torch

from federation import workloads
from simulations.benchmarks import person_level


def test_both_steps_are_timed_on_the_same_rows(monkeypatch):
    monkeypatch.setattr(person_level, "WARM_UP", 1)
    plain, private, *parts = person_level.compared(workloads.find("running_pace"), threads=1, runs=3)
    assert plain["runs"] == private["runs"] == 3
    assert private["times_plain"] == pytest.approx(private["median_ms"] / plain["median_ms"], rel=1.0)
    assert [part["what"] for part in parts] == ["– of which train", "– of which bound", "– of which noise"]


def test_figures_and_the_command_that_made_them_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(person_level, "WARM_UP", 0)
    threads = torch.get_num_threads()
    person_level.main(["--out", str(tmp_path), "--runs", "1", "--threads", "1", "2"])
    written = json.loads((tmp_path / "person_level.json").read_text())
    assert written["command"] == "python -m simulations.benchmarks.person_level --runs 1 --threads 1 2"
    assert [row["limit"] for row in written["rows"] if row["what"].startswith("private step")] == [1.5, 1.5]
    assert "private step: exercise_recognition" in (tmp_path / "person_level.md").read_text()
    assert "plain SGD" in capsys.readouterr().out
    assert torch.get_num_threads() == threads
