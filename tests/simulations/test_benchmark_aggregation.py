"""The benchmark of aggregation measures what the coordinator does."""

import numpy as np
import pytest

from federation import wire
from federation.link import Reply
from simulations.benchmarks.exchange import aggregation, whole_round
from simulations.specimens import identity


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


@pytest.mark.parametrize("down", whole_round.DOWN)
def test_a_whole_round_is_that_of_the_coordinator(down, tmp_path, monkeypatch):
    """Its answers hold, or the benchmark would measure a round that folds nothing."""

    def answered(link, requests, deadline_s):
        for party, blob in requests.items():
            asked, _ = wire.read_request(blob, identity(whole_round.SECRET).public_key, 1 << 20)
            told = {"party": party, "task": asked.task, "nonce": asked.nonce, "size": link.size}
            yield Reply(party, whole_round._answer(told, np.ones(link.size, np.float32)))

    monkeypatch.setattr(whole_round.FromFile, "ask", answered)
    assert set(whole_round.round_of(700, down, tmp_path / "round")) == {"question, answers, sum", "next model, commit"}


def test_float64_depends_least_on_the_order_of_arrival():
    by_name = {row["sum in"]: row for row in aggregation.accuracies()}
    assert by_name["float64"]["error"] < by_name["float32, compensated"]["error"] < by_name["float32"]["error"]
    assert by_name["float64"]["means that arrival changes, as float32"] < 1e-3


def test_a_round_of_the_benchmark_checks_and_folds_every_answer():
    blobs = [aggregation.answer(np.ones(7, np.float32), member.party) for member in aggregation.crowd(3)]
    arriving = iter(blobs)
    aggregation._round(arriving, 3, 7)
    assert next(arriving, None) is None
