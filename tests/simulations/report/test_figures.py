"""What runs with different seeds say together."""

import math

import pytest

from simulations.report import figures


@pytest.fixture
def points(outcome):
    swept = [outcome(final, seed, point={"epsilon": e}) for e, final in ((1, 0.5), (8, 0.9)) for seed in (2, 1)]
    return figures.points(swept)


def test_points_hold_their_seeds_in_order(points):
    assert [(point.label, [one.seed for one in point.outcomes]) for point in points] == [
        ("epsilon = 1", [1, 2]),
        ("epsilon = 8", [1, 2]),
    ]


def test_spread_is_over_what_is_a_number():
    found = figures.spread([1.0, 3.0, math.nan])
    assert found == figures.Spread(2.0, 1.0, 3.0, math.sqrt(2), 2)
    assert str(found) == "2 ± 1.4"
    assert figures.spread([math.nan]) is None


def test_curve_has_the_rounds_that_were_evaluated(points):
    assert [(number, found.mean) for number, found in figures.curve(points[1])] == [
        (1, pytest.approx(0.3)),
        (3, pytest.approx(0.9)),
    ]


def test_the_worst_tenth_are_those_whom_the_model_serves_worst(outcome):
    people = tuple(float(number) for number in range(1, 21))
    (more,), (less,) = (figures.points([outcome(people=people, higher_is_better=better)]) for better in (True, False))
    assert figures.worst_tenth(more) == 1.5
    assert figures.worst_tenth(less) == 19.5
    (nobody,) = figures.points([outcome(people=())])
    assert figures.worst_tenth(nobody) is None


def test_best_point_follows_what_is_better(points, outcome):
    assert figures.best(points).label == "epsilon = 8"
    errors = [outcome(final, point={"epsilon": e}, higher_is_better=False) for e, final in ((1, 0.5), (8, 0.9))]
    assert figures.best(figures.points(errors)).label == "epsilon = 1"
    assert figures.best([]) is None


def test_parties_stand_in_the_order_that_people_count_in(points):
    assert list(figures.parties(points[0])) == ["party-2", "party-10"]


def test_time_that_no_part_accounts_for_is_shown(points):
    found = figures.timing(points[0])
    assert list(found) == ["coordinator", "nodes", "other"]
    assert found["other"] == pytest.approx(0.3)


def test_summary_adds_up(points):
    found = figures.summary(points[1])
    assert (found["mean"], found["low"], found["high"], found["std"]) == (pytest.approx(0.9), 0.9, 0.9, 0.0)
    assert (found["bytes_up"], found["bytes_down"], found["epsilon"]) == (6000, 12000, 1.5)
    assert found["fp32_ratio"] == pytest.approx(10)
    assert found["held_out_people"] == 40
    assert found["seconds_per_round"] == pytest.approx(1.0)


def test_of_many_points_the_best_are_drawn_in_their_order(outcome):
    finals = (0.1, 0.9, 0.3, 0.8, math.nan)
    points = figures.points([outcome(final, point={"x": place}) for place, final in enumerate(finals)])
    assert [point.values["x"] for point in figures.leading(points, 2)] == [1, 3]
    assert figures.leading(points, 5) == points
