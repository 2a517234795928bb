"""The GAN: what its generator makes, what its discriminator reads, and that the two pull against one another."""

import pytest
import torch
from torch.func import grad

from federation.workload import trained_names
from federation.workloads import motion_gan as gan
from federation.workloads.exercise_recognition import invent

READING, IMAGINING = gan.WORKLOAD.phases
ROWS = invent(5, 4, 14)
NOISE = torch.rand(len(ROWS), gan.NOISES + gan.AXES * gan.SAMPLES, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def weights():
    """A generator as it begins, before a discriminator that has read a few invented windows."""
    found = gan.initial(3)
    for step in range(100):
        found = stepped(READING, found, ROWS.fields, step)
    return found


def stepped(phase, weights, fields, seed):
    moved = {name: weights[name].detach().requires_grad_() for name in trained_names(weights, phase)}
    slopes = torch.autograd.grad(phase.loss({**weights, **moved}, fields, seed).mean(), list(moved.values()))
    return {**weights, **{name: weights[name] - 0.3 * slope for name, slope in zip(moved, slopes, strict=True)}}


def test_generated_windows_fit_the_schema_in_every_class(weights):
    rows = gan.sample(weights, 3, 1)
    assert rows.fields["x"].shape == (21, *gan.SCHEMA.x_shape)
    assert torch.bincount(rows.fields["y"]).tolist() == [3] * 7
    assert rows.fields["x"].isfinite().all()
    for place, column in enumerate(gan.SCHEMA.columns):
        assert column.low < rows.fields["x"][:, place].min()
        assert rows.fields["x"][:, place].max() < column.high


def test_the_same_seed_generates_the_same_windows(weights):
    first, again, other = (gan.sample(weights, 2, seed).fields["x"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_a_window_depends_on_its_own_class_and_noise_alone(weights):
    whole = gan.generate(weights, ROWS.fields["y"], NOISE)
    part = gan.generate(weights, ROWS.fields["y"][5:6], NOISE[5:6])
    assert torch.allclose(whole[5:6], part, atol=1e-5)
    assert not torch.allclose(whole[5:6], gan.generate(weights, ROWS.fields["y"][6:7], NOISE[5:6]))


def test_random_numbers_of_a_row_are_the_same_in_any_batch_and_other_ones_under_another_seed():
    x = ROWS.fields["x"]
    drawn = gan._noise(x, 7)
    assert torch.equal(drawn[9], gan._noise(x[9:10], 7)[0])
    assert (drawn != gan._noise(x, 8)).float().mean() > 0.99
    assert 0.45 < drawn.mean() < 0.55
    assert drawn.std() == pytest.approx(12**-0.5, abs=0.02)


def test_the_discriminator_tells_real_from_generated(weights):
    real = gan.told(weights, ROWS.fields["x"], ROWS.fields["y"])
    made = gan.told(weights, gan.generate(weights, ROWS.fields["y"], NOISE), ROWS.fields["y"])
    assert real.mean() > 0.5 > -0.5 > made.mean()


def test_the_generator_learns_to_deceive_it(weights):
    before = IMAGINING.loss(weights, ROWS.fields, 1).mean()
    learned = weights
    for step in range(30):
        learned = stepped(IMAGINING, learned, ROWS.fields, step)
    assert IMAGINING.loss(learned, ROWS.fields, 1).mean() < 0.5 * before


def test_no_slope_of_the_generator_comes_from_peoples_windows(weights):
    """Of a row the generator reads the label and random numbers; its loss does not move with the window."""
    slope = grad(lambda x: IMAGINING.loss(weights, {**ROWS.fields, "x": x}, 1).sum())(ROWS.fields["x"])
    assert not slope.any()


def test_nothing_of_the_generator_moves_while_people_are_read(weights):
    moved = stepped(READING, weights, ROWS.fields, 1)
    assert {name for name in moved if not torch.equal(moved[name], weights[name])} <= {"critic.plain", "critic.bent"}


def test_scores_name_people_by_generated_windows_only():
    """A generator that knows nothing teaches nothing; the ceiling is a classifier that saw the people themselves."""
    untrained = gan.summary(gan.scores(gan.initial(1), ROWS))["tstr_accuracy"]
    assert untrained < 0.35
    assert gan.named_rightly(ROWS, ROWS) / len(ROWS) > 0.6
