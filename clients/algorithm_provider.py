"""What an algorithm provider alone does: first weights and updates from synthetic rows, never from people."""

from itertools import product

import torch

from clients.training import party_update
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import Workload, trained_names, unflatten

ROWS_PER_INVENTED_PERSON = 20
ONE_PERSON = 1
"""There is always somebody to invent, even for a task that names no number of public people."""


def initial_weights(workload: Workload, terms: TrainingTerms) -> dict[str, torch.Tensor]:
    """The workload's weights for the task's seed, trained for `pretrain_epochs` on synthetic rows if it has any.

    Only what the task trains is pre-trained. The same task gives the same weights, so that everybody can check that
    no person's row went in. The phases of a workload with several take turns, an epoch each.
    """
    weights = workload.initial(terms.seed)
    if not terms.pretrain_epochs:
        return weights
    rows = public_rows(workload, terms)
    turns = terms.pretrain_epochs if len(workload.phases) > 1 else 1
    pretraining = terms.model_copy(update={"local_epochs": terms.pretrain_epochs // turns})
    for turn, phase in product(range(turns), workload.phases):
        names = trained_names(weights, phase, terms.trains)
        update = party_update(workload, phase, weights, names, rows, pretraining, terms.seed + turn)
        moved = torch.cat([weights[name].ravel() for name in sorted(names)]) + update
        weights = unflatten(moved.numpy(), weights, sorted(names))
    return weights


def public_rows(workload: Workload, terms: TrainingTerms) -> Rows:
    """The task's synthetic people, the same for everybody who knows the task."""
    return workload.invent(terms.seed, max(ONE_PERSON, terms.public_people), ROWS_PER_INVENTED_PERSON)
