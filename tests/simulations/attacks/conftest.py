"""A small training that attacks are tried on."""

import pytest
import torch

from federation import workloads
from federation.terms import PersonTerms, TrainingTerms
from privacy import accounting
from simulations.attacks.training import Training

DELTA = 1e-3


def terms(epsilon, rounds, rows_per_person=7, clip=0.5):
    noise = accounting.noise_for(epsilon, 1.0, rounds, DELTA)
    return PersonTerms(
        sampling_rate=1.0,
        noise_multiplier=noise,
        clip=clip,
        rows_per_person=rows_per_person,
        max_attempts=rounds,
        delta=DELTA,
        epsilon=epsilon,
    )


def training(people=12, parties=1, rounds=3, trains=("head.",), epsilon=4.0):
    """Watch people with seven windows each; half as many judge."""
    workload = workloads.find("exercise_recognition")
    rows, held_out = workload.invent(3, people, 7), workload.invent(4, max(2, people // 2), 7)
    return Training(
        workload=workload,
        phase=workload.phases[0],
        local=TrainingTerms(trains=trains, learning_rate=0.1, local_epochs=2, public_people=5, pretrain_epochs=1),
        terms=terms(epsilon, rounds),
        rounds=rounds,
        parties=tuple(rows.of(torch.arange(party, people, parties)) for party in range(parties)),
        held_out=held_out,
    )


@pytest.fixture(scope="session")
def small():
    return training
