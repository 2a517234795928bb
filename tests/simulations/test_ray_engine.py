"""Engine ray gives what engine inline gives: the same people are drawn, and the weights agree."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from federation.errors import UsageError
from server.coordinator import from_bytes
from simulations import engine, ray_cluster
from simulations.outcome import Outcome
from simulations.scenario import read_words

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")

SMALL: dict[str, Any] = {
    "name": "small",
    "title": "A small scenario",
    "workload": "running_pace",
    "engine": "ray",
    "rounds": 3,
    "data": {"people": 40, "rows_per_person": 2, "quantity_skew": 0.5},
    "parties": {"count": 3},
    "privacy": {
        "unit": "person",
        "sampling_rate": 0.5,
        "clip": 1.0,
        "rows_per_person": 2,
        "delta": 1e-3,
        "epsilon": 8.0,
        "max_attempts": 6,
    },
    "training": {"learning_rate": 0.1},
    "faults": {"drop": 0.5},
    "ray": {"cpus": 2, "object_store_mb": 256},
}

PLAIN: dict[str, Any] = {"privacy": {"unit": "none"}, "exchange": {"up": "raw32", "down": "raw32"}}
KINDS: dict[str, dict[str, Any]] = {
    "private, FedAdam, FedProx": {"training": {"learning_rate": 0.1, "server_optimizer": "adam", "proximal": 0.1}},
    "SCAFFOLD": PLAIN | {"training": {"learning_rate": 0.1, "local_epochs": 2, "scaffold": True}},
    "two phases, FedYogi": PLAIN
    | {
        "workload": "motion_gan",
        "data": {"people": 8, "rows_per_person": 4},
        "parties": {"count": 2},
        "training": {
            "phases": ["discriminator", "generator"],
            "learning_rate": 0.1,
            "server_optimizer": "yogi",
            "public_people": 8,
        },
        "faults": {},
        "rounds": 4,
    },
}

Play = Callable[[engine.Stage, Path, engine.Watch], Outcome]


def played(play: Play, path: Path, words: dict[str, Any]) -> tuple[Outcome, dict[str, torch.Tensor]]:
    """A run, and the weights that it ended with."""
    path.mkdir()
    stage = engine.prepare(path, read_words(words), 1)
    outcome = play(stage, path, lambda _: None)
    store = stage.federation.coordinator.store
    latest = store.latest_model(store.task(stage.task).digest)
    assert latest is not None
    return outcome, from_bytes(latest.round, latest.data).weights


@needs_ray
@pytest.mark.processes
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scenario_gives_the_same_weights_on_ray_and_in_line(kind: str, tmp_path: Path) -> None:
    from simulations import ray_engine

    words = SMALL | KINDS[kind]
    inline, expected = played(engine.play_inline, tmp_path / "inline", words)
    outcome, weights = played(ray_engine.play, tmp_path / "ray", words)
    assert {name: tensor.shape for name, tensor in weights.items()} == {n: t.shape for n, t in expected.items()}
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=0)
    facts = [
        [(one.answered, one.attempts, one.bytes_up, one.epsilon) for one in run.rounds] for run in (outcome, inline)
    ]
    assert facts[0] == facts[1]
    if words["faults"]:
        assert min(one.answered for one in inline.rounds) < 3, "some answers were to be lost"


def test_without_ray_a_scenario_for_it_is_refused_before_anything_is_founded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engine, "prepare", lambda *_: pytest.fail("nothing may be founded"))
    with pytest.raises(UsageError, match=r"pip install 'paceline\[ray\]'"):
        engine.run(read_words(SMALL), 1, lambda _: None)
