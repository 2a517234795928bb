"""Contracts that a node must not accept, from an honest or a lying coordinator, through `paceline node accept`."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation import cli
from federation.manifest import parse
from federation.signing import Identity, SignedManifest, sign_digest

TASK = """
name = "{name}"
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
ROLES = {"runners": "data-provider", "coaches": "trainer", "algo": "algorithm-provider"}
ALLOW = ("--purpose", "train-motion-models", "--workload", "running_pace", "--max-epsilon", "8", "--delta", "1e-5")
Edit = Callable[[dict[str, Any]], None]


def done(*words: str | Path) -> None:
    assert cli.run([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def cohort(office: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of three parties; two tasks, signed by both sides; runners allow them."""
    place, server = tmp_path_factory.mktemp("cohort"), ("--dir", office.path)
    for party, role in ROLES.items():
        with pytest.MonkeyPatch.context() as patch:
            lines: list[str] = []
            patch.setattr("builtins.print", lines.append)
            done("server", "invite", "--role", role, "--name", party, *server, "--json")
        done("node", "join", json.loads(lines[0])["token"], "--dir", place / party)
        done("consent", "show", "--dir", place / party)
    done("node", "allow", *ALLOW, "--dir", place / "runners")
    for name in ("spring", "autumn"):
        (place / f"{name}.toml").write_text(TASK.format(name=name))
        done("task", "new", place / f"{name}.toml", *server)
        done("task", "sign", name, *server)
        done("task", "sign", name, "--dir", place / "algo")
    (place / "draft.toml").write_text(TASK.format(name="draft"))
    done("task", "new", place / "draft.toml", *server)
    return place


@pytest.fixture
def lying(office: Any) -> Iterator[Callable[[Edit], None]]:
    """Let the coordinator change what it says about tasks."""

    def begin(edit: Edit) -> None:
        def change(path: str, answer: Any) -> Any:
            if path.startswith("/paceline/v1/tasks/"):
                edit(answer)
            return answer

        office.lies.change = change

    yield begin
    office.lies.change = None


def flipped(answer: dict[str, Any]) -> None:
    answer["signed"]["manifest"]["round_deadline_s"] += 1


def unsigned(answer: dict[str, Any]) -> None:
    answer["signed"]["signatures"] = []


def by_the_coordinator_alone(answer: dict[str, Any]) -> None:
    signatures = answer["signed"]["signatures"]
    answer["signed"]["signatures"] = [item for item in signatures if item["signer"] == "coordinator"]


def by_a_stranger(answer: dict[str, Any]) -> None:
    manifest = parse(json.dumps(answer["signed"]["manifest"]))
    stranger, at = Identity.create(), datetime.now(UTC)
    forged = sign_digest(stranger, manifest.digest(), "coordinator", "", at).model_dump(mode="json")
    answer["signed"]["signatures"] = [forged, *answer["signed"]["signatures"][1:]]


def with_a_wrong_signature(answer: dict[str, Any]) -> None:
    for item in answer["signed"]["signatures"]:
        item["signature"] = "0" * 128


def cheaper_than_it_is(answer: dict[str, Any]) -> None:
    answer["signed"]["manifest"]["privacy"]["noise_multiplier"] = 0.5


def with_a_stranger_in_the_list(answer: dict[str, Any]) -> None:
    answer["members"]["membership"]["members"][0]["fingerprint"] = "0" * 64


def without_sense(answer: dict[str, Any]) -> None:
    answer["signed"] = {"manifest": 3}


LIES: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "flipped": (flipped, ("signature",)),
    "unsigned": (unsigned, ("not signed by its coordinator",)),
    "half signed": (by_the_coordinator_alone, ("not signed by its algorithm-provider",)),
    "wrongly signed": (with_a_wrong_signature, ("signature",)),
    "signed by a stranger": (by_a_stranger, ("coordinator",)),
    "contradicting": (cheaper_than_it_is, ("what the coordinator sent as task spring is none",)),
    "a forged list of members": (with_a_stranger_in_the_list, ("signature",)),
    "without sense": (without_sense, ("what the coordinator sent as task spring is none", "same version")),
}


@pytest.mark.parametrize("case", LIES)
def test_a_contract_that_does_not_hold_is_not_accepted(
    office: Any, cohort: Path, lying: Callable[[Edit], None], refused: Callable[..., str], case: str
) -> None:
    edit, says = LIES[case]
    lying(edit)
    runners = cohort / "runners"
    refused("node", "accept", "spring", "--dir", runners, says=says, folders=(runners, office.path))


def issued(office: Any, cohort: Path, shift: timedelta) -> Edit:
    """The genuine contract with both genuine signatures, issued at another time."""

    def edit(answer: dict[str, Any]) -> None:
        manifest = parse(json.dumps(answer["signed"]["manifest"]))
        times = {"issued_at": manifest.issued_at + shift, "expires_at": manifest.expires_at + shift}
        moved = manifest.model_copy(update=times)
        keys = Identity.load(office.path / "identity.key"), Identity.load(cohort / "algo" / "identity.key")
        signatures = (
            sign_digest(keys[0], moved.digest(), "coordinator", "", moved.issued_at),
            sign_digest(keys[1], moved.digest(), "algorithm-provider", moved.cohort[2].party, moved.issued_at),
        )
        answer["signed"] = SignedManifest(manifest=moved, signatures=signatures).model_dump(mode="json")

    return edit


@pytest.mark.parametrize(("days", "says"), [(-300, "expired"), (300, "in the future")])
def test_a_contract_of_another_time_is_not_accepted(
    office: Any, cohort: Path, lying: Callable[[Edit], None], refused: Callable[..., str], days: int, says: str
) -> None:
    lying(issued(office, cohort, timedelta(days=days)))
    runners = cohort / "runners"
    refused("node", "accept", "spring", "--dir", runners, says=(says,), folders=(runners, office.path))


@pytest.mark.parametrize("words", [("node", "accept"), ("node", "review"), ("task", "sign")])
def test_another_genuine_contract_under_the_asked_name_is_a_replay(
    office: Any,
    cohort: Path,
    lying: Callable[[Edit], None],
    refused: Callable[..., str],
    paceline: Callable[..., Any],
    words: tuple[str, str],
) -> None:
    answers: list[dict[str, Any]] = []
    lying(lambda answer: answers.append(dict(answer)))
    party = cohort / ("algo" if words[0] == "task" else "runners")
    paceline("node", "review", "autumn", "--dir", party)
    lying(lambda answer: answer.update(answers[0]))
    says = ("asked for task spring", "sent autumn", "it was not accepted. Ask the coordinator")
    refused(*words, "spring", "--dir", party, says=says, folders=(party, office.path))


def test_an_old_list_of_members_is_a_replay(
    office: Any,
    cohort: Path,
    lying: Callable[[Edit], None],
    refused: Callable[..., str],
    paceline: Callable[..., Any],
) -> None:
    answers: list[dict[str, Any]] = []
    lying(lambda answer: answers.append(dict(answer)))
    coaches = cohort / "coaches"
    done("node", "allow", *ALLOW, "--dir", coaches)
    paceline("node", "review", "spring", "--dir", coaches)
    done("server", "invite", "--role", "trainer", "--name", "newcomer", "--dir", office.path)
    newcomer = paceline(
        *("server", "invite", "--role", "trainer", "--name", "late", "--dir", office.path, "--json")
    ).json["token"]
    done("node", "join", newcomer, "--dir", cohort / "late")
    done("node", "accept", "autumn", "--dir", coaches)
    lying(lambda answer: answer.update(members=answers[0]["members"]))
    refused("node", "accept", "spring", "--dir", coaches, says=("replays an old list",), folders=(coaches,))


MISTAKES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "a misspelled task": ("runners", ("node", "accept", "sprng"), ("there is no task 'sprng'", "paceline node tasks")),
    "a name that no task can have": (
        "runners",
        ("node", "review", "../x y"),
        ("no task can be called '../x y'", "paceline node tasks"),
    ),
    "accepting before allowing": (
        "algo",
        ("node", "accept", "spring"),
        ("task spring trains running_pace; this node allows none", "paceline node allow --workload running_pace"),
    ),
    "accepting a draft": ("runners", ("node", "accept", "draft"), ("not signed", "draft")),
    "a role that may not sign": (
        "runners",
        ("task", "sign", "spring"),
        ("a data-provider may not take the step sign-workload", "these roles may: algorithm-provider"),
    ),
    "a model before it exists": (
        "runners",
        ("node", "fetch", "spring"),
        ("the coordinator refused", "there is no released model yet"),
    ),
    "a folder that is no node": ("", ("node", "accept", "spring"), ("not a node's folder", "node join TOKEN")),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_about_contracts_is_told(office: Any, cohort: Path, refused: Callable[..., str], case: str) -> None:
    party, words, says = MISTAKES[case]
    code = 2 if not party or "../x y" in words else 1
    place = cohort / party
    refused(*words, "--dir", place, says=says, folders=(cohort, office.path), code=code)


def test_a_clock_ten_minutes_off_is_told_by_the_check_and_stops_accepting(
    office: Any, cohort: Path, refused: Callable[..., str]
) -> None:
    runners = cohort / "runners"
    office.clock.ahead = timedelta(minutes=10)
    try:
        says = ("clock: this machine's clock is 600 s behind the coordinator's", "time synchronisation (NTP)")
        refused("node", "check", "--dir", runners, says=says, folders=(runners, office.path))
        says = ("the coordinator refused", "Set the clock of this machine")
        refused("node", "accept", "spring", "--dir", runners, says=says, folders=(runners, office.path))
    finally:
        office.clock.ahead = timedelta(0)
