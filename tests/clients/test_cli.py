"""The commands of a node as their users type them: words, JSON, exit codes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients import budget
from clients.people import find_person
from clients.pinned import load_members
from clients.settings import DEFAULT_NODE_TOML, NodeFolder
from clients.store import open_store
from federation import cli
from federation.ids import TaskDigest
from federation.roles import Role, Step
from privacy.accounting import SampledGaussian

MAPPING = 'person = "name"\ntarget = "pace"\n[columns]\nfemale = "sex"\n[codes.female]\nF = 1\nM = 0\n'
RUNNERS = "name,age,sex,start_delay,pace\nann,30,F,10,300\nbob,41,M,20,310\ncem,50,M,5,350\n"


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Paceline = Callable[..., Done]


@pytest.fixture
def paceline(capsys: pytest.CaptureFixture[str]) -> Paceline:
    def run(*words: str | Path) -> Done:
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeFolder:
    """A node that has not joined, with files to import beside it."""
    folder = NodeFolder(tmp_path / "node")
    folder.path.mkdir()
    folder.settings.write_text(DEFAULT_NODE_TOML)
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "runners.csv").write_text(RUNNERS)
    monkeypatch.setenv("PACELINE_NODE", str(folder.path))
    monkeypatch.chdir(tmp_path)
    return folder


IMPORT = ("node", "import", "runners.csv", "--mapping", "map.toml", "--workload", "running_pace")


def test_a_party_goes_from_token_to_acceptance(
    office: Any, paceline: Paceline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "runners.csv").write_text(RUNNERS)
    joined = paceline("node", "join", office.invite("Runners"), "--dir", "a", "--json")
    assert joined.code == 0
    assert len(joined.json["fingerprint"]) == len(joined.json["coordinator_fingerprint"]) == 64
    assert paceline("node", "join", office.invite("Algo", Role.ALGORITHM_PROVIDER), "--dir", "b").code == 0
    assert paceline("node", "join", office.invite("Walkers"), "--dir", "c").code == 0
    monkeypatch.setenv("PACELINE_NODE", "a")
    assert paceline("node", "check").code == 1
    allow = ("--purpose", "train-motion-models", "--workload", "running_pace", "--max-epsilon", "8", "--delta", "1e-5")
    assert paceline("node", "allow", *allow, "--json").json["max_epsilon_per_task"] == 8.0
    assert paceline(*IMPORT, "--json").json["rows"] == 3
    grant = ("--purpose", "train-motion-models", "--adult", "--notice", "2026-01")
    assert paceline("consent", "grant", "ann", "bob", "cem", *grant).code == 0
    office.new_task(tmp_path, {"runners": 900, "walkers": 90, "algo": 0}, "pace")
    assert paceline("task", "sign", "pace", "--dir", "b").code == 0
    assert paceline("node", "tasks", "--json").json[0]["accepted"] is False
    read = paceline("node", "review", "pace")
    assert read.code == 0
    assert "Adding or removing one person" in read.out
    assert joined.json["fingerprint"] in read.out.replace("\n", "")
    assert load_members(NodeFolder(tmp_path / "a")).reviewed == {"pace": office.store.task("pace").digest}
    assert paceline("node", "accept", "pace").code == 0
    assert office.store.accepted(office.store.task("pace").digest) == {"runners"}
    checked = paceline("node", "check", "--json")
    assert checked.code == 0, checked.out
    status = paceline("node", "status", "--json").json
    assert (status["tasks"], status["people"], status["running"]) == ("pace", 3, False)
    assert paceline("node", "fetch", "pace").code == 1
    assert paceline("node", "leave", "--yes").code == 0
    gone = paceline("node", "up")
    assert gone.code == 1
    assert "join anew" in gone.err


def test_a_wrong_token_is_one_line_and_exit_code_1(paceline: Paceline, tmp_path: Path) -> None:
    done = paceline("node", "join", "hello", "--dir", tmp_path / "x")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: this is not a join token")
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_no_node_is_wrong_usage(paceline: Paceline, tmp_path: Path) -> None:
    for words in (("node", "status"), ("consent", "show"), ("budget", "show"), ("audit", "verify"), ("node", "up")):
        done = paceline(*words, "--dir", tmp_path)
        assert done.code == 2
        assert "not a node's folder" in done.err


def test_a_bad_file_is_told_with_its_lines_and_nothing_is_kept(node: NodeFolder, paceline: Paceline) -> None:
    Path("runners.csv").write_text(RUNNERS.replace("41", "old"))
    done = paceline(*IMPORT)
    assert done.code == 1
    assert "age holds text instead of a number, such as 'old': line 3" in done.err
    assert paceline("node", "data", "--json").json == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((*IMPORT[:-1], "rowing"), "not installed here"),
        ((*IMPORT[:3], "--mapping", "none.toml", *IMPORT[5:]), "mapping file none.toml cannot be read"),
        (("node", "allow", "--purpose", "fun"), "purposes are train-motion-models"),
        (("node", "allow", "--max-epsilon", "-1"), "policy.max_epsilon"),
        (("consent", "grant", "--purpose", "injury-research", "--notice", "1"), "nobody was named"),
        (("consent", "grant", "ann", "--purpose", "fun", "--notice", "1"), "purposes are"),
        (("consent", "grant", "ann", "--purpose", "injury-research", "--notice", "1", "--born", "x"), "YYYY-MM-DD"),
        (("consent", "import", "none.jsonl"), "cannot be read"),
        (("node", "remove", "7"), "there is no import 7"),
    ],
)
def test_wrong_words_are_told_and_change_nothing(
    node: NodeFolder, paceline: Paceline, words: tuple[str, ...], text: str
) -> None:
    done = paceline(*words)
    assert done.code in (1, 2)
    assert text in " ".join(done.err.split())
    assert node.settings.read_text() == DEFAULT_NODE_TOML
    with open_store(node) as store:
        assert not store.datasets()
        assert not store.audit_entries()


def test_consent_is_given_shown_withdrawn_and_moved(node: NodeFolder, paceline: Paceline) -> None:
    paceline(*IMPORT)
    Path("people.txt").write_text("ann\nbob\n")
    grant = ("--purpose", "train-motion-models", "--purpose", "publish-scores", "--adult", "--notice", "v1")
    assert paceline("consent", "grant", "--from-file", "people.txt", *grant, "--json").json == {"people": 2}
    assert paceline("consent", "withdraw", "bob", "--purpose", "publish-scores").code == 0
    counts = {line["purpose"]: line["people"] for line in paceline("consent", "show", "--json").json}
    assert counts["train-motion-models"] == 2
    assert counts["publish-scores"] == 1
    story = paceline("consent", "show", "bob", "--json").json
    assert [line["state"] for line in story["statements"]] == ["given", "given", "withdrawn"]
    assert story["uses"] == []
    exported = paceline("consent", "export")
    assert len(exported.out.splitlines()) == 5
    Path("moved.jsonl").write_text(exported.out)
    other = NodeFolder(Path("other"))
    other.path.mkdir()
    other.settings.write_text(DEFAULT_NODE_TOML)
    assert paceline("consent", "import", "moved.jsonl", "--dir", "other", "--json").json == {"statements": 5}
    assert paceline("consent", "show", "--dir", "other", "--json").json[0]["people"] == 2


def test_nobody_withdraws_by_a_misspelt_name(node: NodeFolder, paceline: Paceline) -> None:
    paceline(*IMPORT)
    done = paceline("consent", "withdraw", "ann", "anne", "--purpose", "train-motion-models")
    assert done.code == 1
    assert "1 of 2 are not known here, such as anne" in done.err
    assert paceline("consent", "show", "ann", "--json").json["statements"] == []


def test_consent_of_unknown_age_is_refused_for_all(node: NodeFolder, paceline: Paceline) -> None:
    paceline(*IMPORT)
    done = paceline("consent", "grant", "ann", "bob", "--purpose", "train-motion-models", "--notice", "v1")
    assert done.code == 1
    assert paceline("consent", "show", "--json").json[0]["people"] == 0


def test_the_budget_is_shown_by_groups_against_the_cap(node: NodeFolder, paceline: Paceline) -> None:
    paceline(*IMPORT)
    paceline("node", "allow", "--max-epsilon", "8", "--delta", "1e-5")
    with open_store(node) as store:
        ann = find_person(store, "ann")
        people = type(store.datasets()[0].people)([ann])
        task = TaskDigest("a" * 64)
        charge = budget.Charge(task, 0, Step.TRAIN_ON_PEOPLE, SampledGaussian(0.1, 1.0), people, 1)
        budget.reserve(store, charge, budget.Cap(8.0, 1e-5), None, datetime.now(UTC))
    found = paceline("budget", "show", "--json").json
    spent = {group["people"]: (group["charges"], group["epsilon"]) for group in found["groups"]}
    assert spent[2] == (0, 0.0)
    assert spent[1][0] == 1
    assert 0 < spent[1][1] < 8
    assert found["charges"][0]["task"] == "a" * 12
    words = paceline("budget", "show").out
    assert "unit: person" in words
    assert "δ = 1e-05" in words


def test_the_audit_notices_a_log_that_was_cut_off(office: Any, paceline: Paceline, tmp_path: Path) -> None:
    folder = tmp_path / "n"
    paceline("node", "join", office.invite("Audited"), "--dir", folder)
    paceline("node", "pause", "--dir", folder)
    old = {path.name: path.read_bytes() for path in folder.glob("node.sqlite*")}
    paceline("node", "resume", "--dir", folder)
    first = paceline("audit", "verify", "--dir", folder, "--json")
    assert first.json["audit_entries"] == 2
    assert paceline("audit", "verify", "--dir", folder).code == 0
    assert [entry["kind"] for entry in paceline("audit", "show", "--dir", folder, "--json").json] == [
        "paused",
        "resumed",
    ]
    for path in folder.glob("node.sqlite*"):
        path.unlink()
    for name, content in old.items():
        (folder / name).write_bytes(content)
    done = paceline("audit", "verify", "--dir", folder)
    assert done.code == 1
    assert "cut off or rewritten" in done.err


def test_pause_is_remembered(node: NodeFolder, paceline: Paceline) -> None:
    assert paceline("node", "pause", "--json").json == {"paused": True}
    with open_store(node) as store:
        assert store.paused()
    assert paceline("node", "resume").code == 0
    with open_store(node) as store:
        assert not store.paused()


def test_the_policy_reads_as_sentences(node: NodeFolder, paceline: Paceline) -> None:
    assert "People's data may be used for: none." in paceline("node", "policy").out
    assert paceline("node", "policy", "--json").json["purposes"] == []


def test_removed_rows_are_gone(node: NodeFolder, paceline: Paceline) -> None:
    paceline(*IMPORT)
    assert paceline("node", "remove", "1").code == 0
    assert paceline("node", "data", "--json").json == []
    assert not [path for path in node.data.rglob("*") if path.is_file()]
    assert paceline(*IMPORT).code == 0


def test_held_out_people_are_imported_apart(node: NodeFolder, paceline: Paceline) -> None:
    assert paceline(*IMPORT, "--held-out", "--json").json["held_out"] is True
    done = paceline(*IMPORT)
    assert done.code == 1
    assert "imported before" in done.err
    Path("runners.csv").write_text(RUNNERS.replace("300", "301"))
    done = paceline(*IMPORT)
    assert done.code == 1
    assert "either trained on or held out" in done.err
