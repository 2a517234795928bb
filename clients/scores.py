"""Scores of held-out people, as they may leave a node: exact with consent to publish, or noised and charged."""

import numpy as np
import torch
from pyroaring import BitMap

from clients.node import Agreed, Node
from clients.replies import common, record
from clients.trainer import scorable
from clients.updates import reserve, who_can_pay
from federation.errors import Refusal, Refused
from federation.messages import ScoresAnswer
from federation.roles import Step
from federation.schema import Rows
from federation.terms import NoisedScores, PublishedScores
from federation.workload import Weights, Workload
from privacy.noise import add_noise
from privacy.person_level import bound


def evaluate(node: Node, agreed: Agreed, weights: Weights) -> bytes:
    """Score the round's weights on held-out people, the way the task says."""
    terms = agreed.manifest.evaluation
    if terms is None:
        raise Refused(Refusal.POLICY, f"task {agreed.manifest.name} asks for no evaluation.")
    if isinstance(terms, PublishedScores):
        answer, people = _published(node, agreed, weights)
    else:
        answer, people = _noised(node, agreed, terms, weights)
    return record(node, agreed, answer, b"", people)


def _published(node: Node, agreed: Agreed, weights: Weights) -> tuple[ScoresAnswer, BitMap]:
    """Exact sums over people whose consent covers both the task's purpose and publishing their scores."""
    if not node.policy().allow_published_scores:
        raise Refused(Refusal.POLICY, "this node's policy publishes no exact scores; see allow_published_scores.")
    people = _eligible(node, agreed)
    sums = agreed.workload.scores(weights, node.rows.of(agreed.workload.name, True, people))
    header = ScoresAnswer(**common(node, agreed.question), disclosure="published", people=len(people), sums=sums)
    return header, people


def _noised(node: Node, agreed: Agreed, terms: NoisedScores, weights: Weights) -> tuple[ScoresAnswer, BitMap]:
    """A noised sum of one vector per person: (1, scores…) scaled to L2 norm ≤ 1; the count is noised with it."""
    people = who_can_pay(node, _eligible(node, agreed), terms.person_cost())
    reserve(node, agreed.question, people, Step.EVALUATE_PEOPLE, terms.person_cost(), terms.max_evaluations)
    keys = ("people", *agreed.workload.person_scores)
    rows = node.rows.of(agreed.workload.name, True, people)
    vectors = _person_vectors(agreed.workload, weights, rows, people)
    noised = add_noise(bound(vectors, 1.0), terms.noise_multiplier, node.source)
    sums = dict(zip(keys, (noised.vector * np.sqrt(len(keys))).tolist(), strict=True))
    header = ScoresAnswer(**common(node, agreed.question), disclosure="noised", people=0, sums=sums)
    return header, people


def _eligible(node: Node, agreed: Agreed) -> BitMap:
    """Held-out people with rows whose consent covers what the task does with their scores; too few is an error."""
    policy = node.policy()
    with_rows = node.rows.people(agreed.workload.name, True)
    people = scorable(node.store, policy, agreed.manifest, node.clock()) & with_rows
    if len(people) < max(1, policy.min_people):
        raise Refused(
            Refusal.NO_CONSENT,
            f"{len(people)} held-out people permit what task {agreed.manifest.name} does with their scores; this node "
            f"evaluates on no fewer than {max(1, policy.min_people)}. Record consent with `paceline consent grant`.",
        )
    return people


def _person_vectors(workload: Workload, weights: Weights, rows: Rows, people: BitMap) -> torch.Tensor:
    """(people, 1 + scores): each person's mean scores in [0, 1] behind a 1, divided by √(1 + scores)."""
    vectors = []
    for person in people:
        sums = workload.scores(weights, rows.of(torch.tensor([person])))
        means = [sums[key] / sums["rows"] for key in workload.person_scores]
        vectors.append([1.0, *means])
    scaled: torch.Tensor = torch.tensor(vectors) / (1.0 + len(workload.person_scores)) ** 0.5
    return scaled
