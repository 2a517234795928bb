"""How much noise a sum of shares brings over the protocol, beside what the study reckons with."""

from dataclasses import replace
from typing import Any

import numpy as np

from federation.workload import flatten, trained_names
from simulations.benchmarks.privacy_utility import protocol
from simulations.benchmarks.privacy_utility.cases import Case

STILL = 1e-9
"""A local learning rate at which nobody's update counts."""


def width(case: Case, epsilon: float, seeds: int) -> dict[str, Any]:
    """The variance of shared noise in sums over `case`, as a share of what `Case.at` says.

    Rounds of FedAvg at rate 1 move the model by the mean of updates, here of nothing but noise.
    """
    fedavg = {"server_optimizer": "sgd", "server_learning_rate": 1.0, "learning_rate": STILL}
    still = replace(case, private=replace(case.private, training=case.private.training.model_copy(update=fedavg)))
    privacy = still.at(epsilon, shared=True).privacy
    assert privacy is not None  # noqa: S101 - narrows the type
    names = trained_names(case.first, case.workload.phases[0], case.private.training.trains)
    noise = []
    for seed in range(1, seeds + 1):
        models = [case.first, *protocol.trained(still, epsilon, True, seed)[0]]
        places = np.stack([flatten(weights, names).astype(np.float64) for weights in models])
        noise.append(np.diff(places, axis=0) * case.people)
    return {
        "people": case.people,
        "epsilon": epsilon,
        "sigma": still.noise(epsilon, shared=True),
        "values": sum(one.size for one in noise),
        "variance": float(np.square(noise).mean() / (privacy.noise_multiplier * privacy.clip) ** 2),
    }
