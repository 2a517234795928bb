"""Lines of person and item become one row per person: what came before, what came last."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import SchemaError
from federation.histories import gather, newest
from federation.schema import History, RowSchema, Target

ITEMS = 6
SCHEMA = RowSchema((), Target("item", "", classes=tuple("abcdef")), history=History(least=3, newest=0.4))
LINES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, ITEMS - 1)), min_size=1, max_size=60)


def plain(lines: list[tuple[int, int]]) -> dict[int, tuple[set[int], set[int]]]:
    """What `gather` means, line by line."""
    histories: dict[int, list[int]] = {}
    for person, item in lines:
        items = histories.setdefault(person, [])
        if item in items:
            items.remove(item)
        items.append(item)
    rows = {}
    for person, items in histories.items():
        last = max(1, int(len(items) * 0.4))
        if len(items) >= 3:
            rows[person] = (set(items[:-last]), set(items[-last:]))
    return rows


@given(LINES)
def test_rows_are_those_of_the_plain_reading(lines: list[tuple[int, int]]) -> None:
    person, item = np.array(lines, np.int64).T
    rows, expected = gather(person, item, SCHEMA), plain(lines)
    assert rows.person.tolist() == sorted(expected)
    for place, number in enumerate(rows.person.tolist()):
        assert set(np.flatnonzero(rows.x[place]).tolist()) == expected[number][0]
        assert set(np.flatnonzero(rows.y[place]).tolist()) == expected[number][1]
    assert rows.short == len(set(person.tolist())) - len(expected)


def test_one_item_at_least_came_last() -> None:
    assert newest(np.array([1, 4, 5, 9, 10]), 0.2).tolist() == [1, 1, 1, 1, 2]


def test_rows_of_another_kind_are_refused() -> None:
    with pytest.raises(SchemaError, match="are no histories"):
        gather(np.zeros(1, np.int64), np.zeros(1, np.int64), dataclasses.replace(SCHEMA, history=None))
