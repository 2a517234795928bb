"""SCAFFOLD finds the optimum that FedAvg drifts past, through the real round; its bytes are of one size only."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import scaffold
from clients.node import Agreed, Node
from clients.policy import Policy, admit
from clients.scaffold import Control
from federation import wire
from federation.consent import Purpose
from federation.ids import Fingerprint, PartyId
from federation.link import Reply
from federation.manifest import Member
from federation.messages import TrainRequest, UpdateAnswer
from federation.roles import Role, Step
from federation.schema import Rows
from federation.terms import TrainingTerms, Unprotected
from federation.workload import Phase, Weights
from federation.workloads import find
from federation.workloads.running_pace import predict
from server.aggregation import Total, advance
from server.coordinator import Model, from_bytes
from server.memory import Memory
from server.rounds import run_task
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource
from simulations.specimens import ISSUED, manifest

CITY, HILL, ALGO = PartyId("city"), PartyId("hill"), PartyId("algo-works")
PACE = find("running_pace")


def parabola(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """a (w - b)² / 2 per row: each party's own optimum is far from the other's, and so is how steep it is."""
    return fields["a"] * (weights["w"] - fields["b"]).square().sum(-1) / 2


PHASE = Phase("bend", reads_people=True, trains=("w",), loss=parabola)
BENT = replace(PACE, name="bent", phases=(PHASE,), initial=lambda _: {"w": torch.zeros(1)})
OWN = {CITY: (1.0, -3.0), HILL: (9.0, 1.0)}
OPTIMUM = sum(a * b for a, b in OWN.values()) / sum(a for a, _ in OWN.values())


POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=("running_pace", "exercise_recognition"),
    max_epsilon=1.0,
    delta=1e-3,
    max_epsilon_per_task=1.0,
    min_parties=2,
    min_people=1,
    allow_unprotected=("plain", "spring-watch"),
)


def bent_rows(party: PartyId) -> Rows:
    a, b = OWN[party]
    return Rows({"a": torch.full((4,), a), "b": torch.full((4, 1), b)}, torch.arange(4))


def bent_task(local_epochs: int = 20, **training: Any) -> Any:
    cohort = tuple(
        Member(party=party, name=party, role=Role.DATA_PROVIDER, fingerprint=Fingerprint(digit * 64), people=4)
        for party, digit in ((CITY, "a"), (HILL, "b"))
    )
    terms = TrainingTerms(learning_rate=0.02, local_epochs=local_epochs, batch_rows=4, **training)
    changes = {"cohort": cohort, "training": terms, "privacy": Unprotected(unit="none"), "evaluation": None}
    return manifest().model_copy(update=changes)


def agreed_on(task: Any, round: int) -> Agreed:
    question = TrainRequest(
        task="0" * 64,
        round=round,
        attempt=0,
        nonce="0" * 32,
        issued_at=ISSUED,
        expires_at=ISSUED,
        model="0" * 64,
        ledger_heads={},
        phase="bend",
    )
    return Agreed(question, b"", task, BENT, admit(POLICY, task, CITY, Role.DATA_PROVIDER, Step.TRAIN_ON_PEOPLE))


def bent_round(model: Model, own: dict[PartyId, np.ndarray], task: Any, present: tuple[PartyId, ...]) -> Model:
    """A round without its messages; under SCAFFOLD the parties' variates in `own` move on."""
    agreed = agreed_on(task, model.round + 1)
    total = Total(np.zeros(task.training.vectors))
    server = model.memory.control.vector if model.memory.control else np.zeros(1)
    for party in present:
        control = Control(server.astype(np.float32), own[party], None) if task.training.scaffold else None
        sent = scaffold.update(agreed, model.weights, bent_rows(party), model.round, control).numpy()
        own[party] = own[party] + sent[1:]
        total = Total(total.vector + 4.0 * sent, total.weight + 4.0, (*total.parties, party))
    return advance(model, ("w",), total, task, PHASE)


def bent_result(task: Any, rounds: int, absent: Callable[[int], PartyId | None]) -> float:
    model, own = Model(0, {"w": torch.zeros(1)}, Memory()), {party: np.zeros(1) for party in OWN}
    for number in range(rounds):
        model = bent_round(model, own, task, tuple(party for party in OWN if party != absent(number)))
    return float(model.weights["w"])


@settings(max_examples=30)
@given(st.floats(-5, 5), st.floats(-20, 20), st.floats(-20, 20), st.sampled_from([CITY, HILL]))
def test_the_new_variate_is_the_mean_slope_of_the_partys_own_loss(
    weight: float, server: float, own: float, party: PartyId
) -> None:
    """Two steps, whatever corrects them: (g(x) + g(x - η (g(x) + c - cᵢ))) / 2 with g(w) = a (w - b)."""
    control = Control(np.array([server], np.float32), np.array([own]), None)
    weights = {"w": torch.tensor([weight])}
    sent = scaffold.update(agreed_on(bent_task(2, scaffold=True), 1), weights, bent_rows(party), 0, control).numpy()
    a, b = OWN[party]
    first = a * (weight - b)
    second = a * (weight - 0.02 * (first + server - own) - b)
    assert own + sent[1] == pytest.approx((first + second) / 2, abs=1e-2)
    assert sent[0] == pytest.approx(-0.02 * (first + second + 2 * (server - own)), abs=1e-4)


def test_scaffold_reaches_the_optimum_where_fedavg_drifts() -> None:
    """Karimireddy et al. 2020, Section 4: FedAvg's fixed point is the mean of where the parties would go alone."""
    assert abs(bent_result(bent_task(), 40, lambda _: None) - OPTIMUM) > 0.2
    assert bent_result(bent_task(scaffold=True), 40, lambda _: None) == pytest.approx(OPTIMUM, abs=1e-4)


def test_scaffold_reaches_the_optimum_though_parties_take_turns() -> None:
    everybody_twice_then_one = [None, None, CITY, HILL]
    found = bent_result(
        bent_task(scaffold=True, server_learning_rate=0.5), 80, lambda number: everybody_twice_then_one[number % 4]
    )
    assert found == pytest.approx(OPTIMUM, abs=0.02)


KINDS = {"front": (30.0, 0.0, 0.0), "back": (50.0, 1.0, 240.0)}
"""Two kinds of runner without a weight in common: age, sex, start."""
RUNNERS = {CITY: (("front", 20, 365.0), ("back", 4, 325.0)), HILL: (("front", 4, 335.0), ("back", 20, 355.0))}
"""How many of each kind a party has, and their pace. The parties disagree about either, each on few of one kind."""


def runners(party: PartyId) -> Rows:
    x = torch.tensor([KINDS[kind] for kind, count, _ in RUNNERS[party] for _ in range(count)])
    y = torch.tensor([pace for _, count, pace in RUNNERS[party] for _ in range(count)])
    return Rows({"x": x, "y": y}, torch.arange(24))


def launched(path: Path, rounds: int, **training: Any) -> tuple[Federation, str]:
    """Two parties of 24 runners each with unlike rows, and a task without privacy terms."""
    cast = [Cast(party, Role.DATA_PROVIDER, runners(party)) for party in RUNNERS]
    joined = gather(path, PACE.name, [*cast, Cast(ALGO, Role.ALGORITHM_PROVIDER)], POLICY, SeededSource(1))
    task = {
        "name": "plain",
        "title": "A test",
        "workload": PACE.name,
        "purpose": "train-motion-models",
        "rounds": rounds,
        "privacy": {"unit": "none"},
        "training": {"learning_rate": 0.2, "local_epochs": 30, "batch_rows": 24, **training},
        "exchange": {"min_parties": 2},
        "cohort": [*({"party": party, "people": 24} for party in RUNNERS), {"party": ALGO}],
    }
    (path / "task.toml").write_text(tomli_w.dumps(task), "utf-8")
    return joined, agree(joined, path / "task.toml")


def final(federation: Federation, name: str) -> Model:
    store = federation.coordinator.store
    latest = store.latest_model(store.task(name).digest)
    assert latest is not None
    return from_bytes(latest.round, latest.data, latest.memory)


def test_in_a_real_federation_scaffold_finds_the_mean_pace_of_each_kind(tmp_path: Path) -> None:
    """Errors are small enough for the loss to be a parabola, so the optimum is the mean pace over all 24 of a kind."""
    best = np.array([(20 * 365 + 4 * 335) / 24, (4 * 325 + 20 * 355) / 24])
    errors = {}
    for way in (False, True):
        federation, name = launched(tmp_path / str(way), 12, scaffold=way)
        run_task(federation.coordinator, federation.link, name)
        paces = predict(final(federation, name).weights, torch.tensor(list(KINDS.values()))).numpy()
        errors[way] = np.abs(paces - best).max()
    assert errors[False] > 5
    assert errors[True] < 0.3


def without_the_variate(header: UpdateAnswer, payload: bytes) -> bytes:
    return payload[: len(payload) // 2]


def with_a_third_vector(header: UpdateAnswer, payload: bytes) -> bytes:
    return payload + payload[: len(payload) // 2]


@pytest.mark.parametrize("change", [without_the_variate, with_a_third_vector])
def test_an_answer_whose_variate_has_another_size_is_left_out(
    tmp_path: Path, change: Callable[[UpdateAnswer, bytes], bytes]
) -> None:
    federation, name = launched(tmp_path, 2, scaffold=True, public_weight=1.0, public_people=2)
    provider = federation.nodes[ALGO]
    federation.link.faults[ALGO] = lambda party, blob: [Reply(party, changed(provider, blob, change))]
    run_task(federation.coordinator, federation.link, name)
    rows = federation.coordinator.store.party_rounds(federation.coordinator.store.task(name).digest)
    told = {row.outcome for row in rows if row.party == ALGO and row.kind == "train"}
    assert told == {"invalid"}
    control = final(federation, name).memory.control
    assert control is not None
    assert control.counted == {CITY: 2, HILL: 2}


def changed(node: Node, blob: bytes, change: Callable[[UpdateAnswer, bytes], bytes]) -> bytes:
    header, payload = wire.read_answer(blob, node.identity.public_key, 1 << 20)
    if not isinstance(header, UpdateAnswer):
        return blob
    return wire.pack(header, change(header, bytes(payload)), node.identity)
