"""Rows that do not fit their schema are found before anything is trained on them."""

import dataclasses

import pytest
import torch

from federation.errors import SchemaError
from federation.schema import Column, History, Rows, RowSchema, Target, Window, check, concatenate

COLUMNS = (Column("ax", "m/s^2", -80, 80), Column("ay", "m/s^2", -80, 80))
WINDOWED = RowSchema(COLUMNS, Target("exercise", "", classes=("rest", "run")), Window(samples=4, hop=2, rate_hz=50))
TABLE = RowSchema(COLUMNS, Target("minutes", "min", low=30, high=300))


def rows(count: int = 3) -> Rows:
    return Rows(
        {"x": torch.zeros(count, 2, 4), "y": torch.arange(count) % 2}, torch.arange(count, dtype=torch.int64) // 2
    )


def damaged(**fields: torch.Tensor) -> Rows:
    return dataclasses.replace(rows(), fields=dict(rows().fields) | fields)


def test_shape_of_a_row_follows_from_the_window():
    assert WINDOWED.x_shape == (2, 4)
    assert TABLE.x_shape == (2,)


def test_rows_that_fit_pass():
    check(rows(), WINDOWED)
    check(rows(0), WINDOWED)
    check(Rows({"x": torch.zeros(3, 2), "y": torch.ones(3)}, torch.zeros(3, dtype=torch.int64)), TABLE)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (damaged(x=torch.zeros(3, 2, 5)), r"expected float32 \(2, 4\) per row"),
        (damaged(x=torch.zeros(3, 2, 4, dtype=torch.float64)), "x is torch.float64"),
        (damaged(x=torch.full((3, 2, 4), torch.nan)), "NaN or infinite"),
        (damaged(x=torch.full((3, 2, 4), -torch.inf)), "NaN or infinite"),
        (damaged(y=torch.tensor([0, 1, 2])), "class numbers below 2"),
        (damaged(y=torch.tensor([0, 1, -1])), "class numbers below 2"),
        (damaged(y=torch.zeros(3)), "class numbers below 2"),
        (damaged(z=torch.zeros(3)), r"found fields \['x', 'y', 'z'\]; expected x and y"),
    ],
)
def test_rows_that_do_not_fit_are_an_error(bad, text):
    with pytest.raises(SchemaError, match=text):
        check(bad, WINDOWED)


@pytest.mark.parametrize("y", [torch.tensor([1.0, torch.nan, 2.0]), torch.tensor([1, 2, 3])])
def test_a_number_to_predict_is_finite_float32(y):
    with pytest.raises(SchemaError, match="y must be finite float32 numbers"):
        check(Rows({"x": torch.zeros(3, 2), "y": y}, torch.zeros(3, dtype=torch.int64)), TABLE)


def test_fields_of_different_length_cannot_be_rows():
    with pytest.raises(SchemaError, match="fields of different length"):
        Rows({"x": torch.zeros(3, 2), "y": torch.zeros(2)}, torch.zeros(3, dtype=torch.int64))


def test_repr_shows_no_values():
    assert repr(rows()) == "Rows(3 rows)"


def test_rows_of_people_and_their_concatenation():
    everybody = rows(5)
    apart = [everybody.of(torch.tensor([person])) for person in (0, 1, 2)]
    assert [len(part) for part in apart] == [2, 2, 1]
    together = concatenate(apart)
    assert torch.equal(together.person, everybody.person)
    assert torch.equal(together.fields["y"], everybody.fields["y"])
    assert len(everybody.of(torch.tensor([], dtype=torch.int64))) == 0


HISTORIES = RowSchema((), Target("item", "", classes=("a", "b", "c")), history=History(least=2, newest=0.2))


def marks(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def history(x: torch.Tensor, y: torch.Tensor) -> Rows:
    return Rows({"x": x, "y": y}, torch.zeros(len(x), dtype=torch.int64))


def test_a_history_has_a_mark_per_item():
    assert (HISTORIES.x_shape, HISTORIES.y_shape, HISTORIES.y_dtype) == ((3,), (3,), torch.float32)
    check(history(marks([1, 0, 1], [0, 1, 0]), marks([0, 1, 0], [1, 0, 0])), HISTORIES)
    check(history(torch.zeros(0, 3), torch.zeros(0, 3)), HISTORIES)


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (marks([1, 0, 0]), torch.tensor([1]), r"y is torch.int64 \(\); expected float32 \(3,\) per row"),
        (marks([1, 0]), marks([0, 1]), r"expected float32 \(3,\) per row"),
        (marks([2, 0, 0]), marks([0, 1, 0]), "must hold zeros and ones"),
        (marks([1, 0, 0]), marks([0, 0.5, 0]), "must hold zeros and ones"),
        (marks([1, 1, 0]), marks([0, 1, 0]), "both in x"),
        (marks([0, 0, 0]), marks([0, 1, 0]), "marks no item in x or none in y"),
        (marks([1, 0, 0]), marks([0, 0, 0]), "marks no item in x or none in y"),
    ],
)
def test_a_history_that_does_not_fit_is_an_error(x, y, text):
    with pytest.raises(SchemaError, match=text):
        check(history(x, y), HISTORIES)
