"""Windows are the same however the stream is chopped, and never cross what they must not cross."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.data.blocks import Block
from clients.data.cutting import Cutter
from clients.data.problems import Problems
from federation.schema import Window


def block(stretches: list[tuple[str, int, float]], seed: int = 0) -> Block:
    """Rows of stretches (recording, samples, label), one axis that counts up."""
    total = sum(samples for _, samples, _ in stretches)
    names = np.array([name for name, samples, _ in stretches for _ in range(samples)], object)
    return Block(
        person=np.full(total, "p", object),
        recording=names,
        time=np.empty(0),
        x=np.arange(total, dtype=np.float64)[:, None],
        y=np.array([label for _, samples, label in stretches for _ in range(samples)]),
        usable=np.ones(total, np.bool_),
        first=2,
    )


def pieces(rows: Block, sizes: list[int]) -> list[Block]:
    """`rows` chopped into blocks of these sizes, again and again."""
    result, start, turn = [], 0, 0
    while start < len(rows):
        end = min(start + sizes[turn % len(sizes)], len(rows))
        time = rows.time[start:end]
        part = [rows.person[start:end], rows.recording[start:end], time, rows.x[start:end], rows.y[start:end]]
        result.append(Block(*part, usable=rows.usable[start:end], first=rows.first + start))
        start, turn = end, turn + 1
    return result


def cutter(window: Window) -> Cutter:
    return Cutter(window, True, Problems(Path("a.csv")))


def first_values(found: Cutter, blocks: list[Block]) -> list[tuple[float, float]]:
    """(first sample, label) of each window."""
    return [
        (float(x[0, 0]), float(y))
        for part in blocks
        for cut in found.feed(part)
        for x, y in zip(cut.x, cut.y, strict=True)
    ]


STRETCHES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.sampled_from([0.0, 1.0])), min_size=1, max_size=6
)


@given(STRETCHES, st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 8), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_windows_do_not_depend_on_how_the_stream_is_chopped(
    stretches: list[tuple[str, int, float]], sizes: list[int], samples: int, hop: int
) -> None:
    rows, window = block(stretches), Window(samples, hop, 50.0)
    expected = []
    changes = (rows.recording[1:] != rows.recording[:-1]) | (rows.y[1:] != rows.y[:-1])
    starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        expected += [(float(at), float(rows.y[at])) for at in range(start, end - samples + 1, hop)]
    chopped, whole = cutter(window), cutter(window)
    assert first_values(chopped, pieces(rows, sizes)) == expected
    assert first_values(whole, [rows]) == expected
    assert [r.content.digest() for r in chopped.recordings] == [r.content.digest() for r in whole.recordings]
    assert [(r.first, r.rows) for r in chopped.recordings] == [(r.first, r.rows) for r in whole.recordings]
    assert chopped.problems.counts == whole.problems.counts


def test_no_window_holds_an_implausible_value() -> None:
    rows = block([("a", 40, 0.0)])
    rows.usable[15] = False
    found = cutter(Window(10, 5, 50.0))
    assert [first for first, _ in first_values(found, pieces(rows, [7]))] == [0, 5, 20, 25, 30]
    assert found.spoiled == 2


@pytest.mark.parametrize("size", [1, 3, 100])
def test_no_window_reaches_across_a_gap(size: int) -> None:
    rows = block([("a", 40, 0.0)])
    time = np.arange(40) / 50
    time[17:] += 1.0
    timed = Block(rows.person, rows.recording, time, rows.x, rows.y, rows.usable, rows.first)
    found = cutter(Window(10, 5, 50.0))
    assert [first for first, _ in first_values(found, pieces(timed, [size]))] == [0, 5, 17, 22, 27]
    assert found.gaps == 1
    assert not found.problems.counts


@pytest.mark.parametrize("rate", [48.0, 52.0, 25.0, 500.0])
def test_another_rate_is_told_with_the_rate_that_was_found(rate: float) -> None:
    rows = block([("a", 400, 0.0)])
    found = cutter(Window(10, 5, 50.0))
    timed = Block(rows.person, rows.recording, np.arange(400) / rate, rows.x, rows.y, rows.usable, rows.first)
    list(found.feed(timed))
    (what,) = found.problems.counts
    assert "another rate than the workload's 50 Hz" in what
    assert f"{rate:g} Hz" in found.problems.examples[what]


@pytest.mark.parametrize("rate", [49.2, 50.0, 50.8])
def test_rates_within_the_tolerance_and_rounded_milliseconds_pass(rate: float) -> None:
    rows = block([("a", 400, 0.0)])
    found = cutter(Window(10, 5, 50.0))
    time = np.round(np.arange(400) / rate, 3)
    list(found.feed(Block(rows.person, rows.recording, time, rows.x, rows.y, rows.usable, rows.first)))
    assert not found.problems.counts
