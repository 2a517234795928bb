"""What is measured of learning with fewer bits: bytes as they were sent, differences within a fold."""

import pytest

from simulations.benchmarks.exchange import learning as bench
from simulations.scenario import read_words


def row(setting, case, fold, accuracy, up, down=40_000):
    rounds = 6
    sizes = {"bytes_up": [4 * up] * rounds, "bytes_down": [999_999, *[4 * down] * (rounds - 1)]}
    return {
        "setting": setting,
        "case": case,
        "fold": fold,
        "values": 10_000,
        "parties": [4] * rounds,
        "accuracy": [0.0, *[accuracy] * (rounds - 1)],
    } | sizes


@pytest.mark.parametrize("setting", bench.SETTINGS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("case", bench.CASES, ids=lambda case: case.name)
def test_every_run_is_a_scenario(setting, case):
    for fold in range(bench.FOLDS):
        scenario = read_words(setting.scenario(case, fold))
        assert scenario.exchange.up == case.exchange.get("up", "raw32")


def test_differences_are_taken_within_a_fold_and_bits_from_the_bytes_that_were_sent():
    rows = [row("watch", bench.PLAIN.name, fold, 0.5 + fold / 10, 40_000) for fold in range(2)]
    rows += [row("watch", "urq 0.1 up", fold, 0.49 + fold / 10, 125) for fold in range(2)]
    plain, coded = bench.summary(rows)
    assert plain["against fp32 (points)"] == "+0.00 ± 0.00"
    assert coded["against fp32 (points)"] == "-1.00 ± 0.00"
    assert coded["accuracy (%)"].startswith("54.0")
    assert (coded["bits per value up"], coded["fp32 / up"]) == (0.1, "320 ×")
    assert coded["bits per value down"] == 32


def test_a_case_is_told_only_beside_fp32_of_the_same_folds():
    rows = [row("watch", bench.PLAIN.name, 0, 0.5, 40_000), row("watch", "urq 0.1 up", 1, 0.5, 125)]
    assert [line["exchange"] for line in bench.summary(rows)] == [bench.PLAIN.name]


def test_every_setting_case_and_fold_is_a_job_of_its_own():
    assert len(bench.jobs()) == len(bench.SETTINGS) * len(bench.CASES) * bench.FOLDS
    assert "watch, raw32, both ways, fold 0" in bench.jobs()
