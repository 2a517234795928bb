"""The benchmark of codecs: its limit, its measures and its page."""

import numpy as np
import pytest

from federation.codecs import find
from simulations.benchmarks.exchange import codecs, lanes


def test_the_limit_is_half_a_bit_where_the_error_is_as_large_as_the_vector():
    assert codecs.limit_bits(1.0) == 0.5
    assert codecs.limit_bits(1 / (4**3 - 1)) == pytest.approx(3)


def test_errors_are_measured_of_every_lossy_codec_and_budget():
    vector = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    rows = codecs.errors("some", [vector], 2)
    assert {row["codec"] for row in rows} == {"urq", "ecq", "raw16", "int8_block"}
    assert sum(row["codec"] == "urq" for row in rows) == len(codecs.BITS)
    coded = next(row for row in rows if row["codec"] == "int8_block")
    assert coded["bits spent"] == pytest.approx(8 * len(find("int8_block").encode(vector, 0)) / 3000)
    assert all(row["gap, bits"] > 0 for row in rows if row["gap, bits"] is not None)


def test_the_page_tells_errors_sums_and_bias(monkeypatch):
    vector = np.random.default_rng(1).standard_t(3, 2000).astype(np.float32)
    for name, value in (("updates", lambda: [vector]), ("LONG", 2000), ("SEEDS", 4), ("BITS", (0.25, 1.0))):
        monkeypatch.setattr(codecs, name, value)
    found = {name: job() for name, job in codecs.jobs().items()}
    text = codecs.page("head", found)
    assert f"| updates of the watch task | 2000 | urq | 0.25 | {found['error'][6]['bits spent']} |" in text
    assert "| 1M values, Student's t, unlike in all parties | 10 | 16 |" in text
    assert "| its largest value alone | int8_block |" in text
    assert {row["codec"] for row in found["speed"]} == {"urq", "ecq", "raw16", "int8_block", "raw32", "lane"}


def test_sums_of_lanes_are_measured_at_every_width():
    vectors = [np.random.default_rng(seed).normal(size=2000).astype(np.float32) for seed in range(3)]
    rows = lanes.sums(vectors[0], vectors, 2)
    assert len(rows) == 3 * len(lanes.BITS)
    for of in {row["vectors"] for row in rows}:
        errors = [row["error"] for row in rows if row["vectors"] == of and row["lane bits"] > 4]
        assert errors == sorted(errors, reverse=True)
    assert lanes.error([vectors[0]] * 10, 8, 3)[0] < 0.003
