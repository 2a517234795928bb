"""Weights become one flat vector and come back; scores merge as sums."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import WorkloadError
from federation.workload import Phase, flatten, merge, trained_names, unflatten

PHASE = Phase("classify", True, ("body.", "head."), lambda weights, fields, seed: fields["y"])

shapes = st.dictionaries(
    st.text("abc.", min_size=1, max_size=5), st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=5
)


@given(shapes, st.integers(0, 2**32 - 1))
def test_unflatten_inverts_flatten(sizes, seed):
    draw = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(size, generator=draw) for name, size in sizes.items()}
    names = sorted(weights)
    vector = flatten(weights, names)
    assert vector.dtype == np.float32
    assert vector.shape == (sum(tensor.numel() for tensor in weights.values()),)
    back = unflatten(vector, {name: torch.zeros_like(tensor) for name, tensor in weights.items()}, names)
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_unflatten_leaves_other_weights_as_they_are():
    weights = {"a": torch.ones(2), "b": torch.zeros(2, 2)}
    moved = unflatten(np.arange(4, dtype=np.float32), weights, ["b"])
    assert moved["a"] is weights["a"]
    assert moved["b"].tolist() == [[0, 1], [2, 3]]
    assert weights["b"].sum() == 0


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 2), (0,)])
def test_a_vector_of_another_size_is_an_error(shape):
    with pytest.raises(WorkloadError, match="for 4 parameters"):
        unflatten(np.zeros(shape, dtype=np.float32), {"b": torch.zeros(2, 2)}, ["b"])


def test_names_to_train_are_sorted_and_narrowed():
    weights = dict.fromkeys(("head.w", "body.w", "head.b", "running_mean"), torch.zeros(1))
    assert trained_names(weights, PHASE) == ("body.w", "head.b", "head.w")
    assert trained_names(weights, PHASE, ("head.",)) == ("head.b", "head.w")
    with pytest.raises(WorkloadError, match=r"no weight of phase classify begins with \['tail'\]"):
        trained_names(weights, PHASE, ("tail",))


@given(st.lists(st.dictionaries(st.sampled_from(["rows", "correct", "loss"]), st.integers(0, 1000)), max_size=5))
def test_merging_is_a_sum_whatever_the_order_and_grouping(parts):
    whole = merge(parts)
    assert whole == merge(parts[::-1]) == merge([merge(parts[:2]), merge(parts[2:])])
    assert sum(whole.values()) == sum(sum(part.values()) for part in parts)
