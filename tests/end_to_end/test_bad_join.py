"""Tokens, coordinators and folders that are not what they should be, through `paceline node join`."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.enrolment import decode_token, encode_token

CUT = "truncated or damaged"
ASK = "ask the coordinator for a new one"


@pytest.fixture
def token(office: Any, paceline: Callable[..., Any], request: pytest.FixtureRequest) -> str:
    """An invitation of its own for each test."""
    name = f"p{abs(hash(request.node.name)) % 10**12}"
    invited = paceline("server", "invite", "--role", "data-provider", "--name", name, "--dir", office.path, "--json")
    return str(invited.json["token"])


def edited(token: str, **changes: object) -> str:
    return encode_token(decode_token(token).model_copy(update=changes))


EDITS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "truncated": (lambda token: token[:-9], (CUT, "Copy the whole line again")),
    "a letter changed": (lambda token: token[:60] + ("A" if token[60] != "A" else "B") + token[61:], (CUT,)),
    "another line": (lambda _: "hello", ("not a join token", "Paste the whole line")),
    "empty": (lambda _: "", ("not a join token", "Paste the whole line")),
    "expired": (
        lambda token: edited(token, expires_at=datetime.now(UTC) - timedelta(hours=1)),
        ("the join token expired on", ASK),
    ),
    "another authority": (
        lambda token: edited(token, ca_sha256="0" * 64),
        ("has the authority", "the token expects 0000000000000000…", "ask the coordinator"),
    ),
    "another coordinator": (
        lambda token: edited(token, address="https://127.0.0.1:1"),
        ("127.0.0.1:1 cannot be reached", "Check address, network and firewall", "`paceline server up`"),
    ),
    "an unknown secret": (
        lambda token: edited(token, secret="ab" * 32),
        ("the coordinator refused: this join token is not known here", "Ask the coordinator for one"),
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_a_token_that_does_not_hold_leaves_nothing_and_is_not_spent(
    office: Any, token: str, refused: Callable[..., str], paceline: Callable[..., Any], tmp_path: Path, case: str
) -> None:
    change, says = EDITS[case]
    refused("node", "join", change(token), "--dir", tmp_path / "n", says=says, folders=(tmp_path, office.path))
    assert paceline("node", "join", token, "--dir", tmp_path / "n").code == 0


def test_another_identity_than_the_token_pins_leaves_nothing_at_the_node(
    token: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    says = ("shows a key with fingerprint", "the token expects 0000000000000000…", "Do not go on")
    wrong = edited(token, coordinator="0" * 64)
    refused("node", "join", wrong, "--dir", tmp_path / "n", says=says, folders=(tmp_path,))


def test_a_used_token_is_told(
    office: Any, token: str, refused: Callable[..., str], paceline: Callable[..., Any], tmp_path: Path
) -> None:
    assert paceline("node", "join", token, "--dir", tmp_path / "a").code == 0
    says = ("was used on", "each token works once")
    refused("node", "join", token, "--dir", tmp_path / "b", says=says, folders=(tmp_path, office.path))


def test_a_token_that_expired_at_the_coordinator_is_told(
    office: Any, token: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    longer = edited(token, expires_at=datetime.now(UTC) + timedelta(days=300))
    office.clock.ahead = timedelta(days=80)
    try:
        says = ("the coordinator refused", "expired on", "Ask the coordinator for a new one")
        refused("node", "join", longer, "--dir", tmp_path / "n", says=says, folders=(tmp_path, office.path))
    finally:
        office.clock.ahead = timedelta(0)


def test_joining_into_a_folder_in_use_is_refused_before_the_token_is_spent(
    office: Any, token: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    says = ("exists and is not empty", "name a new folder with --dir")
    refused("node", "join", token, "--dir", tmp_path, says=says, folders=(tmp_path, office.path))


def test_an_invitation_that_cannot_be_is_told(office: Any, refused: Callable[..., str]) -> None:
    invite = ("server", "invite", "--dir", office.path)
    refused(*invite, "--role", "boss", "--name", "x", says=("data-provider",), folders=(office.path,), code=2)
    hours = ("--role", "trainer", "--name", "x", "--valid-hours", "-1")
    refused(*invite, *hours, says=("--valid-hours -1 cannot be", "more than 0"), folders=(office.path,), code=2)
    name = ("--role", "trainer", "--name", "!!!")
    refused(*invite, *name, says=("cannot be a party's id", "--party"), folders=(office.path,), code=2)


def interrupting(path: str) -> Callable[[str, Any], Any]:
    """Somebody presses Ctrl-C while the coordinator answers at `path`."""

    def press(asked: str, answer: Any) -> Any:
        if asked.endswith(path):
            os.kill(os.getpid(), signal.SIGINT)
        return answer

    return press


def test_ctrl_c_before_the_token_is_used_leaves_nothing(
    office: Any, token: str, refused: Callable[..., str], paceline: Callable[..., Any], tmp_path: Path
) -> None:
    office.lies.heard = interrupting("/ca.pem")
    try:
        join = ("node", "join", token, "--dir", tmp_path / "n")
        refused(*join, says=(), folders=(tmp_path, office.path), code=130)
    finally:
        office.lies.heard = None
    assert paceline("node", "join", token, "--dir", tmp_path / "n").code == 0


def test_ctrl_c_once_the_token_is_used_waits_until_the_node_is_whole(
    office: Any, token: str, paceline: Callable[..., Any], tmp_path: Path
) -> None:
    office.lies.change = interrupting("/join")
    try:
        assert paceline("node", "join", token, "--dir", tmp_path / "n").code == 130
    finally:
        office.lies.change = None
    assert paceline("node", "tasks", "--dir", tmp_path / "n").code == 0
