"""Recommendations beat popularity on people never seen, and what they are compared with is what it says."""

import torch

from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workloads import session_recommendation as sessions
from simulations import engine, scenarios
from simulations.benchmarks.recommendation import SCENARIO, references
from simulations.recommendation import central, linear, popularity
from simulations.scenario import read

ITEMS = len(sessions.ITEMS)


def rows(*people: tuple[list[int], list[int]]) -> Rows:
    marks = torch.zeros(2, len(people), ITEMS)
    for place, (before, last) in enumerate(people):
        marks[0, place, before] = 1
        marks[1, place, last] = 1
    return Rows({"x": marks[0], "y": marks[1]}, torch.arange(len(people)))


def test_popularity_offers_what_most_people_took_up_and_the_person_did_not():
    crowd = rows(*[([400 + place, 450], [300 + place]) for place in range(10)])
    assert popularity(crowd, rows(([1], [450])))["recall_at_10"] == 1.0
    assert popularity(crowd, rows(([450], [10])))["recall_at_10"] == 0.0


def test_the_linear_model_offers_what_goes_together():
    pairs = rows(*[([2 * place + 1], [2 * place]) for place in range(200)] * 3)
    assert linear(pairs, rows(([201], [200]), ([8], [9])))["ndcg_at_10"] > 0.99


def test_central_training_is_the_workloads_own_model_and_the_same_for_a_seed():
    crowd, judges = sessions.invent(1, 40, 1), sessions.invent(2, 20, 1)
    training = TrainingTerms(learning_rate=0.1, local_epochs=2)
    trained = central(crowd, judges, training, 3, 5)
    untrained = sessions.summary(sessions.scores(sessions.initial(0), judges))
    assert trained == central(crowd, judges, training, 3, 5)
    assert trained["loss"] < untrained["loss"]


def test_a_federation_beats_popularity_on_people_never_seen():
    scenario = read(SCENARIO).point({"rounds": 3, "evaluate_every": 3})
    found = engine.run(scenario, 21, lambda _: None).rounds[-1].scores
    others = references(scenario, 21)
    popular = others["most popular among those who train"]
    start = others["untrained: public content and fame"]
    assert found["recall_at_10"] > 1.3 * popular["recall_at_10"]
    assert found["ndcg_at_10"] > 1.1 * start["ndcg_at_10"] > 1.1 * popular["ndcg_at_10"]
    assert "session_recommendation" in scenarios.names()
