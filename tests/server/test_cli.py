"""The operator's commands, as they are typed."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save

from federation import cli
from federation.enrolment import decode_token
from federation.errors import LinkError
from federation.signing import Identity
from server import release, superlink, supervisor
from server.app import revival
from server.app.lock import only_run
from server.settings import ServerFolder
from server.store import PartyRound, RoundRecord, TaskState

GROUPS = {
    "server": ["init", "up", "invite", "parties", "revoke", "status"],
    "task": ["new", "list", "show", "launch", "resume", "stop", "status", "watch"],
    "release": ["list", "show", "verify", "export"],
}
COMMANDS = [(group, command) for group, commands in GROUPS.items() for command in commands]


@dataclass
class Flower:
    """The network edge: what the coordinator asks of Flower."""

    up: bool = True
    started: list[str] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    runs: list[superlink.Run] = field(default_factory=list)
    error: LinkError | None = None

    def start(self, _folder: Any, task: str) -> int:
        if self.error:
            raise self.error
        self.started.append(task)
        return 2**63 + len(self.started)


@pytest.fixture
def flower(monkeypatch: pytest.MonkeyPatch) -> Flower:
    fake = Flower()
    monkeypatch.setattr(supervisor, "running", lambda _folder: 1 if fake.up else None)
    monkeypatch.setattr(superlink, "start_run", fake.start)
    monkeypatch.setattr(superlink, "stop_run", lambda _folder, run_id: fake.stopped.append(run_id))
    monkeypatch.setattr(superlink, "runs", lambda _folder: fake.runs)
    return fake


@pytest.fixture
def ready(joined: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An office whose task is signed and accepted now, in the folder that commands find."""
    office = joined
    monkeypatch.setenv("PACELINE_SERVER", str(office.folder.path))
    office.clock.now = datetime.now(UTC)
    task = office.new_task()
    office.sign(task)
    office.accept(task, "city-runners", "hill-runners")
    return office


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Type a command; what it printed as JSON, or the error's text."""

    def typed(*words: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert cli.run(list(words)) == code
        printed = capsys.readouterr()
        return json.loads(printed.out) if "--json" in words and code == 0 else (printed.out, printed.err)[code != 0]

    return typed


@pytest.mark.parametrize(("group", "command"), COMMANDS)
def test_every_command_has_help_with_an_example(run: Any, group: str, command: str) -> None:
    text = run(group, command, "--help")
    assert f"Example: paceline {group} {command}" in " ".join(text.split())
    assert "--json" in text


def test_a_second_invitation_says_that_the_first_works_no_longer(run: Any, tmp_path: Path, capsys: Any) -> None:
    where = ("--dir", str(tmp_path / "c"))
    run("server", "init", *where)
    capsys.readouterr()
    for earlier in ("", "coaches was invited before; the earlier token works no longer.\n"):
        assert cli.run(["server", "invite", *where, "--role", "trainer", "--name", "Coaches"]) == 0
        assert capsys.readouterr().err == earlier


def test_a_coordinator_is_made_and_invites(run: Any, tmp_path: Path) -> None:
    where = ["--dir", str(tmp_path / "c")]
    made = run("server", "init", *where, "--name", "Club", "--host", "fed.example.org", "--port", "9999", "--json")
    assert made["fingerprint"] == Identity.load(ServerFolder(tmp_path / "c").identity_key).fingerprint
    token = run("server", "invite", *where, "--role", "trainer", "--name", "Coaches")
    assert token.count("\n") == 1
    assert decode_token(token).address == "https://fed.example.org:9999"
    assert run("server", "parties", *where, "--json")[0]["state"] == "invited"
    assert "Coaches" in run("server", "parties", *where)
    assert run("server", "status", *where, "--json")["open_invitations"] == 1
    assert "is a coordinator's folder already" in run("server", "init", *where, code=2)


@pytest.mark.parametrize(
    "words", [["--port", "0"], ["--host", "a b"], ["--name", ""], ["--database", "nonsense"], ["--port", "x"]]
)
def test_settings_that_cannot_be_make_nothing(run: Any, tmp_path: Path, words: list[str]) -> None:
    code = 1 if "--database" in words else 2
    run("server", "init", "--dir", str(tmp_path / "c"), *words, code=code)
    assert not (tmp_path / "c" / "server.toml").exists()


def test_a_folder_that_is_none_is_wrong_usage(run: Any, tmp_path: Path) -> None:
    assert "no server.toml" in run("server", "status", "--dir", str(tmp_path), code=2)
    (tmp_path / "server.toml").write_text("port = 'x'")
    assert "port" in run("server", "status", "--dir", str(tmp_path), code=2)


def test_a_party_is_revoked(ready: Any, run: Any) -> None:
    assert run("server", "revoke", "coaches", "--json") == {"revoked": "coaches"}
    assert "was revoked already" in run("server", "revoke", "coaches", code=1)
    states = {item["party"]: item["state"] for item in run("server", "parties", "--json")}
    assert states["coaches"] == "revoked"


def test_a_task_is_written_shown_and_listed(ready: Any, run: Any) -> None:
    path = ready.folder.path / "task.toml"
    path.write_text(path.read_text().replace('name = "pace"', 'name = "pace-2"'))
    made = run("task", "new", str(path), "--json")
    assert made["privacy"]["max_attempts"] == 4
    assert [item["state"] for item in run("task", "list", "--json")] == ["signed", "draft"]
    shown = run("task", "show", "pace", "--json")
    assert (shown["signed"], shown["accepted"]) == (
        ["algorithm-provider", "coordinator"],
        ["city-runners", "hill-runners"],
    )
    assert "no task 'nope' here" in run("task", "show", "nope", code=1)


def test_the_coordinator_signs_through_the_common_command(ready: Any, run: Any) -> None:
    path = ready.folder.path / "task.toml"
    path.write_text(path.read_text().replace('name = "pace"', 'name = "pace-2"'))
    run("task", "new", str(path))
    assert run("task", "sign", "pace-2", "--dir", str(ready.folder.path), "--json")["signer"] == "coordinator"


def test_a_task_is_launched_once_stopped_and_resumed(ready: Any, run: Any, flower: Flower) -> None:
    assert run("task", "launch", "pace", "--json")["run_id"] == 2**63 + 1
    assert ready.store.task("pace").run_id == 2**63 + 1
    assert "running already" in run("task", "launch", "pace", code=2)
    run("task", "stop", "pace")
    assert flower.stopped == [2**63 + 1]
    assert ready.store.task("pace").state is TaskState.STOPPED
    assert "not running" in run("task", "stop", "pace", code=2)
    assert "paceline task resume pace" in run("task", "launch", "pace", code=2)
    run("task", "resume", "pace")
    assert flower.started == ["pace", "pace"]


def test_a_task_whose_process_died_is_resumed_but_a_living_one_is_not(ready: Any, run: Any, flower: Flower) -> None:
    run("task", "launch", "pace")
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    flower.runs = [
        superlink.Run(1, "pace", "running", "", "", long_ago),
        superlink.Run(2, "other", "running", "", "", long_ago),
    ]
    with only_run(ready.folder.path, "pace"):
        assert "running already" in run("task", "resume", "pace", code=2)
    run("task", "resume", "pace")
    assert flower.stopped == [1]
    assert flower.started == ["pace", "pace"]


def test_a_run_that_is_just_starting_is_left_alone(ready: Any, run: Any, flower: Flower) -> None:
    run("task", "launch", "pace")
    flower.runs = [superlink.Run(1, "pace", "starting", "", "", datetime.now(UTC))]
    assert "is starting already" in run("task", "resume", "pace", code=2)
    assert (flower.stopped, flower.started) == ([], ["pace"])


def test_a_task_without_a_process_is_revived_after_a_while(ready: Any, run: Any, flower: Flower) -> None:
    run("task", "launch", "pace")
    with only_run(ready.folder.path, "pace"):
        assert revival.look(ready.folder, {}, 0.0) == {}
    since = revival.look(ready.folder, {}, 0.0)
    assert revival.look(ready.folder, since, revival.DEAD_FOR_S - 1) == {"pace": 0.0}
    assert flower.started == ["pace"]
    assert revival.look(ready.folder, since, revival.DEAD_FOR_S) == {}
    assert flower.started == ["pace", "pace"]


def test_a_task_that_was_stopped_is_not_revived(ready: Any, run: Any, flower: Flower) -> None:
    run("task", "launch", "pace")
    run("task", "stop", "pace")
    assert revival.look(ready.folder, {"pace": -100.0}, 0.0) == {}


def test_nothing_is_launched_while_the_coordinator_is_down(ready: Any, run: Any, flower: Flower) -> None:
    flower.up = False
    assert "paceline server up" in run("task", "launch", "pace", code=1)
    assert ready.store.task("pace").state is TaskState.SIGNED


def test_a_launch_that_flower_refuses_can_be_tried_again(ready: Any, run: Any, flower: Flower) -> None:
    flower.error = LinkError("no answer")
    assert "no answer" in run("task", "launch", "pace", code=1)
    assert ready.store.task("pace").state is TaskState.FAILED
    flower.error = None
    run("task", "resume", "pace")
    assert ready.store.task("pace").state is TaskState.RUNNING


@pytest.mark.parametrize("command", ["launch", "resume"])
def test_a_task_that_too_few_accepted_is_not_started(ready: Any, run: Any, flower: Flower, command: str) -> None:
    if command == "resume":
        run("task", "launch", "pace")
        run("task", "stop", "pace")
    ready.store.revoke("city-runners")
    assert "needs 2 contributing parties" in run("task", command, "pace", code=1)
    assert flower.started == ["pace"] * (command == "resume")


def test_what_a_task_file_leaves_out_is_chosen_and_explained(
    ready: Any, run: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    text = str(request.getfixturevalue("joined").new_task.__func__.__defaults__[0])
    file = tmp_path / "task.toml"
    file.write_text(text.replace('name = "pace"', 'name = "pace-2"'), "utf-8")
    found = run("task", "new", str(file), "--json")
    values = {item["key"]: item["value"] for item in found["chosen"]}
    assert values == {"up": "raw32", "down": "raw32"} == {key: found["exchange"][key] for key in values}
    assert all(item["why"] for item in found["chosen"])
    written = text.replace('name = "pace"', 'name = "pace-3"').replace("[exchange]", '[exchange]\nup = "raw16"')
    file.write_text(written, "utf-8")
    said = run("task", "new", str(file))
    assert "raw32 (chosen: " in said
    assert "raw16 (chosen" not in said


def test_a_task_is_watched_to_its_end_and_released(ready: Any, run: Any, flower: Flower, tmp_path: Path) -> None:
    import numpy as np

    digest = ready.store.task("pace").digest
    weights = save({"w": np.ones(3, np.float32)})
    run("task", "launch", "pace")
    ready.store.commit_initial(digest, save({"w": np.zeros(3, np.float32)}))
    attempt = ready.store.begin_attempt(digest, "train", 1, "f" * 64, b"")
    parties = (PartyRound("city-runners", "answered", bytes_up=2000), PartyRound("hill-runners", "refused", "paused"))
    ready.store.commit_round(RoundRecord(digest, 1, attempt, weights, parties, 0.6, 1.0))
    release.make_release(ready.store, ready.folder, "pace")
    ready.store.set_task_state("pace", TaskState.COMPLETED)
    found = run("task", "watch", "pace", "--json")
    assert (found["state"], found["round"], found["bytes_up"]) == ("completed", 1, 2000)
    assert 0 < found["epsilon"] < found["epsilon_limit"]
    text = run("task", "status", "pace")
    for word in (
        "round 1 of 3",
        "paused",
        "rounds: 2.0 kB up, 0 B down; ",
        "than fp32",
        "per person at δ = 1e-05",
        "RDP",
    ):
        assert word in text, word
    assert [item["task"] for item in run("release", "list", "--json")] == ["pace"]
    assert "# Running pace" in run("release", "show", "pace")
    path = run("release", "export", "pace", "--out", str(tmp_path / "p.zip"), "--json")["path"]
    fingerprint = Identity.load(ready.folder.identity_key).fingerprint
    assert "signed by" in run("release", "verify", path, "--fingerprint", fingerprint)
    assert cli.run(["release", "verify", path, "--fingerprint", "0" * 64]) == 1
    assert cli.run(["release", "verify", path, "--fingerprint", "zz"]) == 2


def test_a_task_that_failed_says_why(ready: Any, run: Any, flower: Flower) -> None:
    run("task", "launch", "pace")
    ready.store.set_task_state("pace", TaskState.FAILED, "round 1 failed: [city-runners] late")
    assert "[city-runners] late" in run("task", "status", "pace")
    assert cli.run(["task", "watch", "pace"]) == 1
