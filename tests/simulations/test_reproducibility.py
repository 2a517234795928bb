"""Equal scenarios and seeds give equal bits: in another process, whatever ran before, however often it is judged."""

import json
import subprocess
import sys
from typing import Any

from simulations import engine
from simulations.scenario import read_words

PERSON = {
    "unit": "person",
    "sampling_rate": 0.5,
    "clip": 1.0,
    "rows_per_person": 4,
    "delta": 1e-3,
    "epsilon": 8.0,
    "max_attempts": 8,
}
SMALL: dict[str, Any] = {
    "name": "small",
    "title": "A small scenario",
    "workload": "running_pace",
    "rounds": 2,
    "evaluate_every": 2,
    "data": {"people": 20, "rows_per_person": 4, "quantity_skew": 0.5},
    "parties": {"count": 2},
    "training": {"learning_rate": 0.1, "local_steps": 2},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "person": {"privacy": PERSON},
    "faults": {"privacy": PERSON, "faults": {"drop": 0.2, "corrupt": 0.2, "byzantine": 0.5}},
    "codecs": {"exchange": {"up": "int8_block", "down": "raw16"}},
    "few bits": {"exchange": {"up": "urq", "up_bits": 0.5, "down": "raw16"}},
    "liars with few bits": {"exchange": {"up": "urq", "up_bits": 0.5}, "faults": {"byzantine": 0.5}},
}
ALONE = """
import json, sys
import torch
from simulations import engine
from simulations.scenario import read_words
torch.set_num_threads(1)
print(json.dumps([engine.run(read_words(words), 1, lambda _: None).weights_sha256 for words in json.load(sys.stdin)]))
"""


def weights(seed: int = 1, **changes: Any) -> str:
    return engine.run(read_words({**SMALL, **changes}), seed, lambda _: None).weights_sha256


def test_another_process_gives_the_same_bits_in_whatever_order_the_runs_are_made() -> None:
    here = [weights(**changes) for changes in VARIANTS.values()]
    asked = json.dumps([{**SMALL, **changes} for changes in reversed(VARIANTS.values())])
    there = subprocess.run([sys.executable, "-c", ALONE], input=asked, capture_output=True, text=True, check=True)
    assert list(reversed(json.loads(there.stdout))) == here
    assert len(set(here)) == len(here), "each variant changes something"


def test_how_often_the_model_is_judged_changes_nothing_about_it() -> None:
    assert weights(evaluate_every=1, privacy=PERSON) == weights(evaluate_every=2, privacy=PERSON)
