"""The benchmark of the demo's tasks: its noise is that of the contract, and its page says what was measured."""

import json
import sys

import pytest

from privacy.accounting import SampledSkellam, epsilon
from privacy.levels import ample_levels, steps_per_clip
from simulations.benchmarks import learning, learning_report

COORDINATES = 128
"""Of the 112 numbers of the private task's head."""


def test_shared_noise_of_the_demo_is_what_its_epsilon_takes_of_the_smallest_sum_without_the_party_that_may_collude():
    terms, levels = learning.read("watch-private").privacy, ample_levels(COORDINATES)
    asked = terms.noise_multiplier * (3 / 5) ** 0.5 * steps_per_clip(levels, COORDINATES) / levels
    assert 7.99 < epsilon(SampledSkellam(1.0, asked, levels), 7, terms.delta) <= 8.0


def test_noise_at_the_nodes_is_less_than_that_of_a_sum_with_shares_to_spare():
    task = learning.read("watch-private")
    assert not learning.at_the_nodes(task).privacy.shared
    assert learning.at_the_nodes(task).privacy.noise_multiplier < task.privacy.noise_multiplier


def test_the_page_counts_the_draws_that_ended_below_their_start():
    task = learning.read("watch-private")
    fold = {"held_out": (1, 2), "private": [0.5, 0.7], "private_one_withdrew": [0.4, 0.6]}
    fold |= {"private_noise_at_nodes": [0.4, 0.5], "synthetic_only": 0.55, "clipped_without_noise": 0.8}
    terms = {"privacy": vars(task.privacy), "at_the_nodes": vars(learning.at_the_nodes(task).privacy)}
    said = learning_report._private([fold, fold], terms)
    assert "| 1 and 2 | 0.550 | 0.450 ± 0.071 | 0.600 ± 0.141 | 0.500 ± 0.141 | 2 | 0.800 |" in said
    assert "| **mean** | 0.550 | 0.450 | **0.600** | 0.500 | 4 of 8 | 0.800 |" in said
    ratio = task.privacy.noise_multiplier / learning.at_the_nodes(task).privacy.noise_multiplier
    assert f"is {ratio:.2f} times" in said
    assert ratio == pytest.approx(1.34, abs=0.03)


def test_a_part_that_is_not_measured_again_keeps_the_terms_that_it_was_measured_with(tmp_path, monkeypatch):
    former = {
        "commit": "former",
        "terms": {"watch-private": "of then", "runners-private": "of then"},
        "runners": "kept",
    }
    (tmp_path / "learning.json").write_text(json.dumps(former))
    monkeypatch.setattr(learning_report, "page", lambda document: "")
    monkeypatch.setitem(learning.PARTS, "watch-private", lambda: "measured")
    monkeypatch.setattr(sys, "argv", ["learning", str(tmp_path), "watch-private"])
    learning.main()
    found = json.loads((tmp_path / "learning.json").read_text())
    assert found["terms"]["runners-private"] == "of then"
    assert found["terms"]["watch-private"] == json.loads(json.dumps(learning.terms_of("watch-private")))
    assert set(found["terms"]["watch-private"]) == {"privacy", "at_the_nodes"}
    assert (found["runners"], found["watch-private"]) == ("kept", "measured")
