"""The benchmark of codecs: its limit, its measures and its page."""

import json

import numpy as np
import pytest

from federation.codecs import find
from simulations.benchmarks import exchange, exchange_lanes


def test_the_limit_is_half_a_bit_where_the_error_is_as_large_as_the_vector():
    assert exchange.limit_bits(1.0) == 0.5
    assert exchange.limit_bits(1 / (4**3 - 1)) == pytest.approx(3)


def test_errors_are_measured_of_every_lossy_codec_and_budget():
    vector = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    rows = exchange.errors("some", [vector], 2)
    assert {row["codec"] for row in rows} == {"urq", "ecq", "raw16", "int8_block"}
    assert sum(row["codec"] == "urq" for row in rows) == len(exchange.BITS)
    coded = next(row for row in rows if row["codec"] == "int8_block")
    assert coded["bits spent"] == pytest.approx(8 * len(find("int8_block").encode(vector, 0)) / 3000)
    assert all(row["gap, bits"] > 0 for row in rows if row["gap, bits"] is not None)


def test_the_page_and_the_plot_are_made_from_what_was_measured(tmp_path, monkeypatch):
    vector = np.random.default_rng(1).standard_t(3, 2000).astype(np.float32)
    for name, value in (("updates", lambda: [vector]), ("LONG", 2000), ("SEEDS", 4), ("BITS", (0.25, 1.0))):
        monkeypatch.setattr(exchange, name, value)
    exchange.main(tmp_path)
    measured = json.loads((tmp_path / "exchange.json").read_text())
    assert {"error", "lanes", "bias", "speed", "commit"} <= set(measured)
    assert "![Error against bits" in (tmp_path / "exchange.md").read_text()
    assert (tmp_path / "exchange.png").stat().st_size > 10_000


def test_sums_of_lanes_are_measured_at_every_width():
    vectors = [np.random.default_rng(seed).normal(size=2000).astype(np.float32) for seed in range(3)]
    rows = exchange_lanes.sums(vectors[0], vectors, 2)
    assert len(rows) == 3 * len(exchange_lanes.BITS)
    for of in {row["vectors"] for row in rows}:
        errors = [row["error"] for row in rows if row["vectors"] == of and row["lane bits"] > 4]
        assert errors == sorted(errors, reverse=True)
    assert exchange_lanes.error([vectors[0]] * 10, 8, 3)[0] < 0.003
