"""How much noise a sum of shares brings over the protocol, beside what the study reckons with."""

from dataclasses import replace
from typing import Any

import numpy as np

from federation.workload import flatten, trained_names
from simulations.benchmarks.arithmetic import federated, last, without_noise
from simulations.benchmarks.privacy_utility import protocol
from simulations.benchmarks.privacy_utility.cases import Case

EPSILON = 0.16
"""Of one round: about the noise that 24 rounds at ε = 1 have."""


def width(case: Case, seeds: int) -> dict[str, Any]:
    """The variance of shared noise in sums over `case`, as a share of what `Case.at` says.

    A round of FedAvg at rate 1 moves the model by the mean of the updates; without noise it is known.
    """
    training = case.private.training.model_copy(update={"server_optimizer": "sgd", "server_learning_rate": 1.0})
    once = replace(case, private=replace(case.private, rounds=1, training=training))
    task = once.at(EPSILON, shared=True)
    assert task.privacy is not None  # noqa: S101 - narrows the type
    names = trained_names(case.first, case.workload.phases[0], training.trains)
    exact = flatten(last(federated(without_noise(task), once.parties, 1)), names)
    moved = [protocol.trained(once, EPSILON, True, seed)[0] for seed in range(1, seeds + 1)]
    noise = np.stack([flatten(weights, names) - exact for weights in moved]).astype(np.float64)
    expected = (task.privacy.noise_multiplier * task.privacy.clip / case.people) ** 2
    return {
        "people": case.people,
        "sigma": once.noise(EPSILON, shared=True),
        "values": noise.size,
        "variance": float(np.square(noise).mean() / expected),
    }
