"""What stands for a person in a recommender is in no byte that leaves the node, nor in any file that stays there."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tomli_w
import torch

from clients import consent
from clients.policy import Policy
from clients.review import _reads
from clients.rounds import answer
from federation import wire
from federation.consent import ConsentState, Purpose
from federation.ids import PartyId, PersonNumber
from federation.roles import Role
from federation.schema import Rows
from federation.workload import unflatten
from federation.workloads import session_recommendation as sessions
from server.rounds import run_task
from simulations.loopback import Loopback
from simulations.parties import Cast, Federation, agree, gather, grant, numbers
from simulations.seeded import SeededSource

GYM, CLUB, ALGO = PartyId("gym"), PartyId("club"), PartyId("algo-works")
PEOPLE = {GYM: 5, CLUB: 4}
ROUNDS = 2
SIZE = sum(tensor.numel() for tensor in sessions.initial(0).values())
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=("session_recommendation",),
    max_epsilon=20.0,
    max_epsilon_per_task=20.0,
    delta=1e-3,
    min_parties=2,
    min_people=1,
)
TASK = {
    "name": "sessions",
    "title": "A test",
    "workload": "session_recommendation",
    "purpose": "train-motion-models",
    "rounds": ROUNDS,
    "privacy": {
        "unit": "person",
        "sampling_rate": 1.0,
        "epsilon": 8.0,
        "clip": 1.0,
        "rows_per_person": 1,
        "delta": 1e-3,
    },
    "training": {"learning_rate": 1.0},
    "exchange": {"min_parties": 2},
    "cohort": [{"party": party, "people": count} for party, count in PEOPLE.items()] + [{"party": ALGO}],
}
RUN = 3
"""Consecutive values that count as a find: 12 bytes in float32 do not come about by chance, 6 in float16 hardly."""


@dataclass
class Overheard:
    """Everything that passed the link, and the models that were sent down."""

    asked: list[bytes] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)


def encodings(values: npt.NDArray[np.float32]) -> Iterator[bytes]:
    """A run of numbers as it might be written down: four kinds of floats, both byte orders, text."""
    for kind in ("<f4", ">f4", "<f8", "<f2"):
        yield values.astype(kind).tobytes()
    yield ",".join(f"{value:.4f}" for value in values.tolist()).encode()


def found(vector: torch.Tensor, blob: bytes) -> bool:
    """Whether five consecutive values of the vector stand in the blob: they hold a whole run."""
    values = vector.detach().numpy().astype(np.float32)
    runs = np.lib.stride_tricks.sliding_window_view(values, RUN)[::RUN]
    return any(one in blob for run in runs if np.unique(run).size == RUN for one in encodings(run))


def histories(marks: torch.Tensor) -> Iterator[bytes]:
    """A person's marks as bits, bytes, floats or names of items."""
    ones = marks.numpy() > 0
    yield np.packbits(ones).tobytes()
    yield np.packbits(ones, bitorder="little").tobytes()
    yield ones.tobytes()
    yield marks.numpy().astype("<f4").tobytes()
    places = np.flatnonzero(ones)[:6]
    if len(places) < 6:  # fewer come about by chance
        return
    for kind in ("<i8", "<i4", "<i2"):
        yield places.astype(kind).tobytes()
    yield ",".join(np.array(sessions.SCHEMA.target.classes)[places].tolist()).encode()


def own_rows(seed: int, count: int) -> Rows:
    return sessions.invent(seed, count, 1)


def vectors(weights: dict[str, torch.Tensor], rows: Rows) -> Iterator[torch.Tensor]:
    """Everybody's vector as training (two halves) and scoring derive it, and from all they did."""
    factors, bias = sessions.embeddings(weights)
    own = rows.fields["x"] + rows.fields["y"]
    for seen in (rows.fields["x"], own):
        yield from sessions.person(factors, bias, seen)


@pytest.fixture
def gym_and_club(tmp_path: Path) -> Federation:
    cast = (
        Cast(GYM, Role.SERVICE_PROVIDER, own_rows(1, PEOPLE[GYM])),
        Cast(CLUB, Role.DATA_PROVIDER, own_rows(2, PEOPLE[CLUB])),
        Cast(ALGO, Role.ALGORITHM_PROVIDER),
    )
    return gather(tmp_path, "session_recommendation", cast, POLICY, SeededSource(1))


def agreed(federation: Federation, tmp_path: Path) -> str:
    path = tmp_path / "task.toml"
    path.write_text(tomli_w.dumps(TASK), "utf-8")
    return agree(federation, path)


def overhear(federation: Federation, tmp_path: Path) -> tuple[Overheard, list[dict[str, torch.Tensor]]]:
    """Run the task; what passed the link, and the weights of every round."""
    heard = Overheard()

    def listened(node, blob):
        heard.asked.append(blob)
        heard.answered.append(answer(node, blob))
        return heard.answered[-1]

    run_task(federation.coordinator, Loopback(federation.nodes, listened), agreed(federation, tmp_path))
    models, node = [], federation.nodes[GYM]
    for blob in heard.asked:
        _, payload = wire.read_request(blob, node.pinned.coordinator_key, 1 << 24)
        if payload:
            like = sessions.initial(0)
            models.append(unflatten(np.frombuffer(payload[-4 * SIZE :], "<f4").copy(), like, sorted(like)))
    return heard, models


def test_no_vector_and_no_history_is_in_any_byte_that_leaves_a_node(gym_and_club: Federation, tmp_path: Path) -> None:
    heard, models = overhear(gym_and_club, tmp_path)
    assert len(models) == 2 * ROUNDS
    assert len(heard.answered) == 2 * ROUNDS + 1
    everything = b"\0".join(heard.answered + heard.asked)
    for seed, party in enumerate(PEOPLE, start=1):
        rows = own_rows(seed, PEOPLE[party])
        assert not any(found(vector, everything) for model in models for vector in vectors(model, rows))
        for marks in torch.cat([rows.fields["x"], rows.fields["y"], rows.fields["x"] + rows.fields["y"]]):
            assert not any(one in everything for one in histories(marks))


def test_no_vector_is_kept_at_the_node_after_the_rounds_or_a_withdrawal(
    gym_and_club: Federation, tmp_path: Path
) -> None:
    _, models = overhear(gym_and_club, tmp_path)
    node = gym_and_club.nodes[GYM]
    person = PersonNumber(numbers(node, 1)[0])
    statement = replace(grant(node, person, Purpose.TRAIN_MOTION_MODELS), state=ConsentState.WITHDRAWN)
    consent.record_all(node.store, [statement])
    kept = b"\0".join(file.read_bytes() for file in sorted(node.folder.path.rglob("*")) if file.is_file())
    rows = own_rows(1, PEOPLE[GYM])
    assert rows.fields["x"][0].numpy().tobytes() in kept  # the search sees the rows, which are meant to be there
    assert not any(found(vector, kept) for model in models for vector in vectors(model, rows))


def test_whoever_reviews_the_contract_is_told_that_histories_are_read(gym_and_club: Federation, tmp_path: Path) -> None:
    manifest = gym_and_club.coordinator.store.task(agreed(gym_and_club, tmp_path)).manifest()
    told = _reads(manifest, Role.DATA_PROVIDER)
    assert told.startswith("which of 500 items (item) a person took up, in which order; only of people whose consent")


@pytest.mark.parametrize("kind", ["<f4", "<f8", "<f2"])
def test_the_search_finds_a_vector_that_is_there(kind: str) -> None:
    rows = own_rows(1, 1)
    vector = next(vectors(sessions.initial(0), rows))
    blob = b"begin" + vector.numpy().astype(kind).tobytes() + b"end"
    assert found(vector, blob)
    assert not found(vector + 1, blob)
    assert all(one in b"begin" + one for one in histories(rows.fields["x"][0]))
