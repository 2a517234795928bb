"""The study of privacy and accuracy runs in small, and its shortcuts compute what the long way computes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from clients.training import person_updates
from federation import workloads
from federation.errors import ManifestError
from federation.terms import TrainingTerms
from federation.workload import trained_names
from federation.workloads import exercise_recognition, running_pace
from privacy.accounting import SampledGaussian, SampledSkellam, epsilon
from privacy.levels import steps_per_clip
from simulations.benchmarks.arithmetic import Privacy, Task, federated, last
from simulations.benchmarks.kept import Kept
from simulations.benchmarks.privacy_utility import cases, plots, protocol, report
from simulations.benchmarks.privacy_utility.__main__ import main
from simulations.benchmarks.privacy_utility.study import Size
from simulations.benchmarks.privacy_utility.width import width
from simulations.pages import drawing


@pytest.fixture(scope="module")
def motion():
    everybody, judges = cases.statistics_of_people(20, 1), cases.statistics_of_people(5, 2)
    return cases.watches(everybody, judges, 20)


@pytest.fixture(scope="module")
def brief(motion):
    return replace(motion, private=replace(motion.private, rounds=2))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    main(["--quick", "--out", str(folder)])
    return folder


def measured(folder):
    return {part["name"]: part for part in json.loads((folder / "privacy_utility.json").read_text())["parts"]}


def test_quick_study_writes_figures_page_and_plots(study):
    page = (study / "privacy_utility.md").read_text()
    assert "Simulation: no privacy claim" in page
    assert "one thread, commit" in page
    assert list(measured(study)) == ["motion-20", "runners", "direct", "width", "changes", "everything-20"]
    assert {path.suffix for path in study.iterdir()} == {".json", ".md", ".png"}


def test_parts_of_a_finished_study_are_kept_but_for_those_that_are_asked_for_again(study, tmp_path):
    document = json.loads((study / "privacy_utility.json").read_text())
    for part in document["parts"]:
        part["commit"] = "former"
    (tmp_path / "privacy_utility.json").write_text(json.dumps(document))
    main(["--quick", "--out", str(tmp_path), "--again"])
    assert "one thread, commit former. " in (tmp_path / "privacy_utility.md").read_text()
    assert list(measured(tmp_path).values()) == document["parts"]
    main(["--quick", "--out", str(tmp_path), "--again", "direct", "width"])
    assert {name for name, part in measured(tmp_path).items() if part["commit"] != "former"} == {"direct", "width"}
    assert list(measured(tmp_path)) == [part["name"] for part in document["parts"]]
    commit = measured(tmp_path)["width"]["commit"]
    assert (
        f"one thread, commits former, {commit} (the JSON says which part). "
        in (tmp_path / "privacy_utility.md").read_text()
    )


def test_a_quick_look_takes_no_part_of_a_study_that_was_cut_off_and_leaves_it_none(tmp_path, monkeypatch):
    monkeypatch.setattr("simulations.benchmarks.privacy_utility.__main__.write", lambda folder, parts: None)
    monkeypatch.setattr(
        "simulations.benchmarks.privacy_utility.__main__.plan", lambda size: {"direct": lambda: size.judges}
    )
    cut_off = Kept(tmp_path / "privacy_utility.parts.jsonl")
    cut_off.keep("direct", "of all people")
    main(["--quick", "--out", str(tmp_path)])
    assert cut_off.part("direct", lambda: "measured anew") == "of all people"
    assert [path.name for path in tmp_path.iterdir()] == [cut_off.file.name]


def test_shared_noise_has_the_variance_that_the_study_reckons_with(motion):
    found = width(motion, 1.0, 1)
    assert found["values"] == 24 * 112
    assert found["variance"] == pytest.approx(1, abs=4 * (2 / found["values"]) ** 0.5)


def test_cases_of_more_people_are_repeated_less_often():
    size = Size(seeds=((100, 20), (400, 5)))
    assert [size.repeats(people) for people in (100, 101, 400, 401)] == [20, 5, 5, 1]


def test_head_on_statistics_computed_before_learns_what_the_whole_model_learns(monkeypatch):
    monkeypatch.setattr(exercise_recognition, "_varied", lambda x, seed: x)
    rows = cases.people_with_watches(4, 3)
    whole, alone, first = exercise_recognition.WORKLOAD, cases.head_alone(), exercise_recognition.initial(0)
    names, terms = trained_names(first, whole.phases[0], ("head.",)), TrainingTerms(learning_rate=0.5, local_steps=3)

    def updates(workload, own):
        return torch.cat([u for _, u in person_updates(workload, workload.phases[0], first, names, own, terms, 8, 1)])

    assert torch.allclose(updates(whole, rows), updates(alone, cases.statistics_of(rows)), atol=1e-6)


def test_statistics_of_many_people_in_portions_are_those_of_all_at_once(monkeypatch):
    together = cases.statistics_of_people(7, 5)
    monkeypatch.setattr(cases, "PORTION", 3)
    apart = cases.statistics_of_people(7, 5)
    assert torch.equal(together.person, apart.person)
    assert torch.equal(together.fields["x"], apart.fields["x"])


def test_everybody_is_dealt_to_one_of_five_parties(motion):
    hands = [set(rows.person.tolist()) for rows in motion.parties]
    assert [len(hand) for hand in hands] == [8, 5, 3, 2, 2]
    assert set.union(*hands) == set(range(20))


def test_noise_keeps_its_epsilon_over_all_rounds(motion):
    task = motion.at(2.0, shared=False)
    cost = SampledGaussian(task.privacy.sampling_rate, task.privacy.noise_multiplier)
    assert motion.delta == 1e-3
    assert 1.99 < epsilon(cost, task.rounds, motion.delta) <= 2.0


def test_shared_noise_is_that_of_the_contract_for_a_sum_without_the_party_that_may_collude(motion):
    task, levels = motion.at(2.0, shared=True), 28
    cost = SampledSkellam(1.0, motion.noise(2.0, shared=True), levels)
    assert motion.shares.surplus == 5 / 4
    wider = (5 / 4) ** 0.5 * levels / steps_per_clip(levels, 128)
    assert task.privacy.noise_multiplier == pytest.approx(wider * cost.noise_multiplier)
    assert 1.99 < epsilon(cost, task.rounds, motion.delta) <= 2.0


def test_provider_of_public_rows_adds_a_share_too(motion):
    terms = motion.private.training.model_copy(update={"public_weight": 1.0})
    beside = replace(motion, private=replace(motion.private, training=terms))
    assert beside.shares.surplus == 6 / 4


@pytest.mark.parametrize("shared", [False, True])
def test_contract_of_a_played_case_has_the_noise_that_the_study_states(brief, shared):
    scenario, noise = protocol.scenario_of(brief, 4.0, shared), brief.noise(4.0, shared)
    played = protocol.play(brief, 4.0, shared, 1)
    assert scenario.exchange.secure is shared
    assert 3.9 < played.epsilon <= 4.0
    assert noise == pytest.approx(brief.noise(4.0, not shared), rel=0.03)


@pytest.mark.parametrize("shared", [False, True])
def test_protocol_computes_what_the_arithmetic_computes_where_noise_hardly_counts(motion, shared):
    """One round of FedAvg at the largest ε, on 400 times the same person's update: 20 people noise would drown."""
    rows = cases.statistics_of_people(1, 3)
    crowd = torch.cat([torch.full_like(rows.person, number) for number in range(4000)])
    fields = {name: tensor.repeat(4000, *[1] * (tensor.ndim - 1)) for name, tensor in rows.fields.items()}
    everybody = replace(rows, fields=fields, person=crowd)
    training = motion.private.training.model_copy(update={"server_optimizer": "sgd", "server_learning_rate": 1.0})
    case = cases.watches(everybody, motion.judges, 4000)
    case = replace(case, private=replace(case.private, rounds=1, training=training))
    direct = last(federated(case.at(50.0, shared), case.parties, 1))
    (moved,), _ = protocol.trained(case, 50.0, shared, 1)
    gap = torch.cat([(direct[name] - moved[name]).flatten() for name in direct])
    step = torch.cat([(direct[name] - case.first[name]).flatten() for name in direct])
    assert float(step.norm()) > 0.1
    assert float(gap.norm()) < 0.1 * float(step.norm())


def test_stand_in_is_gone_after_a_case_even_if_it_fails(brief):
    installed = workloads.find("exercise_recognition")
    unsigned = replace(
        brief, private=replace(brief.private, rows_per_person=1, training=TrainingTerms(learning_rate=1, step_rows=2))
    )
    with pytest.raises(ManifestError, match="step_rows"):
        protocol.trained(unsigned, 8.0, False, 1)
    assert workloads.find("exercise_recognition") is installed


def test_people_of_all_parties_are_numbered_apart_with_their_own_rows(motion):
    people, hands = protocol.dealt(motion.parties)
    assert sorted(np.concatenate([*hands.values()]).tolist()) == list(range(20))
    for hand, rows in zip(hands.values(), motion.parties, strict=True):
        assert torch.equal(people.rows(hand, 0.0).fields["x"], rows.fields["x"])


def quiet_parties(count):
    rows = running_pace.invent(1, count, 1)
    return [rows.of(torch.tensor([person])) for person in range(count)]


@pytest.mark.parametrize(("shared", "draws"), [(False, 4), (True, 1)])
def test_shared_noise_is_one_draw_and_node_noise_one_per_party(shared, draws):
    """Updates are clipped to next to nothing, so that only noise moves the model: its variance counts the draws."""
    workload, parties = running_pace.WORKLOAD, quiet_parties(4)
    terms = Privacy(1.0, 1e6, 1e-6, 1, 1.0, 1e-3, shared=shared)
    public = parties[0].take(torch.zeros(0, dtype=torch.int64))
    task = Task("noise", workload, 1, TrainingTerms(learning_rate=0.1), terms, workload.initial(0), public)
    moved = np.concatenate([last(federated(task, parties, seed))["head.weight"].numpy() for seed in range(1, 60)])
    assert 4 * float(moved.std()) == pytest.approx(draws**0.5, rel=0.1)


def test_sampled_round_divides_by_the_people_it_expects():
    workload, parties = running_pace.WORKLOAD, [running_pace.invent(1, 400, 1)]
    public = parties[0].take(torch.zeros(0, dtype=torch.int64))
    terms = Privacy(1.0, 1e-6, 10.0, 1, 8.0, 1e-3)
    task = Task("q", workload, 1, TrainingTerms(learning_rate=0.1), terms, workload.initial(0), public)
    whole = last(federated(task, parties, 1))["head.weight"]
    quarter = last(federated(replace(task, privacy=replace(terms, sampling_rate=0.25)), parties, 1))["head.weight"]
    assert float((whole - quarter).norm()) < 0.3 * float(whole.norm())


def test_page_says_how_far_the_targets_were_reached(motion):
    case = {"people": 400, "plain": [0.8], "node": {"8": [0.7]}, "shared": {"8": [0.75]}}
    runners = {"node": {"1": [45.0]}, "shared": {"1": [46.0]}, "plain": [46.0]}
    said = report._promises({"motion": [case], "references": [], "runners": runners})
    assert "| ≤ 12 points | 10.0 points | 5.0 points |" in said
    assert "| within 2 % | -2.17% | +0.00% |" in said


def test_page_says_how_far_protocol_and_arithmetic_are_apart_and_how_sure_that_is():
    both = {"node": {"1": [0.5, 0.6]}, "shared": {"1": [0.5, 0.5]}}
    case, direct = {"people": 100, **both}, {"people": 100, "node": {"1": [0.4]}, "shared": {"1": [0.55]}}
    said = report._agreement([case], direct)
    assert "| at each node | difference, points | +15.0 ± 5.0 |" in said
    assert "| shared | difference, points | -5.0 ± 0.0 |" in said


def test_bars_of_the_plots_are_the_deviations_of_the_tables():
    _, (panel,) = drawing.panels(1)
    plots._curve(panel, {"8": [0.5, 0.6], "1": [0.4]}, "100 people", "black")
    low, high = panel.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert report.spread([0.5, 0.6]) == f"0.550 ± {(high - low) / 2:.3f}"
    assert report.spread([0.4]) == "0.400 ± 0.000"
