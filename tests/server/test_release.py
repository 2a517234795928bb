"""A finished model: its card, its seal, and what verification finds."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from federation import workloads
from federation.errors import ManifestError, UsageError
from federation.signing import Identity
from server import release, sealed
from server.store import EvaluationRecord, PartyRound, RoundRecord

WEIGHTS = save({"layer": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(3)})


@pytest.fixture
def released(joined: Any) -> Any:
    """An office whose task has run one round and is released."""
    office = joined
    task = office.new_task()
    office.sign(task)
    office.accept(task, "city-runners", "hill-runners", "algo-works")
    office.store.commit_initial(task.digest, save({"layer": torch.zeros(2, 3), "bias": torch.zeros(3)}))
    attempt = office.store.begin_attempt(task.digest, "train", 1, "f" * 64, b"")
    parties = (
        PartyRound("city-runners", "answered", snapshot="d" * 64, bytes_up=300, bytes_down=500),
        PartyRound("hill-runners", "refused", "budget-exhausted", bytes_up=200, bytes_down=500),
    )
    office.store.commit_round(RoundRecord(task.digest, 1, attempt, WEIGHTS, parties, 0.6, 1.0))
    office.store.record_evaluation(
        EvaluationRecord(task.digest, 1, "coaches", "published", 2, {"rows": 9.0}, {"error": 0.25})
    )
    release.make_release(office.store, office.folder, "pace")
    return office


def failed(path: Path, fingerprint: Any = None) -> list[str]:
    return [line.check for line in release.verify_release(path, fingerprint) if not line.passed]


def test_a_release_verifies_offline_as_folder_and_as_file(released: Any, tmp_path: Path) -> None:
    fingerprint = Identity.load(released.folder.identity_key).fingerprint
    path = release.export(released.store, released.folder, "pace", tmp_path / "pace.zip")
    for place in (released.folder.releases / "pace", path):
        lines = release.verify_release(place, fingerprint)
        assert all(line.passed for line in lines), lines
        assert {line.check for line in lines} >= {"signature", "signer", "task", "card", "weights", release.MODEL}


def test_the_weights_are_those_of_the_last_round(released: Any) -> None:
    assert (released.folder.releases / "pace" / release.MODEL).read_bytes() == WEIGHTS


def test_the_card_tells_scores_privacy_and_lineage(released: Any) -> None:
    card = release.show(released.store, released.folder, "pace")
    assert card["scores"]["evaluations"][0]["summary"] == {"error": 0.25}
    for word in ("person", "δ = 1e-05", "q = 0.1", "σ = 1", "T = 4", "RDP", "add or remove one person"):
        assert word in card["privacy"]["sentence"], word
    assert card["privacy"]["trust"].startswith("Trusted with this: nobody")
    assert card["lineage"]["task"] == released.store.task("pace").digest
    assert card["lineage"]["rounds"][1]["parties"] == {"city-runners": "d" * 64}
    assert card["licence"]
    assert [item["party"] for item in card["recipients"]] == ["city-runners", "hill-runners", "coaches", "algo-works"]
    assert "budget-exhausted" not in json.dumps(card)


def test_the_card_tells_what_travelled_beside_fp32(released: Any) -> None:
    manifest = released.store.task("pace").manifest()
    values = sum(tensor.numel() for tensor in workloads.find("running_pace").initial(0).values())
    exchange = release.show(released.store, released.folder, "pace")["exchange"]
    assert exchange["terms"] == manifest.exchange.model_dump(mode="json")
    assert (exchange["up"], exchange["down"]) == (500, 1000)
    assert (exchange["fp32_up"], exchange["fp32_down"]) == (4 * values, 2 * 4 * values)
    assert exchange["ratio"] == pytest.approx(3 * 4 * values / 1500)
    text = (released.folder.releases / "pace" / "card.md").read_text("utf-8")
    assert "Updates travelled as raw32, models as raw32. All messages of all rounds took 500 bytes up and 1,000" in text


def test_the_same_rounds_give_the_same_bytes(released: Any, tmp_path: Path) -> None:
    before = release.archive(released.store, released.folder, "pace")
    released.clock.forward(days=1)
    release.make_release(released.store, released.folder, "pace")
    assert release.archive(released.store, released.folder, "pace") == before
    assert len(released.store.releases()) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_found(released: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted((released.folder.releases / "pace").iterdir())))
    good = path.read_bytes()
    position = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[position // 8] ^= 1 << position % 8
    path.write_bytes(bad)
    try:
        assert failed(path.parent), f"bit {position} of {path.name}"
    finally:
        path.write_bytes(good)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_the_zip_file_is_found(released: Any, tmp_path: Path, data: st.DataObject) -> None:
    good = release.archive(released.store, released.folder, "pace")
    position = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[position // 8] ^= 1 << position % 8
    (tmp_path / "bad.zip").write_bytes(bad)
    assert failed(tmp_path / "bad.zip")


@pytest.mark.parametrize("name", [release.MODEL, release.CARD, release.TASK, sealed.LIST, sealed.SIGNATURE])
def test_a_missing_file_is_found(released: Any, name: str) -> None:
    (released.folder.releases / "pace" / name).unlink()
    assert failed(released.folder.releases / "pace")


def test_an_extra_file_is_found(released: Any) -> None:
    (released.folder.releases / "pace" / "more.txt").write_text("x")
    assert failed(released.folder.releases / "pace") == ["nothing else"]


def test_another_coordinators_signature_is_found(released: Any, tmp_path: Path) -> None:
    files = sealed.read(released.folder.releases / "pace")
    own = {name: data for name, data in files.items() if name not in (sealed.LIST, sealed.SIGNATURE)}
    stranger = Identity.create()
    forged = sealed.seal(own, released.store.task("pace").digest, stranger)
    (tmp_path / "forged.zip").write_bytes(sealed.pack(forged))
    assert failed(tmp_path / "forged.zip") == ["task"]
    assert failed(tmp_path / "forged.zip", Identity.load(released.folder.identity_key).fingerprint) == ["signer"]


def test_weights_of_another_task_under_a_true_seal_are_found(released: Any, tmp_path: Path) -> None:
    files = sealed.read(released.folder.releases / "pace")
    own = {name: data for name, data in files.items() if name not in (sealed.LIST, sealed.SIGNATURE)}
    own[release.MODEL] = save({"layer": torch.ones(2, 3)})
    identity = Identity.load(released.folder.identity_key)
    (tmp_path / "mixed.zip").write_bytes(sealed.pack(sealed.seal(own, released.store.task("pace").digest, identity)))
    assert failed(tmp_path / "mixed.zip") == ["weights"]


def test_a_card_that_promises_more_than_the_task_is_found(released: Any, tmp_path: Path) -> None:
    files = sealed.read(released.folder.releases / "pace")
    own = {name: data for name, data in files.items() if name not in (sealed.LIST, sealed.SIGNATURE)}
    card = json.loads(own[release.CARD])
    card["privacy"]["terms"]["epsilon"] = 0.1
    own[release.CARD] = json.dumps(card).encode()
    identity = Identity.load(released.folder.identity_key)
    (tmp_path / "lie.zip").write_bytes(sealed.pack(sealed.seal(own, released.store.task("pace").digest, identity)))
    assert failed(tmp_path / "lie.zip") == ["card"]


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000])
def test_a_file_that_is_no_release_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    assert failed(tmp_path / "x.zip") == ["archive"]
    with pytest.raises(UsageError, match="cannot be read"):
        release.verify_release(tmp_path / "missing.zip", None)


def test_an_export_overwrites_nothing(released: Any, tmp_path: Path) -> None:
    path = release.export(released.store, released.folder, "pace", tmp_path)
    assert path == tmp_path / "pace.zip"
    with pytest.raises(UsageError, match="exists already"):
        release.export(released.store, released.folder, "pace", tmp_path)


def test_there_is_no_release_without_a_trained_model(joined: Any) -> None:
    office = joined
    task = office.new_task()
    office.store.commit_initial(task.digest, WEIGHTS)
    with pytest.raises(ManifestError, match="no trained model yet"):
        release.make_release(office.store, office.folder, "pace")
    with pytest.raises(UsageError, match="no release yet"):
        release.archive(office.store, office.folder, "pace")
    assert list(office.folder.releases.iterdir()) == []


def test_the_cohort_fetches_the_release_over_http(released: Any) -> None:
    answer = released.signed_call("coaches", "GET", "/tasks/pace/release")
    assert answer.content == release.archive(released.store, released.folder, "pace")
    assert answer.headers["content-type"] == "application/zip"


@pytest.mark.parametrize("text", ["x", "a" * 63, "g" * 64])
def test_a_fingerprint_that_is_none_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        release.trusted(text)


def test_a_sealed_set_without_seal_is_no_release() -> None:
    lines = sealed.check({"a": b"x"}, None)
    assert [line.passed for line in lines] == [False]
