"""Every attack from scenario to report, in small."""

import json

import pytest
import tomli_w

from federation import cli
from simulations.attacks import findings

SCENARIO = {
    "format": "paceline-scenario-1",
    "name": "tiny",
    "title": "A tiny training",
    "workload": "exercise_recognition",
    "rounds": 2,
    "data": {"people": 20, "rows_per_person": 7, "held_out": 0.5},
    "parties": {"count": 3},
    "privacy": {
        "unit": "person",
        "epsilon": 2.0,
        "delta": 1e-2,
        "sampling_rate": 1.0,
        "clip": 0.5,
        "rows_per_person": 7,
    },
    "training": {"learning_rate": 0.1, "trains": ["head."], "public_people": 4, "pretrain_epochs": 1},
}
OPEN = {"privacy": {"unit": "none"}}
UNITS = {"membership": 4, "inversion": 3, "property": 8, "poisoning": 1}


def attacked(tmp_path, capsys, kind, **change):
    """Exit code, what was said as JSON, the page."""
    file = tmp_path / "tiny.toml"
    file.write_text(tomli_w.dumps(SCENARIO | change))
    code = cli.run(["attack", kind, str(file), "--out", str(tmp_path / "out"), "--trials", str(UNITS[kind]), "--json"])
    printed = capsys.readouterr()
    assert not printed.err
    return code, json.loads(printed.out), (tmp_path / "out" / "attack.html").read_text()


@pytest.mark.parametrize("kind", UNITS)
def test_attack_says_what_it_found_in_a_page_and_in_json(tmp_path, capsys, kind):
    whole = {"training": {"learning_rate": 0.1}} if kind == "inversion" else {}
    code, said, page = attacked(tmp_path, capsys, kind, **whole)
    assert code == (0 if said["control"]["holds"] and (said["promise"] is None or said["promise"]["holds"]) else 1)
    assert json.loads((tmp_path / "out" / "attack.json").read_text())["figures"] == said["figures"]
    assert said["stamp"] == "simulation: no privacy claim"
    assert "simulation: no privacy claim" in page
    assert page.count("<svg") >= 1
    assert "no protection" in page
    assert (said["promise"] is None) == (kind in {"property", "poisoning"})


@pytest.mark.parametrize("kind", ["membership", "inversion"])
def test_attack_without_any_protection_has_its_control_only(tmp_path, capsys, kind):
    change = {"training": {"learning_rate": 0.1}} if kind == "inversion" else {}
    _, said, page = attacked(tmp_path, capsys, kind, **OPEN, **change)
    assert said["promise"] is None
    assert said["protection"] == "no differential privacy"
    assert "protected" not in json.dumps(said["figures"])
    assert "<svg" in page


def test_equal_seeds_find_the_same(tmp_path, capsys):
    first, second = (attacked(tmp_path, capsys, "membership", **OPEN)[1]["figures"] for _ in range(2))
    assert first == second


def test_a_control_that_fails_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(findings.Findings, "sound", property(lambda _: False))
    assert attacked(tmp_path, capsys, "membership", **OPEN)[0] == 1


def test_wrong_words_are_answered_with_the_next_step(tmp_path, capsys):
    file = tmp_path / "tiny.toml"
    file.write_text(tomli_w.dumps(SCENARIO))
    assert cli.run(["attack", "property", str(file), "--trait", "left-handed"]) == 2
    assert "expected class-share or turned" in capsys.readouterr().err
    assert cli.run(["attack", "inversion", str(file)]) == 2
    assert "without `trains`" in capsys.readouterr().err
