"""Noise is Gaussian, of the promised size, not repeatable, and added to bounded values only."""

import copy
import dataclasses
import inspect
import math
import os

import numpy as np
import pytest
import torch
from scipy import stats

from privacy import noise, person_level
from privacy.errors import BoundError, PrivacyError, TermsError
from privacy.noise import Private

LEAST_PROBABLE = 1e-6


def test_two_sources_differ_and_one_never_repeats():
    first, second = noise.os_source(), noise.os_source()
    reads = [first.read(64), first.read(64), second.read(64)]
    assert len(set(reads)) == 3
    assert all(len(read) == 64 for read in reads)


def test_nobody_can_give_the_source_a_seed():
    assert not inspect.signature(noise.os_source).parameters
    np.random.seed(7)
    torch.manual_seed(7)
    first = noise.os_source().read(16)
    np.random.seed(7)
    torch.manual_seed(7)
    assert noise.os_source().read(16) != first


def test_a_forked_process_does_not_repeat_the_noise_of_its_parent():
    source = noise.os_source()
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, source.read(32))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(receiving, 32) != source.read(32)
    os.close(receiving)
    os.close(sending)


def test_uniform_numbers_fill_the_half_open_interval():
    numbers = noise.uniform(100_000, noise.os_source())
    assert numbers.dtype == np.float64
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > LEAST_PROBABLE


@pytest.mark.parametrize(("byte", "expected"), [(b"\x00", 0.0), (b"\xff", 1 - 2.0**-53)])
def test_the_ends_of_the_interval_are_where_they_should_be(byte, expected):
    class Constant:
        def read(self, size_bytes: int) -> bytes:
            return byte * size_bytes

    assert noise.uniform(2, Constant()).tolist() == [expected, expected]
    assert np.isfinite(noise.gaussian(4, Constant())).all()


def test_noise_is_standard_normal_and_its_coordinates_are_independent():
    draws = noise.gaussian(200_000, noise.os_source())
    assert stats.kstest(draws, "norm").pvalue > LEAST_PROBABLE
    first, second = draws[:100_000], draws[100_000:]
    for left, right in ((first, second), (first**2, second**2), (draws[:-1], draws[1:])):
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / math.sqrt(len(left))


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_any_number_of_draws_can_be_had(count):
    assert noise.gaussian(count, noise.os_source()).shape == (count,)


def test_a_source_that_falls_short_is_refused():
    class Short:
        def read(self, size_bytes: int) -> bytes:
            return bytes(size_bytes - 1)

    with pytest.raises(PrivacyError, match="instead of 80; nothing was noised"):
        noise.uniform(10, Short())


@pytest.mark.parametrize(("sigma", "clip"), [(1.0, 1.0), (0.5, 4.0), (3.0, 0.01)])
def test_noise_has_the_standard_deviation_sigma_times_clip(sigma, clip):
    private = noise.add_noise(person_level.empty(200_000, clip), sigma, noise.os_source())
    assert private.vector.dtype == np.float32
    assert (private.noise_multiplier, private.clip) == (sigma, clip)
    assert stats.kstest(private.vector / (sigma * clip), "norm").pvalue > LEAST_PROBABLE


def test_an_empty_sample_is_noised_like_any_other():
    nobody = person_level.bound(torch.zeros(0, 1000), clip=1.0)
    assert float(np.std(noise.add_noise(nobody, 2.0, noise.os_source()).vector)) == pytest.approx(2.0, rel=0.2)


def test_noise_is_centred_on_the_bounded_sum(repeatable):
    bounded = person_level.bound(torch.tensor([[3.0, 4.0, 0.0]]), clip=5.0)
    zero = noise.add_noise(person_level.empty(3, 5.0), 1.0, repeatable(1))
    moved = noise.add_noise(bounded, 1.0, repeatable(1))
    np.testing.assert_allclose(moved.vector - zero.vector, [3, 4, 0], atol=1e-5)


def test_a_replay_draws_fresh_noise():
    # With the old noise, the difference of two replays of a round is the update of the person who withdrew.
    source, nobody = noise.os_source(), person_level.empty(1000, 1.0)
    first, second = (noise.add_noise(nobody, 1.0, source).vector for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


@pytest.mark.parametrize("value", [np.zeros(3), torch.zeros(3), [0.0, 0.0, 0.0], None])
def test_what_was_not_bounded_cannot_be_noised(value):
    with pytest.raises(BoundError, match=r"only a Bounded value can be noised.*person_level.bound\(\) first"):
        noise.add_noise(value, 1.0, noise.os_source())


def test_noise_cannot_be_added_twice():
    private = noise.add_noise(person_level.empty(3, 1.0), 1.0, noise.os_source())
    with pytest.raises(BoundError, match="found Private"):
        noise.add_noise(private, 1.0, noise.os_source())


@pytest.mark.parametrize("sigma", [math.nan, math.inf, 0.0, -1.0, "1", None, True])
def test_absurd_noise_is_refused(sigma):
    with pytest.raises(TermsError, match="noise multiplier"):
        noise.add_noise(person_level.empty(3, 1.0), sigma, noise.os_source())


def test_a_private_value_is_made_by_add_noise_only():
    with pytest.raises(PrivacyError, match="made by hand"):
        Private(np.zeros(3, np.float32), 1.0, 1.0, object())
    private = noise.add_noise(person_level.empty(3, 1.0), 1.0, noise.os_source())
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(private, vector=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        private.vector[0] = 0
    assert repr(private) == "Private(3 parameters, σ = 1, clip 1)"
    assert copy.copy(private).vector is private.vector
