"""Judges of generated motion, and the GAN in one place."""

import torch

from federation.manifest import TrainingTerms
from federation.workloads import motion_gan
from simulations import generation

TERMS = TrainingTerms(learning_rate=0.3, public_people=4, phases=("discriminator", "generator"))
PEOPLE = motion_gan.invent(1, 20, 14)


def test_central_training_takes_turns_and_repeats_bit_by_bit():
    once, again = (generation.central(PEOPLE, 2, TERMS) for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)
    begun = motion_gan.initial(TERMS.seed)
    moved = {name.split(".")[0] for name in once if not torch.equal(once[name], begun[name])}
    assert moved == {"critic", "generator"}
    half = generation.central(PEOPLE, 1, TERMS)
    assert torch.equal(half["generator.curves"], begun["generator.curves"])


def test_a_generator_that_learned_from_people_teaches_more_than_one_that_did_not():
    judges = motion_gan.invent(2, 20, 14)
    learned = generation.generated(generation.central(PEOPLE, 16, TERMS))
    untrained = generation.generated(motion_gan.initial(TERMS.seed))
    assert generation.ridge(learned, judges) > generation.ridge(untrained, judges) + 0.15


def test_judges_learn_what_they_are_shown():
    judges = motion_gan.invent(2, 6, 14)
    assert all(judge(PEOPLE, judges) > 0.5 for judge in generation.JUDGES.values())
