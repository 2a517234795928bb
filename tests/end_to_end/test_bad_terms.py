"""Contracts that contradict themselves, through `paceline task new`; launches that come too early."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from federation import cli

ROLES = {"runners": "data-provider", "coaches": "trainer", "algo": "algorithm-provider"}
TASK = """
name = "pace"
title = "Running pace"
workload = "running_pace"
purpose = "train-motion-models"
rounds = 3
[privacy]
sampling_rate = 0.1
clip = 1.0
rows_per_person = 4
delta = 1e-5
noise_multiplier = 2.0
[training]
learning_rate = 0.1
public_weight = 1.0
[exchange]
min_parties = 2
[[cohort]]
party = "runners"
people = 900
[[cohort]]
party = "coaches"
people = 300
[[cohort]]
party = "algo"
"""
SIGMA, RATE, CLIP = "noise_multiplier = 2.0", "sampling_rate = 0.1", "clip = 1.0"
TERMS = [
    (SIGMA, "noise_multiplier = 0.0", "noise_multiplier: expected a number of at least 0.1; found 0.0"),
    (SIGMA, "noise_multiplier = -2.0", "noise_multiplier: expected a number of at least 0.1; found -2.0"),
    (SIGMA, "noise_multiplier = nan", "noise_multiplier: expected a finite number"),
    (SIGMA, "noise_multiplier = inf", "noise_multiplier: expected a finite number"),
    (SIGMA, "noise_multiplier = 2.0\nepsilon = 0.01", "contradicts the other terms, which cost ε = "),
    (SIGMA, "", "privacy terms need epsilon or noise_multiplier"),
    (SIGMA, "epsilon = 1e-9", "noise_multiplier: expected a number of at most 1,000"),
    (RATE, "sampling_rate = 1.5", "sampling_rate: expected a number of at most 1; found 1.5"),
    (RATE, "sampling_rate = nan", "sampling_rate: expected a finite number; found nan"),
    (RATE, "sampling_rte = 0.1", "sampling_rte"),
    (CLIP, "clip = inf", "clip: expected a finite number; found inf"),
    (CLIP, "clip = 0", "clip: expected a number above 0; found 0"),
    ("rounds = 3", "rounds = 1_000_000_000", "rounds: expected a number of at most 100,000"),
    ("delta = 1e-5", "delta = 1.0", "delta: expected a number below 0.1; found 1.0"),
    (
        "rows_per_person = 4",
        "rows_per_person = 4\nmax_attempts = 2",
        "3 rounds need at least as many attempts, not 2",
    ),
    ("min_parties = 2", "min_parties = 9", "min_parties = 9 but only"),
    (
        'purpose = "train-motion-models"',
        'purpose = "marketing"',
        "purpose: 'marketing' is none of 'train-motion-models'",
    ),
    ('workload = "running_pace"', 'workload = "runing_pace"', "not installed here"),
    ('party = "coaches"', 'party = "caoches"', "caoches"),
    ('party = "algo"', 'party = "algo"\npeople = 5', "which has no people, but declares 5"),
    ("[privacy]", "[prvacy]", "a [privacy] table is missing"),
    ("rounds = 3", "rounds == 3", "is no TOML"),
]


@pytest.fixture(scope="module")
def server(office: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coordinator with one party of each kind and one task that both sides signed."""
    place = tmp_path_factory.mktemp("cohort")
    for party, role in ROLES.items():
        with pytest.MonkeyPatch.context() as patch:
            lines: list[str] = []
            patch.setattr("builtins.print", lines.append)
            done("server", "invite", "--role", role, "--name", party, "--dir", office.path, "--json")
        done("node", "join", json.loads(lines[0])["token"], "--dir", place / party)
    (place / "signed.toml").write_text(TASK.replace('"pace"', '"signed"'))
    done("task", "new", place / "signed.toml", "--dir", office.path)
    done("task", "sign", "signed", "--dir", office.path)
    done("task", "sign", "signed", "--dir", place / "algo")
    return Path(office.path)


def done(*words: str | Path) -> None:
    assert cli.run([str(word) for word in words]) == 0


@pytest.mark.parametrize(("right", "wrong", "says"), TERMS)
def test_terms_that_cannot_be_make_no_contract(
    server: Path, tmp_path: Path, refused: Callable[..., str], right: str, wrong: str, says: str
) -> None:
    file = tmp_path / "task.toml"
    file.write_text(TASK.replace(right, wrong, 1))
    code = 2 if "no TOML" in says else 1
    refused("task", "new", file, "--dir", server, says=(says, "task.toml"), folders=(server,), code=code)


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (("task", "new", "none.toml"), ("none.toml cannot be read",), 2),
        (("task", "launch", "signed"), ("task signed needs 2 contributing parties, 0 have accepted it", "runners"), 1),
        (("task", "launch", "sgned"), ("there is no task 'sgned' here", "paceline task list"), 1),
        (("task", "resume", "signed"), ("was never launched", "paceline task launch signed"), 2),
        (("task", "stop", "signed"), ("not running; there is nothing to stop",), 2),
        (("release", "export", "signed"), ("has no release yet", "paceline task status signed"), 2),
        (("server", "revoke", "runers"), ("runers",), 1),
    ],
)
def test_what_comes_too_early_or_is_misspelt_is_told(
    server: Path, refused: Callable[..., str], words: tuple[str, ...], says: tuple[str, ...], code: int
) -> None:
    refused(*words, "--dir", server, says=says, folders=(server,), code=code)


def test_a_contract_is_not_written_twice_under_one_name(
    server: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "task.toml").write_text(TASK.replace('"pace"', '"signed"'))
    refused("task", "new", tmp_path / "task.toml", "--dir", server, says=("signed",), folders=(server,))


def test_a_locked_database_invites_nobody(server: Path, refused: Callable[..., str]) -> None:
    with closing(sqlite3.connect(server / "coordinator.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        words = ("server", "invite", "--role", "trainer", "--name", "late", "--dir", server)
        refused(*words, says=("locked", "again"), folders=(server,))
        other.execute("ROLLBACK")
