"""What a person takes up next: how a person is derived, what is offered, and how it is judged."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clients.training import person_updates
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workloads import session_recommendation as sessions

ITEMS = len(sessions.ITEMS)


def some_weights(seed: int = 1) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(tensor.shape, generator=source) for name, tensor in sessions.initial(0).items()}


def marked(*histories: list[int]) -> torch.Tensor:
    marks = torch.zeros(len(histories), ITEMS)
    for row, items in enumerate(histories):
        marks[row, items] = 1
    return marks


def row(before: list[int], last: list[int]) -> Rows:
    return Rows({"x": marked(before), "y": marked(last)}, torch.zeros(1, dtype=torch.int64))


def test_a_person_is_one_gradient_step_from_zero_on_the_likelihood_of_their_history():
    factors, bias = sessions.embeddings(some_weights())
    history = [3, 70, 499]
    person = torch.zeros(sessions.FEATURES, requires_grad=True)
    torch.log_softmax(bias + factors @ person, dim=-1)[history].sum().backward()
    expected = sessions.REACH / (len(history) + sessions.PRIOR_ITEMS) * person.grad
    assert torch.allclose(sessions.person(factors, bias, marked(history))[0], expected, atol=1e-5)


def test_somebody_without_a_history_is_nobody_in_particular():
    factors, bias = sessions.embeddings(some_weights())
    assert not sessions.person(factors, bias, marked([])).any()
    assert torch.equal(sessions.logits(some_weights(), marked([]))[0], bias)


def test_what_a_person_knows_is_not_offered():
    history = list(range(0, ITEMS, 3))
    offered = sessions.logits(some_weights(), marked(history)).topk(ITEMS - len(history)).indices[0].tolist()
    assert not set(offered) & set(history)


def test_untrained_offers_follow_fame_and_content():
    fame = sessions.logits(sessions.initial(0), marked([])).argsort(descending=True)[0]
    assert fame[:10].tolist() == list(range(10))
    horror = 1 << sessions.GENRES.index("Horror")
    kinds = [bool(int(item.split("/")[2], 16) & horror) for item in sessions.ITEMS]
    scary = [place for place, one in enumerate(kinds) if one]
    offered = sessions.logits(sessions.initial(0), marked(scary[:10])).topk(10).indices[0].tolist()
    assert sum(kinds[place] for place in offered) >= 3 > 2 * 10 * sum(kinds) / ITEMS


@pytest.mark.parametrize("seed", range(3))
def test_recall_and_ndcg_are_those_of_the_textbook(seed):
    weights, rows = some_weights(seed), sessions.invent(seed, 4, 2)
    found = sessions.logits(weights, rows.fields["x"])
    recall, ndcg = 0.0, 0.0
    for order, wanted in zip(found.argsort(dim=-1, descending=True).tolist(), rows.fields["y"], strict=True):
        hits = [bool(wanted[place]) for place in order[:10]]
        best = min(10, int(wanted.sum()))
        recall += sum(hits) / best
        ndcg += sum(hit / math.log2(2 + place) for place, hit in enumerate(hits)) / sum(
            1 / math.log2(2 + place) for place in range(best)
        )
    sums = sessions.scores(weights, rows)
    assert sums["recall"] == pytest.approx(recall, abs=1e-4)
    assert sums["ndcg"] == pytest.approx(ndcg, abs=1e-4)


def test_a_perfect_offer_scores_one_even_when_more_than_ten_came_last():
    last = list(range(20, 35))
    weights = sessions.initial(0) | {"items.bias": marked(last)[0] * 100}
    sums = sessions.scores(weights, row([1, 2], last))
    assert sessions.summary(sums)["recall_at_10"] == pytest.approx(1)
    assert sessions.summary(sums)["ndcg_at_10"] == pytest.approx(1)


@given(st.integers(0, 2**31 - 1))
def test_half_of_the_items_are_to_be_foretold_and_the_seed_decides_which(seed):
    own = marked(list(range(0, ITEMS, 2)), list(range(100, 400)))
    half = sessions._half(own, seed)
    assert set(half.unique().tolist()) == {0.0, 1.0}
    assert all(0.4 < share < 0.6 for share in half.mean(-1).tolist())
    assert 0.35 < float((half != sessions._half(own, seed + 1)).float().mean()) < 0.65
    assert torch.equal(half[1], sessions._half(own[1:], seed)[0])


def test_no_weight_belongs_to_a_person():
    weights = sessions.initial(0)
    phase = sessions.WORKLOAD.phases[0]
    training = TrainingTerms(learning_rate=0.1)
    for people in (1, 7):
        rows = sessions.invent(3, people, 1)
        ((who, updates),) = person_updates(sessions.WORKLOAD, phase, weights, sorted(weights), rows, training, 1, 5)
        assert (len(who), updates.shape[1]) == (people, sum(tensor.numel() for tensor in weights.values()))


def test_scoring_first_does_not_spoil_training():
    sessions.content.cache_clear()
    with torch.inference_mode():
        sessions.logits(sessions.initial(0), marked([1, 2]))
    weights = {name: tensor.requires_grad_() for name, tensor in sessions.initial(0).items()}
    sessions._loss(weights, row([1, 2, 3], [4]).fields, 1).sum().backward()
    assert weights["content.scale"].grad.any()


def test_the_catalogue_names_every_item_once():
    assert len(set(sessions.SCHEMA.target.classes)) == ITEMS == 500
    assert sessions.content().shape == (ITEMS, sessions.FEATURES)
    assert torch.allclose(sessions.content().mean(0), torch.zeros(sessions.FEATURES), atol=1e-5)
