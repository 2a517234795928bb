"""The benchmark of secure aggregation: exact sums, what is counted, and its page."""

import numpy as np
import pytest

from simulations.benchmarks.exchange import overview, secagg
from simulations.benchmarks.exchange.secagg_flower import Flower


@pytest.mark.parametrize("bits", secagg.WIDTHS)
def test_ours_counts_masks_and_bytes_of_exact_sums(bits):
    rows = secagg.ours(5, 300, bits)
    assert [(row["dropped"], row["masks"]) for row in rows["coordinator"]] == [(0, 5), (1, 8)]
    lanes = 300 * bits // 8
    assert rows["bytes"][0]["bytes sent"] == lanes + 4 * (2 * 33 + 16) + 2 * 32 + 5 * 33
    assert rows["party"][0]["mask, ms"] >= 0


def test_a_sum_that_is_not_exact_stops_the_benchmark(monkeypatch):
    monkeypatch.setattr(secagg, "unmask", lambda total, *_: total)
    with pytest.raises(AssertionError, match="the sum of 5 of 5 parties is wrong"):
        secagg.ours(5, 300, 16)


def test_flowers_functions_do_what_its_protocol_does():
    flower = Flower(4, 50, 3)
    assert len(flower.share()) == 3
    assert flower.mask()[0].shape == (50,)
    assert flower.unmask(1)[0].dtype == np.float64
    assert flower.sent_bytes() > 8 * 50
    rows = secagg.flowers(4, 50)
    assert [(row["dropped"], row["masks"]) for row in rows["coordinator"]] == [(0, 4), (1, 6)]


def test_pages_are_made_from_what_was_measured(monkeypatch):
    monkeypatch.setattr(secagg, "SIZES", ((4, 100),))
    found = {name: job() for name, job in secagg.jobs().items()}
    assert list(found) == [
        f"4 parties, 100 values, {system}" for system in ("ours, 16 bits", "ours, 20 bits", "Flower")
    ]
    assert "| 4 | 100 | Flower SecAgg+ | 1 | 6 |" in secagg.page("head", found)
    ours, _, flower = overview.beside(secagg.tables(found))
    assert ours["bytes sent / lanes"] == found["4 parties, 100 values, ours, 16 bits"]["bytes"][0]["ratio"]
    both = [line["both, ms"] for line in found["4 parties, 100 values, Flower"]["coordinator"]]
    assert [flower["coordinator, all answer, ms"], flower["most drop, ms"]] == both
