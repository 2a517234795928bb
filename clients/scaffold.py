"""SCAFFOLD at a party (Karimireddy et al. 2020, Algorithm 1, option II): steps corrected by what others' rows want.

The party's control variate cᵢ is the mean slope of its rows along the last round's steps. It is made from people's
rows and outlives the round, so it is kept only while each of these people permits the task's purpose, and only until
the task ends. There are no privacy terms here: the contract refuses them beside SCAFFOLD.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from pyroaring import BitMap

from clients import training
from clients.consent import permitted
from clients.node import Agreed, Node
from clients.store import Variate
from federation import codecs
from federation.codecs.seeds import own_seed
from federation.messages import TrainRequest
from federation.schema import Rows
from federation.workload import Vector, Weights, trained_names


@dataclass(frozen=True)
class Control:
    """The coordinator's variate c, this party's cᵢ in float64, each (trained parameters,), and the round that left cᵢ.

    A party starts with cᵢ = 0, left by no round.
    """

    server: Vector = field(repr=False)
    own: npt.NDArray[np.float64] = field(repr=False)
    round: int | None


def recall(node: Node, agreed: Agreed, question: TrainRequest, server: Vector) -> Control:
    """The variates to correct the round's steps with.

    Where the coordinator counts a variate that is gone from here, c holds what nobody can take out of it: the steps
    are not corrected, and the answer says so, whereupon all begin anew (`server.scaffold`).
    """
    counted = (question.variates or {}).get(node.pinned.party)
    node.store.forget_variates(question.task, but=counted)
    nothing = np.zeros(len(server))
    if counted is None:
        return Control(server, nothing, None)
    found = node.store.variate(question.task, counted)
    if found is None or not _still_permitted(node, found):
        node.store.forget_variates(question.task)
        return Control(nothing.astype(np.float32), nothing, None)
    return Control(server, found.vector, counted)


def update(agreed: Agreed, weights: Weights, rows: Rows, seed: int, control: Control | None) -> torch.Tensor:
    """The party's update y - x, and under SCAFFOLD the change of its variate behind it: (parameters,) or twice that.

    The new variate is cᵢ - c + (x - y) / (Kη), so that the change is - c + (x - y) / (Kη).
    """
    question, terms = agreed.question, agreed.manifest.training
    assert isinstance(question, TrainRequest)  # noqa: S101 - narrows the type; only such a question is trained for
    phase = agreed.workload.phase(question.phase)
    names = trained_names(weights, phase, terms.trains)
    if control is None:
        return training.party_update(agreed.workload, phase, weights, names, rows, terms, seed)
    correction = torch.from_numpy((control.server - control.own).astype(np.float32))
    moved = training.party_update(agreed.workload, phase, weights, names, rows, terms, seed, correction).cpu()
    path = training.party_steps(len(rows), terms) * terms.learning_rate
    return torch.cat([moved, -torch.tensor(control.server) - moved / path])


def keep(node: Node, agreed: Agreed, control: Control, sent: bytes, people: BitMap) -> None:
    """Remember the new variate, made from `people`, for the rounds to come; after the last one nothing is kept.

    The change is taken from the bytes that are sent, so that a codec that rounds leaves both sides with one sum.
    """
    question, manifest = agreed.question, agreed.manifest
    if question.round == manifest.rounds:
        node.store.forget_variates(question.task)
        return
    size = len(control.own)
    codec = codecs.find(manifest.exchange.up, manifest.exchange.up_bits)
    both = codec.decode(sent, 2 * size, own_seed(question.nonce, node.pinned.party))
    vector = control.own + both[size:].astype(np.float64)
    node.store.keep_variate(
        Variate(question.task, question.round, vector, people, manifest.purpose, manifest.expires_at)
    )


def _still_permitted(node: Node, variate: Variate) -> bool:
    years = node.policy().age_of_consent_years
    return permitted(node.store, variate.purpose, node.clock(), variate.people, years) == variate.people
