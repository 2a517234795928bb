"""What was tried around the exchange: references that both ends agree on, rotations, AdamW, bytes by Flower's ruler."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.terms import TrainingTerms
from federation.workloads import find
from privacy.secagg.shamir import SHARE_BYTES
from simulations.benchmarks.exchange import large, traffic, trials
from simulations.benchmarks.exchange import trials_learning as learning
from simulations.benchmarks.exchange.flower_messages import carried, fedavg
from simulations.benchmarks.exchange.rounds import References, Stage, Way, adamw, coded, pace, transfer

INVENTED = "invented, 16 parties"
EXACT = Way("exact")


def small(learning_rate):
    """Two parties of one person with eight rows each, who judge themselves; one step a round."""
    workload = find("exercise_recognition")
    parties = [workload.invent(seed, 1, 8) for seed in range(2)]
    return Stage(workload, parties, parties[0], TrainingTerms(learning_rate=learning_rate), 2)


def vectors(parties=4, size=300, seed=1):
    return np.random.default_rng(seed).standard_normal((parties, size))


@given(st.integers(0, 2**31), st.floats(0, 1), st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
@settings(max_examples=30, deadline=None)
def test_the_coordinators_reference_is_the_mean_of_the_parties_whoever_is_drawn(seed, moved, drawn):
    shares, references = np.array([0.1, 0.2, 0.3, 0.4]), References.zero(4, 300)
    for number, here in enumerate((np.arange(4), np.sort(drawn))):
        exact = vectors(seed=seed + number)[here]
        transfer(exact, here, shares, references, (Way("", 0.5, moved), number))
    assert np.allclose(references.mean, shares @ references.own)


def test_without_loss_the_mean_is_exact_whatever_the_references():
    shares, references, everybody = np.full(4, 0.25), References.zero(4, 300), np.arange(4)
    for number in range(3):
        exact = vectors(seed=number)
        mean, came = transfer(exact, everybody, shares, references, (replace(EXACT, pace=0.3), number))
        assert np.allclose(mean, exact.mean(axis=0))
        assert np.allclose(came, exact)


def test_references_make_the_error_of_a_standing_vector_vanish():
    exact, shares, references = vectors(), np.full(4, 0.25), References.zero(4, 300)
    way = Way("", 0.5, pace(0.5, 300))
    errors = []
    for number in range(40):
        mean, _ = transfer(exact, np.arange(4), shares, references, (way, number))
        errors.append(np.square(mean - exact.mean(axis=0)).sum())
    assert errors[-1] < errors[0] / 100


def test_parties_that_agree_err_alike_only_under_one_rotation():
    vector = vectors(1)[0]
    own, one = Way("", 0.1), Way("", 0.1, own_rotation=False)
    assert (coded(one, vector, 5, 0) == coded(one, vector, 5, 1)).all()
    assert (coded(own, vector, 5, 0) != coded(own, vector, 5, 1)).any()
    assert (coded(own, vector, 5, 0) != coded(own, vector, 6, 0)).any()


def test_references_move_slower_the_fewer_bits_there_are():
    assert 0 < pace(0.1, 5000) < pace(0.5, 5000) < pace(4.0, 5000) <= 1


def test_the_first_step_of_adamw_is_as_long_as_the_learning_rate():
    stage = small(0.01)
    update = adamw(stage, stage.workload.initial(0), stage.judges, 1)
    assert update.shape == (learning.VALUES,)
    assert float(update.abs().max()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(update, adamw(stage, stage.workload.initial(0), stage.judges, 1))


def test_a_run_tells_accuracy_and_errors_of_each_round(monkeypatch):
    monkeypatch.setattr(learning, "prepared", lambda setting, fold, rate: small(rate))
    case = learning.Case(learning.URQ)
    row = learning.train(INVENTED, case, 0.2, 0, rounds=2)
    assert len(row["accuracy"]) == len(row["error of the mean"]) == 2
    assert row["error of one"][0] > row["error of the mean"][0] > 0


def row(case, fold, accuracy, rate=0.2, people=INVENTED):
    figures = {"accuracy": [0.0, *[accuracy] * 5], "error of the mean": [4.0, *[2.0] * 5], "error of one": [9.0] * 6}
    return {"people": people, "optimiser": case.optimiser, "rate": rate, "way": case.way.name, "fold": fold} | figures


PLAIN, CODED = learning.Case(learning.AS_THEY_ARE), learning.Case(learning.URQ)


def test_differences_are_taken_within_folds_that_both_have():
    rows = [row(PLAIN, fold, 0.5 + fold / 10) for fold in range(2)]
    rows += [row(CODED, fold, 0.49 + fold / 10) for fold in range(3)]
    plain, coded_line = learning.summary(rows)
    assert (plain["folds"], coded_line["folds"]) == (2, 2)
    assert plain["against fp32 (points)"] is None
    assert coded_line["against fp32 (points)"] == "-1.0 ± 0.0"
    assert (coded_line["error of the mean, first round"], coded_line["last five"]) == (4.0, 2.0)


def test_rates_are_compared_in_the_first_fold_and_extra_cases_run_in_the_first_two():
    plain = [name for name in learning.jobs() if name.startswith(f"{INVENTED}, SGD") and ", fp32, " in name]
    assert plain == [
        *(f"{INVENTED}, SGD {rate:g}, fp32, fold 0" for rate in learning.RATES[learning.SGD]),
        *(f"{INVENTED}, SGD 0.2, fp32, fold {fold}" for fold in (1, 2)),
    ]
    halves = [name for name in learning.jobs() if ", urq 0.5, fold" in name]
    assert [name[-6:] for name in halves] == ["fold 0", "fold 1"]


def test_flowers_message_is_four_bytes_a_value_and_what_frames_them():
    state = large.model("14k")
    for sent in fedavg(state):
        assert 4 * learning.VALUES < sent < 1.2 * 4 * learning.VALUES
    short, longer = carried(b"a" * 100, b"b" * 100), carried(b"a" * 100, b"b" * 1100)
    assert short[0] == longer[0] > 100
    assert 1000 <= longer[1] - short[1] <= 1020


def test_every_way_of_exchange_is_counted_by_one_ruler():
    stock, whole, few, secure = traffic.jobs()["14k"]()
    assert stock["both ways"] == "1 ×"
    assert (
        float(few["up"].replace(",", "")) < float(secure["up"].replace(",", "")) < float(whole["up"].replace(",", ""))
    )
    assert float(few["both ways"].split()[0]) > 15
    lanes, shares = 14_336, large.PARTIES * (traffic.SEALED_BYTES + SHARE_BYTES)
    assert int(secure["our messages alone, down / up"].split(" / ")[1].replace(",", "")) > lanes + shares


def test_every_step_is_measured_with_its_memory(monkeypatch):
    monkeypatch.setattr(large, "model", lambda name: {"w": torch.ones(300_000)})
    steps = [line for kind in large.STEPS for line in large.measured(kind)]
    assert len(steps) == 10
    decoded = next(line for line in steps if line["step"] == "urq 0.1, decode")
    assert decoded["peak above its inputs, MB"] >= 1


def test_the_page_is_made_from_what_was_measured():
    rows = [row(case, 0, 0.5, rate=learning.CHOSEN[case.optimiser]) for case in learning.cases()]
    trained = dict(zip(map(str, range(len(rows))), rows, strict=True))
    text = trials.page("head", trained, {"lanes": [{"step": "mask", "ms": 1}]})
    assert "| AdamW | 0.01 | urq 0.1 |" in text
    assert "one rotation for all" in text
    assert "| mask | 1 |" in text
