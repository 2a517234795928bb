"""What `session_recommendation` is compared with: popularity, its own model in one place, a linear model."""

from collections.abc import Mapping

import torch

from clients.training import party_update
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import flatten, unflatten
from federation.workloads.session_recommendation import EXCLUDED, WORKLOAD, judged

Figures = Mapping[str, float]
RIDGE = 100.0
"""Regularisation of the linear model."""


def popularity(rows: Rows, judges: Rows) -> Figures:
    """Everybody is offered what most people of `rows` took up and they themselves did not."""
    known, wanted = judges.fields["x"], judges.fields["y"]
    often = _taken(rows).sum(0).add(1).log()
    return WORKLOAD.summary(judged(often - EXCLUDED * known, wanted))


def central(rows: Rows, judges: Rows, training: TrainingTerms, rounds: int, seed: int) -> Figures:
    """The workload's model after as many epochs as `rounds` federated ones, with all rows in one place."""
    phase, weights = WORKLOAD.phases[0], WORKLOAD.initial(seed)
    names = sorted(weights)
    epochs = training.model_copy(update={"local_epochs": rounds * training.local_epochs})
    update = party_update(WORKLOAD, phase, weights, names, rows, epochs, seed)
    trained = unflatten(flatten(weights, names) + update.numpy(), weights, names)
    return WORKLOAD.summary(WORKLOAD.scores(trained, judges))


def linear(rows: Rows, judges: Rows) -> Figures:
    """EASE (Steck 2019, arXiv 1905.03375, algorithm 1): a weight for every pair of items, in closed form."""
    known, wanted, taken = judges.fields["x"], judges.fields["y"], _taken(rows).double()
    inverse = torch.linalg.inv(taken.T @ taken + RIDGE * torch.eye(taken.shape[1], dtype=torch.float64))
    weights = (-inverse / inverse.diagonal()).fill_diagonal_(0)
    return WORKLOAD.summary(judged((known.double() @ weights).float() - EXCLUDED * known, wanted))


def _taken(rows: Rows) -> torch.Tensor:
    """All that each person took up, (rows, items)."""
    return rows.fields["x"] + rows.fields["y"]
