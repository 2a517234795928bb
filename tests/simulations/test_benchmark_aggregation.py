"""The benchmark of aggregation measures what the coordinator does."""

import numpy as np
import pytest

from simulations.benchmarks.exchange import aggregation


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(aggregation, "SIZE", 1000)
    monkeypatch.setattr(aggregation, "COMPARED", (5,))


def test_every_table_has_rows_and_stands_on_the_page():
    found = {name: job() for name, job in aggregation.jobs().items() if not name.startswith("memory")}
    page = aggregation.page("head", found | {"memory, 2 parties": {"parties": 2, "peak above the libraries, MB": 1}})
    assert "| 2 | 1 |" in page
    for heading in ("## Speed", "## What the sum is kept in", "## Memory", "## Rules"):
        assert heading in page
    assert "| multi-krum, s |" in page


def test_float64_depends_least_on_the_order_of_arrival():
    by_name = {row["sum in"]: row for row in aggregation.accuracies()}
    assert by_name["float64"]["error"] < by_name["float32, compensated"]["error"] < by_name["float32"]["error"]
    assert by_name["float64"]["means that arrival changes, as float32"] < 1e-3


def test_a_round_of_the_benchmark_checks_and_folds_every_answer():
    blobs = [aggregation.answer(np.ones(7, np.float32), member.party) for member in aggregation.crowd(3)]
    arriving = iter(blobs)
    aggregation._round(arriving, 3, 7)
    assert next(arriving, None) is None
