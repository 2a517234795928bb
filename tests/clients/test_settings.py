"""The node's folder, node.toml, and its editing by command."""

from pathlib import Path

import pytest

from clients.allowances import Allowance, allow, fingerprints_named
from clients.settings import DEFAULT_NODE_TOML, NodeFolder, NodeSettings, find_folder, load, parse
from federation.consent import Purpose
from federation.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> NodeFolder:
    folder = NodeFolder(tmp_path)
    folder.settings.write_text(DEFAULT_NODE_TOML)
    return folder


def test_the_file_that_join_writes_says_the_defaults() -> None:
    assert parse(DEFAULT_NODE_TOML, "node.toml") == NodeSettings()


def test_every_setting_is_in_the_file_that_join_writes() -> None:
    for name in NodeSettings().policy.model_dump():
        assert f"\n{name} = " in DEFAULT_NODE_TOML


def test_an_unknown_or_absurd_line_is_named(folder: NodeFolder) -> None:
    folder.settings.write_text("[policy]\nmax_epsilon = -1\nmax_epsilom = 3\nage_of_consent_years = 12\n")
    with pytest.raises(UsageError) as caught:
        load(folder)
    for key in ("policy.max_epsilon:", "policy.max_epsilom:", "policy.age_of_consent_years:"):
        assert key in str(caught.value)


@pytest.mark.parametrize("text", ["threads = ", "[policy]\nmax_epsilon = nan", "[policy]\ndelta = inf"])
def test_what_is_not_a_number_is_refused(folder: NodeFolder, text: str) -> None:
    folder.settings.write_text(text)
    with pytest.raises(UsageError):
        load(folder)


def test_a_folder_without_a_node_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="paceline node join"):
        find_folder(tmp_path)
    monkeypatch.setenv("PACELINE_NODE", str(tmp_path))
    (tmp_path / "node.toml").write_text("")
    assert find_folder(None).path == tmp_path.resolve()


def test_allowing_adds_to_lists_and_keeps_comments(folder: NodeFolder) -> None:
    allow(folder, Allowance(purposes=(Purpose.TRAIN_MOTION_MODELS,), workloads=("running_pace",)))
    allow(folder, Allowance(workloads=("exercise_recognition", "running_pace"), numbers={"max_epsilon": 8.0}))
    allow(folder, Allowance(unprotected=("watch-plain",), published_scores=True))
    policy = load(folder).policy
    assert policy.purposes == (Purpose.TRAIN_MOTION_MODELS,)
    assert policy.workloads == ("running_pace", "exercise_recognition")
    assert (policy.max_epsilon, policy.allow_unprotected, policy.allow_published_scores) == (
        8.0,
        ("watch-plain",),
        True,
    )
    text = folder.settings.read_text()
    assert text.count("#") == DEFAULT_NODE_TOML.count("#")
    assert 'workloads = ["running_pace", "exercise_recognition"]' in text


def test_a_fingerprint_is_listed_as_the_party_reads_it_out(folder: NodeFolder) -> None:
    read_out = "coaches=" + " ".join(["9F0A"] * 16)
    for words in ((read_out, f"runners={'1' * 64}"), (f"runners={'2' * 64}",)):
        allow(folder, Allowance(share_noise_with=fingerprints_named(words)))
    assert load(folder).policy.share_noise_with == {"coaches": "9f0a" * 16, "runners": "2" * 64}
    assert folder.settings.read_text().count("#") == DEFAULT_NODE_TOML.count("#")


@pytest.mark.parametrize("word", ["coaches", "coaches=", f"coaches={'9' * 63}", f"={'9' * 64}", f"Co aches={'9' * 64}"])
def test_a_fingerprint_is_written_whole_and_with_its_party(word: str) -> None:
    with pytest.raises(UsageError, match="expected PARTY=FINGERPRINT"):
        fingerprints_named([word])


def test_a_key_that_is_absent_is_added(folder: NodeFolder) -> None:
    folder.settings.write_text("[policy]  # mine\nmin_people = 3\n")
    allow(folder, Allowance(workloads=("running_pace",)))
    assert load(folder).policy.workloads == ("running_pace",)
    assert load(folder).policy.min_people == 3


def test_a_file_that_cannot_be_edited_safely_is_left_alone(folder: NodeFolder) -> None:
    text = '[policy]\nworkloads = [\n  "a",  # why\n]\n'
    folder.settings.write_text(text)
    with pytest.raises(UsageError, match=r'write `workloads = \["a", "running_pace"\]` under'):
        allow(folder, Allowance(workloads=("running_pace",)))
    assert folder.settings.read_text() == text


def test_an_absurd_number_is_not_written(folder: NodeFolder) -> None:
    with pytest.raises(UsageError):
        allow(folder, Allowance(numbers={"max_epsilon": -3.0}))
    assert folder.settings.read_text() == DEFAULT_NODE_TOML
