"""The server's step: FedAvg, FedAdam, FedYogi as in Reddi et al. 2021, and a memory that survives a kill."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from clients.policy import Policy
from federation.consent import Purpose
from federation.errors import StoreError
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.roles import Role
from federation.terms import TrainingTerms
from federation.workloads import find
from server.coordinator import open_coordinator
from server.memory import Memory, from_bytes, to_bytes
from server.optimisers import BLOCK, Moments, move, recall, remember, step
from server.rounds import run_task
from server.scaffold import Control
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

NUMBERS = st.floats(-10, 10, allow_subnormal=False)
UPDATES = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6)
SIZES = {"body": 2, "head": 1}


def terms(optimizer: str, **changes: float) -> TrainingTerms:
    return TrainingTerms.model_validate({"learning_rate": 0.1, "server_optimizer": optimizer} | changes)


def run(updates: list[tuple[float, float, float]], training: TrainingTerms) -> tuple[np.ndarray, Moments | None]:
    vector, memory = np.array([1.0, -2.0, 0.5]), {}
    for update in updates:
        vector, moments = step(vector, np.array(update), recall(memory, SIZES, training), training)
        memory = dict(remember(memory, SIZES, moments))
    return vector, recall(memory, SIZES, training)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "yogi"])
def test_a_step_block_after_block_is_the_whole_step(optimizer: str) -> None:
    random, size, training = np.random.default_rng(1), BLOCK + 3, terms(optimizer)
    model, total = random.standard_normal(size).astype(np.float32), random.standard_normal(size)
    before = recall({}, {"w": size}, training)
    moved = model.copy()
    after = move(moved, total, 7.0, before, training)
    whole, moments = step(model.astype(np.float64), total / 7.0, before, training)
    np.testing.assert_array_equal(moved, whole.astype(np.float32))
    assert (after is None) == (moments is None)
    if after and moments:
        np.testing.assert_array_equal(after.first, moments.first)
        np.testing.assert_array_equal(after.second, moments.second)


@given(UPDATES, st.floats(0.01, 2))
def test_sgd_adds_the_mean_update_times_the_rate_and_remembers_nothing(updates: list, rate: float) -> None:
    vector, moments = run(updates, terms("sgd", server_learning_rate=rate))
    assert moments is None
    assert vector == pytest.approx([1, -2, 0.5] + rate * np.sum(updates, axis=0))


@given(UPDATES, st.sampled_from(["adam", "yogi"]), st.floats(0, 0.99), st.floats(0, 0.999), st.floats(1e-4, 1))
def test_adam_and_yogi_are_the_papers_algorithm_coordinate_by_coordinate(
    updates: list, optimizer: str, beta1: float, beta2: float, tau: float
) -> None:
    """Algorithm 2 once more, in plain numbers."""
    vector, _ = run(updates, terms(optimizer, server_beta1=beta1, server_beta2=beta2, server_tau=tau))
    for place, start in enumerate([1.0, -2.0, 0.5]):
        x, m, v = start, 0.0, tau**2
        for delta in (update[place] for update in updates):
            m = beta1 * m + (1 - beta1) * delta
            if optimizer == "adam":
                v = beta2 * v + (1 - beta2) * delta**2
            else:
                v -= (1 - beta2) * delta**2 * math.copysign(1, v - delta**2) * (v != delta**2)
            x += m / (math.sqrt(v) + tau)
        assert vector[place] == pytest.approx(x, rel=1e-9, abs=1e-9)


@given(UPDATES)
def test_yogi_forgets_large_updates_more_slowly_than_adam(updates: list) -> None:
    loud = [(100.0, 100.0, 100.0), *updates]
    _, adam = run(loud, terms("adam", server_beta2=0.5))
    _, yogi = run(loud, terms("yogi", server_beta2=0.5))
    assert adam is not None
    assert yogi is not None
    assert (yogi.second >= adam.second - 1e-9).all()


def test_weights_that_a_round_does_not_train_keep_their_moments() -> None:
    training = terms("adam")
    both = remember({}, SIZES, Moments(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])))
    later = remember(both, {"head": 1}, Moments(np.array([7.0]), np.array([8.0])))
    found = recall(later, SIZES, training)
    assert found is not None
    assert (found.first.tolist(), found.second.tolist()) == ([1, 2, 7], [4, 5, 8])
    new = recall(later, {"new": 2}, training)
    assert new is not None
    assert new.second.tolist() == [training.server_tau**2] * 2


@given(st.lists(st.floats(allow_nan=False), min_size=3, max_size=3))
def test_the_memory_comes_back_bit_by_bit(values: list[float]) -> None:
    moments = remember({}, SIZES, Moments(np.array(values), np.array(values[::-1])))
    back = from_bytes(to_bytes(Memory(moments, Control(np.array(values), {PartyId("city"): 3, PartyId("hill"): 2}))))
    assert back.moments.keys() == moments.keys()
    for name, kept in moments.items():
        assert back.moments[name].first.tobytes() == kept.first.tobytes()
        assert back.moments[name].second.tobytes() == kept.second.tobytes()
    assert back.control is not None
    assert back.control.vector.tobytes() == np.array(values).tobytes()
    assert back.control.counted == {"city": 3, "hill": 2}
    assert from_bytes(to_bytes(Memory())) == Memory()


@pytest.mark.parametrize("data", [b"x", b"\xff" * 40])
def test_bytes_that_are_no_memory_are_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(StoreError, match="between rounds is damaged"):
        from_bytes(data)


class Killed(BaseException):
    """The process ends here."""


class DiesAtQuestion:
    """A link whose process is killed when question number `fatal` is asked."""

    def __init__(self, inner: Link, fatal: int) -> None:
        self.inner, self.left = inner, fatal

    def reachable(self) -> frozenset:
        return self.inner.reachable()

    def ask(self, requests: Mapping, deadline_s: float) -> Iterator[Reply]:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.inner.ask(requests, deadline_s)


POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=("running_pace",),
    max_epsilon=1.0,
    delta=1e-3,
    max_epsilon_per_task=1.0,
    min_parties=2,
    min_people=1,
    allow_unprotected=("plain",),
)
PARTIES = {PartyId("city"): Role.DATA_PROVIDER, PartyId("hill"): Role.DATA_PROVIDER}
ALGO = PartyId("algo-works")


def launched(path: Path, training: dict[str, object]) -> tuple[Federation, str]:
    """Two parties whose rows and randomness are the same each time, and a task of six rounds."""
    pace = find("running_pace")
    cast = [Cast(party, role, pace.invent(place, 5, 2)) for place, (party, role) in enumerate(PARTIES.items())]
    joined = gather(path, "running_pace", [*cast, Cast(ALGO, Role.ALGORITHM_PROVIDER)], POLICY, SeededSource(1))
    task = {
        "name": "plain",
        "title": "A test",
        "workload": "running_pace",
        "purpose": "train-motion-models",
        "rounds": 6,
        "privacy": {"unit": "none"},
        "training": {"learning_rate": 0.05, "server_learning_rate": 0.1, **training},
        "exchange": {"min_parties": 2},
        "cohort": [*({"party": party, "people": 5} for party in PARTIES), {"party": ALGO}],
    }
    (path / "task.toml").write_text(tomli_w.dumps(task), "utf-8")
    return joined, agree(joined, path / "task.toml")


WAYS = [{"server_optimizer": "yogi"}, {"scaffold": True, "server_optimizer": "adam"}]


@pytest.mark.parametrize("training", WAYS, ids=["yogi", "scaffold and adam"])
def test_killed_between_rounds_a_task_goes_on_bit_by_bit(tmp_path: Path, training: dict[str, object]) -> None:
    """Six rounds straight; and three, a kill, and three by a new coordinator from the folder: the same weights."""
    straight, name = launched(tmp_path / "straight", training)
    run_task(straight.coordinator, straight.link, name)
    parted, _ = launched(tmp_path / "parted", training)
    with pytest.raises(Killed):
        run_task(parted.coordinator, DiesAtQuestion(parted.link, 4), name)
    parted.coordinator.store.close()
    again = open_coordinator(parted.coordinator.folder.path)
    assert [row.round for row in again.store.rounds(again.store.task(name).digest)] == [0, 1, 2, 3]
    run_task(again, parted.link, name)
    models = [
        [row.model for row in one.store.rounds(one.store.task(name).digest)] for one in (straight.coordinator, again)
    ]
    assert len(set(models[0])) == 7
    assert models[0] == models[1]
