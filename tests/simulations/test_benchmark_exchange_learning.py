"""What is measured of learning with fewer bits: bytes as they were sent, differences within a fold."""

import pytest

from simulations.benchmarks.exchange import cases
from simulations.benchmarks.exchange import learning as bench
from simulations.scenario import read_words


def row(setting, case, fold, accuracy, up, draw=0):
    rounds = 6
    sizes = {"bytes_up": [4 * up] * rounds, "bytes_down": [999_999, *[160_000] * (rounds - 1)]}
    return {
        "setting": setting,
        "case": case,
        "fold": fold,
        "draw": draw,
        "values": 10_000,
        "parties": [4] * rounds,
        "accuracy": [0.0, *[accuracy] * (rounds - 1)],
    } | sizes


@pytest.mark.parametrize("setting", cases.SETTINGS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_every_run_is_a_scenario(setting, case):
    for fold in range(cases.FOLDS):
        scenario = read_words(setting.scenario(case, fold))
        assert scenario.exchange.up == case.exchange.get("up", "raw32")


def test_differences_are_taken_within_a_fold_and_bits_from_the_bytes_that_were_sent():
    rows = [row("watch", cases.PLAIN.name, fold, 0.5 + fold / 10, 40_000) for fold in range(2)]
    rows += [row("watch", "urq 0.1 up", fold, 0.49 + fold / 10, 125) for fold in range(2)]
    plain, coded = bench.summary(rows)
    assert plain["against fp32 (points)"] == "+0.00 ± 0.00"
    assert coded["against fp32 (points)"] == "-1.00 ± 0.00"
    assert coded["accuracy (%)"].startswith("54.0")
    assert (coded["bits per value up"], coded["fp32 / up"]) == (0.1, "320 ×")
    assert coded["bits per value down"] == 32


def test_a_case_is_told_only_beside_fp32_of_the_same_folds():
    rows = [row("watch", cases.PLAIN.name, 0, 0.5, 40_000), row("watch", "urq 0.1 up", 1, 0.5, 125)]
    assert [line["exchange"] for line in bench.summary(rows)] == [cases.PLAIN.name]


def test_draws_are_compared_with_fp32_of_the_same_draw_and_a_fold_counts_once():
    accuracies = {(0, 0): 0.5, (0, 1): 0.6, (1, 0): 0.7, (1, 1): 0.8}
    lost = {(0, 0): 0.01, (0, 1): 0.03, (1, 0): 0.04, (1, 1): 0.04}
    rows = [row("watch", cases.PLAIN.name, fold, value, 9, draw=draw) for (fold, draw), value in accuracies.items()]
    rows += [
        row("watch", "urq 0.1 up", *place[:1], value - lost[place], 9, draw=place[1])
        for place, value in accuracies.items()
    ]
    plain, coded = bench.summary(rows)
    assert coded["against fp32 (points)"] == "-3.00 ± 1.00"  # folds lost 2 and 4
    assert coded["spread of a run"] == "1.41"
    assert coded["over all rounds"] == "-2.50 ± 0.83"
    assert plain["spread of a run"] == "10.00"  # what two draws of a fold differ by
    assert (plain["runs"], coded["runs"]) == (4, 4)


def test_a_fold_that_was_drawn_twice_weighs_no_more_than_another():
    places = [(0, 0), (0, 1), (1, 0)]
    rows = [row("watch", cases.PLAIN.name, fold, 0.5, 9, draw=draw) for fold, draw in places]
    rows += [row("watch", "urq 0.1 up", fold, 0.5 - 0.01 * (1 + fold), 9, draw=draw) for fold, draw in places]
    assert bench.summary(rows)[1]["against fp32 (points)"] == "-1.50 ± 0.50"


def test_accuracies_stand_beside_one_another_whichever_case_was_drawn_again():
    rows = [row("watch", cases.PLAIN.name, 0, 0.8, 9), row("watch", cases.PLAIN.name, 0, 0.6, 9, draw=1)]
    plain, coded = bench.points([*rows, row("watch", "urq 0.1 up", 0, 0.79, 9)])
    assert (plain.late, coded.late) == ((80.0,), (79.0,))
    assert bench.points(rows[1:]) == []


def test_one_fold_alone_does_not_tell_how_sure_a_difference_is():
    rows = [row("watch", cases.PLAIN.name, 0, 0.8, 9), row("watch", "urq 0.1 up", 0, 0.79, 9)]
    assert bench.summary(rows)[1]["against fp32 (points)"] == "-1.00"


def test_a_second_draw_of_fp32_tells_what_chance_does_and_one_alone_tells_nothing():
    first = [row("watch", cases.PLAIN.name, 0, 0.5, 9)]
    assert bench.chance(first, "watch") is None
    again = [*first, row("watch", cases.PLAIN.name, 0, 0.48, 9, draw=1), row("watch", cases.PLAIN.name, 1, 0.9, 9)]
    assert bench.chance(again, "watch") == pytest.approx(2)


def test_every_setting_case_fold_and_draw_is_a_job_of_its_own():
    once, again = cases.FOLDS * len(cases.CASES), cases.DRAWN_AGAIN * sum(case.again for case in cases.CASES)
    assert len(bench.jobs()) == len(cases.SETTINGS) * (once + again)
    assert "watch, raw32, both ways, fold 0, draw 0" in bench.jobs()
    assert list(bench.jobs())[-1].endswith(f"fold {cases.DRAWN_AGAIN - 1}, draw 1")


def test_a_draw_can_be_repeated_and_another_one_has_other_batches_for_the_same_people():
    few = {"source": "invented", "people": 12, "rows_per_person": 8, "held_out": 0.5}
    words = dict(cases.SETTINGS[2].words) | {"rounds": 3, "data": few, "parties": {"count": 2}}
    setting = cases.Setting("few", words)
    first, again, other = (bench.run(setting, cases.PLAIN, 0, draw) for draw in (0, 0, 1))
    assert first == again
    assert other["bytes_up"] == first["bytes_up"]
    assert other["accuracy"] != first["accuracy"]
