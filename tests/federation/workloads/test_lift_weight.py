"""A deadlift from the other lifts: what the model is told, what it may say, and how it is judged."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clients.training import party_update
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import merge
from federation.workloads import lift_weight as lifts

ANN = (1.0, 30.0, 63.0, 0.0, 100.0, 55.0)
NAMES = ["head.weight"]


def row(**changed):
    """Ann's entry with some columns changed, (1, 6)."""
    names = [column.name for column in lifts.SCHEMA.columns]
    values = dict(zip(names, ANN, strict=True)) | changed
    return torch.tensor([[values[name] for name in names]])


def test_untrained_model_says_the_public_centre_for_everybody():
    rows = lifts.invent(0, 5, 2)
    said = lifts.predict(lifts.initial(3), rows.fields["x"])
    assert torch.allclose(said, torch.full((10,), math.exp(lifts.LOG_CENTRE)))


def test_age_that_was_not_told_moves_nothing():
    weights = {"head.weight": torch.ones(lifts.NUMBERS)}
    assert lifts.predict(weights, row(age=0.0)) == lifts.predict(weights, row(age=30.0))
    assert lifts.predict(weights, row(age=16.0)) > lifts.predict(weights, row(age=30.0))


def test_every_kind_of_equipment_has_its_own_numbers():
    parts = [lifts.features(row(equipment=float(kind)))[0, :12].nonzero().ravel().tolist() for kind in range(4)]
    assert parts == [[kind, kind + 4, kind + 8] for kind in range(4)]


@given(squat=st.floats(5, 600, width=32), bench=st.floats(5, 500, width=32), size=st.floats(-100, 100, width=32))
def test_prediction_is_finite_and_of_human_size_whatever_the_weights_and_the_lifter(squat, bench, size):
    said = lifts.predict({"head.weight": torch.full((lifts.NUMBERS,), size)}, row(squat=squat, bench=bench))
    assert 5 < float(said) < 1200


def test_r_squared_is_told_from_sums_over_parts():
    rows, weights = lifts.invent(1, 40, 3), {"head.weight": 0.1 * torch.ones(lifts.NUMBERS)}
    parts = [lifts.scores(weights, rows.take(part)) for part in torch.arange(len(rows)).tensor_split(5)]
    y, said = rows.fields["y"], lifts.predict(weights, rows.fields["x"])
    figures = lifts.summary(merge(parts))
    assert figures["r2"] == pytest.approx(
        1 - float((y - said).square().sum() / (y - y.mean()).square().sum()), rel=1e-4
    )
    assert figures["mae_kg"] == pytest.approx(float((y - said).abs().mean()), rel=1e-5)


def test_r_squared_is_left_out_where_all_rows_pull_the_same():
    rows = Rows({"x": row().repeat(3, 1), "y": torch.full((3,), 120.0)}, torch.arange(3))
    assert lifts.summary(lifts.scores(lifts.initial(0), rows)).keys() == {"mae_kg"}


def test_invented_lifters_can_be_learned():
    rows, judges = lifts.invent(1, 400, 2), lifts.invent(2, 200, 2)
    weights = lifts.initial(0)
    training = TrainingTerms(learning_rate=0.5, local_epochs=5)
    update = party_update(lifts.WORKLOAD, lifts.WORKLOAD.phases[0], weights, NAMES, rows, training, 1)
    after = lifts.summary(lifts.scores({"head.weight": update}, judges))
    assert lifts.summary(lifts.scores(weights, judges))["mae_kg"] > 40
    assert after["mae_kg"] < 22
    assert after["r2"] > 0.8
