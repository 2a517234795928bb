"""Every installed workload keeps the contract, and the checks of it reject workloads that do not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from federation import workload_checks
from federation.errors import WorkloadError
from federation.workload import Phase, Workload
from federation.workloads import INSTALLED, digest, find
from federation.workloads import exercise_recognition as exercises
from simulations.benchmarks.simulation import models


@pytest.mark.parametrize("promise", workload_checks.CONTRACT)
@pytest.mark.parametrize("name", INSTALLED)
def test_installed_workload_keeps_its_promise(name, promise):
    workload_checks.CONTRACT[promise](find(name))


@pytest.mark.parametrize("name", INSTALLED)
def test_installed_workload_is_found_under_its_own_name_with_a_digest(name):
    assert find(name).name == name
    assert len(digest(name)) == 64


def test_workload_that_is_not_installed_is_refused_by_name():
    with pytest.raises(WorkloadError, match="'os' is not installed here; installed: activity_recognition"):
        find("os")


def with_loss(loss) -> Workload:
    """The exercise workload with another loss."""
    return replace(exercises.WORKLOAD, phases=(Phase("classify", True, ("cnn.", "head."), loss),))


def honest(weights, fields, seed):
    return exercises.WORKLOAD.phases[0].loss(weights, fields, seed)


def batch_mean(weights, fields, seed):
    x = fields["x"]
    return honest(weights, {**fields, "x": x - x.mean(0)}, seed)


def detached_batch_mean(weights, fields, seed):
    x = fields["x"]
    return honest(weights, {**fields, "x": x - x.mean(0).detach()}, seed)


def class_balance(weights, fields, seed):
    shares = torch.nn.functional.one_hot(fields["y"], 7).float().mean(0)
    return honest(weights, fields, seed) / (0.1 + shares[fields["y"]])


@pytest.mark.parametrize("loss", [batch_mean, detached_batch_mean, class_balance])
def test_loss_that_looks_at_other_rows_is_rejected(loss):
    broken = with_loss(loss)
    with pytest.raises(WorkloadError, match="loss of a row"):
        workload_checks.loss_of_a_row_depends_on_that_row_alone(broken)
    assert "the loss of a row depends on that row alone" in {
        verdict.promise for verdict in workload_checks.judge(broken) if not verdict.holds
    }


def test_broken_workload_is_described_in_words():
    broken = replace(with_loss(batch_mean), person_scores=("rows", "loss"))
    with pytest.raises(WorkloadError, match=r"breaks its contract:\n  the loss of a row depends") as found:
        workload_checks.require(broken)
    assert "person scores lie between 0 and 1" in str(found.value)


def test_unseeded_weights_are_rejected():
    broken = replace(exercises.WORKLOAD, initial=lambda seed: {"head.weight": torch.randn(3)})
    with pytest.raises(WorkloadError, match="other weights for the same seed"):
        workload_checks.same_seed_gives_the_same_weights(broken)


def test_mean_instead_of_sum_in_scores_is_rejected():
    def means(weights, rows):
        return {"rows": float(len(rows)), "correct": exercises.scores(weights, rows)["correct"] / len(rows)}

    with pytest.raises(WorkloadError, match="not sums over rows: correct"):
        workload_checks.scores_merge_as_sums(replace(exercises.WORKLOAD, scores=means))


def test_double_precision_weights_are_rejected():
    def doubles(seed):
        return {name: tensor.double() for name, tensor in exercises.initial(seed).items()}

    with pytest.raises(WorkloadError, match="not float32"):
        workload_checks.weights_are_float32(replace(exercises.WORKLOAD, initial=doubles))


def test_invented_rows_outside_the_plausible_range_are_rejected():
    def in_metres(seed, people, rows_per_person):
        rows = exercises.WORKLOAD.invent(seed, people, rows_per_person)
        return replace(rows, fields={**rows.fields, "x": rows.fields["x"] * 9.81})

    problem = {
        verdict.promise: verdict.problem
        for verdict in workload_checks.judge(replace(exercises.WORKLOAD, invent=in_metres))
    }
    assert "plausible" in problem["invented rows fit the schema"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "discriminator"}, "two phases have the same name: discriminator, discriminator"),
        ({"trains": ("generator.", "critic.bent")}, "generator and discriminator both move critic.bent; only one may"),
    ],
)
def test_phases_that_get_in_each_others_way_are_rejected(changes, says):
    gan = find("motion_gan")
    broken = replace(gan, phases=(gan.phases[0], replace(gan.phases[1], **changes)))
    with pytest.raises(WorkloadError, match=says):
        workload_checks.phases_keep_apart(broken)


def test_workload_that_reads_nobody_is_rejected():
    gan = find("motion_gan")
    with pytest.raises(WorkloadError, match="no phase reads people's rows"):
        workload_checks.phases_keep_apart(replace(gan, phases=gan.phases[1:]))


def test_second_phase_is_checked_like_the_first():
    def neighbours(weights, fields, seed):
        return gan.phases[1].loss(weights, fields, seed) * fields["x"].mean()

    gan = find("motion_gan")
    broken = replace(gan, phases=(gan.phases[0], replace(gan.phases[1], loss=neighbours)))
    with pytest.raises(WorkloadError, match="phase generator: the loss of a row"):
        workload_checks.loss_of_a_row_depends_on_that_row_alone(broken)


def test_digest_of_a_workload_covers_those_that_it_builds_on(monkeypatch, tmp_path):
    from federation import workloads

    for name in ("motion_gan", "exercise_recognition"):
        (tmp_path / f"{name}.py").write_bytes((Path(workloads.__file__).parent / f"{name}.py").read_bytes())
    monkeypatch.setattr(workloads, "__file__", str(tmp_path / "__init__.py"))
    before = digest("motion_gan"), digest("exercise_recognition")
    with (tmp_path / "exercise_recognition.py").open("a") as file:
        file.write("# another one\n")
    assert digest("motion_gan") != before[0]
    assert digest("exercise_recognition") != before[1]


def each(weights, fields, seed):
    """The honest loss, person by person."""
    people = range(len(fields["y"]))
    return torch.stack(
        [honest({n: t[i] for n, t in weights.items()}, {n: t[i] for n, t in fields.items()}, seed) for i in people]
    )


def weighed_by_a_neighbour(weights, fields, seed):
    own = each(weights, fields, seed)
    return own * (1 + 1e-12 * own.detach().roll(1, 0))


def with_a_neighbours_rows(weights, fields, seed):
    nearly = {**fields, "x": fields["x"] + 1e-12 * fields["x"].roll(1, 0)}
    return each(weights, nearly, seed)


def half(weights, fields, seed):
    return each(weights, fields, seed) / 2


def with_together(together) -> Workload:
    (phase,) = exercises.WORKLOAD.phases
    return replace(exercises.WORKLOAD, phases=(replace(phase, together=together),))


def test_a_loss_for_many_people_that_keeps_them_apart_is_accepted():
    workload_checks.people_trained_together_stay_apart(with_together(each))
    workload_checks.people_trained_together_stay_apart(models.workload("convolutional"))


@pytest.mark.parametrize("together", [weighed_by_a_neighbour, with_a_neighbours_rows, half])
def test_a_loss_for_many_people_that_mixes_them_or_says_something_else_is_rejected(together):
    with pytest.raises(WorkloadError, match="mixes people"):
        workload_checks.people_trained_together_stay_apart(with_together(together))
