"""Bytes of rounds beside fp32."""

import pytest

from federation import workloads
from federation.consent import Purpose
from federation.ids import Fingerprint, PartyId
from federation.manifest import Manifest, Member, WorkloadPin
from federation.roles import Role
from federation.terms import ExchangeTerms, TrainingTerms, Unprotected
from server import traffic
from server.store import Traffic
from server.traffic import Compared


def manifest(workload: str, **training: object) -> Manifest:
    return Manifest(
        name="pace",
        title="x",
        workload=WorkloadPin(name=workload, version=1, digest="a" * 64),
        purpose=Purpose.TRAIN_MOTION_MODELS,
        rounds=3,
        privacy=Unprotected(unit="none"),
        training=TrainingTerms(learning_rate=0.1, **training),
        exchange=ExchangeTerms(min_parties=1),
        cohort=(
            Member(
                party=PartyId("city"), name="City", role=Role.DATA_PROVIDER, fingerprint=Fingerprint("b" * 64), people=9
            ),
        ),
        coordinator=Fingerprint("c" * 64),
        issued_at="2026-03-01T12:00:00Z",
        expires_at="2026-04-01T12:00:00Z",
    )


def test_whoever_was_asked_gets_the_whole_model_and_gives_what_is_trained() -> None:
    whole = sum(tensor.numel() for tensor in workloads.find("exercise_recognition").initial(0).values())
    took = traffic.compared(manifest("exercise_recognition", trains=("head.",)), 1, Traffic(500, 2000, 3, 2))
    assert took == Compared(500, 2000, 4 * 2 * 112, 4 * 3 * whole)
    assert took.ratio == pytest.approx((took.fp32_up + took.fp32_down) / 2500)


def test_control_variates_travel_both_ways() -> None:
    plain, scaffold = (
        traffic.compared(manifest("running_pace", scaffold=scaffold), 1, Traffic(1, 1, 3, 2))
        for scaffold in (False, True)
    )
    assert scaffold.fp32_up == 2 * plain.fp32_up
    assert scaffold.fp32_down == plain.fp32_down + 3 * plain.fp32_up // 2


def test_for_the_first_weights_nothing_is_sent_in_fp32_and_all_of_them_come() -> None:
    whole = sum(tensor.numel() for tensor in workloads.find("exercise_recognition").initial(0).values())
    took = traffic.compared(manifest("exercise_recognition", trains=("head.",)), 0, Traffic(500, 90, 1, 1))
    assert took == Compared(500, 90, 4 * whole, 0)


def test_rounds_add_up_and_nothing_has_no_ratio() -> None:
    assert Compared(1, 2, 30, 40) + Compared(1, 1, 1, 1) == Compared(2, 3, 31, 41)
    assert Compared().ratio is None
