"""Joining, reviewing, accepting, signing, leaving: over TLS against the coordinator's real API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clients import enrolment
from clients.allowances import Allowance, allow
from clients.checks import check_node
from clients.keys import check_keys, make_keys
from clients.pinned import Pinned, load_members, load_pinned, save_members, save_pinned
from clients.review import review
from clients.settings import NodeFolder, load
from clients.store import NodeStore, open_store
from federation import workloads
from federation.consent import Purpose
from federation.enrolment import certificate_fingerprint, decode_token, encode_token
from federation.errors import EnrolmentError, LinkError, ManifestError, Refused, SignatureError, WorkloadError
from federation.roles import Role
from federation.signing import Identity
from server import enrolment as foreign
from server.settings import ServerSettings

ALLOWED = Allowance(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=("running_pace",),
    numbers={"max_epsilon": 8.0, "max_epsilon_per_task": 8.0, "delta": 1e-5},
)
HOUR = timedelta(hours=1)
UNPROTECTED = '[privacy]\nunit = "none"\n'


@dataclass(frozen=True)
class Party:
    """A node that joined."""

    folder: NodeFolder
    store: NodeStore
    pinned: Pinned


def joined(office: Any, path: Path, name: str, role: Role) -> Party:
    found = enrolment.join(office.invite(name, role), path / name.lower())
    folder = NodeFolder(path / name.lower())
    allow(folder, ALLOWED)
    return Party(folder, open_store(folder), found.pinned)


@pytest.fixture(scope="module")
def parties(office: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Party]]:
    path = tmp_path_factory.mktemp("parties")
    roles = {"Runners": Role.DATA_PROVIDER, "Coaches": Role.TRAINER, "Algo": Role.ALGORITHM_PROVIDER}
    found = {name.lower(): joined(office, path, name, role) for name, role in roles.items()}
    yield found
    for party in found.values():
        party.store.close()


@pytest.fixture
def task(office: Any, parties: dict[str, Party], tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A task of its own for each test, signed by coordinator and algorithm provider."""
    name = f"t{abs(hash(request.node.name)) % 10**12}"
    office.new_task(tmp_path, {"runners": 900, "coaches": 300, "algo": 0}, name)
    assert enrolment.sign_task(parties["algo"].folder.path, name)["state"] == "signed"
    return name


def nothing_is_left(path: Path) -> bool:
    return list(path.iterdir()) == []


def test_joining_makes_keys_and_a_policy_that_allows_nothing(office: Any, tmp_path: Path) -> None:
    found = enrolment.join(office.invite("Hill Club"), tmp_path / "node")
    folder = NodeFolder(tmp_path / "node")
    assert check_keys(folder).fingerprint == found.fingerprint
    assert load_pinned(folder).coordinator == Identity.load(office.folder.identity_key).fingerprint
    assert (found.pinned.party, found.pinned.role) == ("hill-club", Role.DATA_PROVIDER)
    assert load(folder).policy.purposes == load(folder).policy.workloads == ()
    for secret in (folder.identity, folder.supernode_key):
        assert secret.stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == [folder.path]


def test_a_token_works_once(office: Any, tmp_path: Path) -> None:
    token = office.invite("Twice")
    enrolment.join(token, tmp_path / "first" / "node")
    (tmp_path / "second").mkdir()
    with pytest.raises(EnrolmentError, match=r"was used on .* each token works once"):
        enrolment.join(token, tmp_path / "second" / "node")
    assert nothing_is_left(tmp_path / "second")


def test_an_expired_token_is_told_before_anybody_is_asked(office: Any, tmp_path: Path) -> None:
    invitation = decode_token(office.invite("Late"))
    old = invitation.model_copy(update={"expires_at": datetime.now(UTC) - HOUR, "address": "https://127.0.0.1:1"})
    with pytest.raises(EnrolmentError, match=r"expired on .* ask the coordinator for a new one"):
        enrolment.join(encode_token(old), tmp_path / "node")
    assert nothing_is_left(tmp_path)


def test_a_token_whose_expiry_was_edited_is_refused_by_the_coordinator(office: Any, tmp_path: Path) -> None:
    token = office.invite("Edited")
    office.clock.ahead = timedelta(days=30)
    try:
        longer = decode_token(token).model_copy(update={"expires_at": datetime.now(UTC) + timedelta(days=60)})
        with pytest.raises(EnrolmentError, match="expired on"):
            enrolment.join(encode_token(longer), tmp_path / "node")
    finally:
        office.clock.ahead = timedelta(0)
    assert nothing_is_left(tmp_path)


def test_a_truncated_token_is_told(office: Any, tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="truncated or damaged"):
        enrolment.join(office.invite("Cut")[:-7], tmp_path / "node")
    assert nothing_is_left(tmp_path)


def test_another_authority_than_the_token_pins_is_refused_before_the_secret_is_sent(
    office: Any, tmp_path: Path
) -> None:
    token = office.invite("Pinned")
    forged = decode_token(token).model_copy(update={"ca_sha256": "0" * 64})
    with pytest.raises(EnrolmentError, match="somebody is in between"):
        enrolment.join(encode_token(forged), tmp_path / "node")
    assert nothing_is_left(tmp_path)
    enrolment.join(token, tmp_path / "node")  # the secret was not spent


def test_another_coordinator_key_than_the_token_pins_leaves_nothing_behind(office: Any, tmp_path: Path) -> None:
    forged = decode_token(office.invite("Wrong Key")).model_copy(update={"coordinator": "0" * 64})
    with pytest.raises(EnrolmentError, match="shows a key with fingerprint"):
        enrolment.join(encode_token(forged), tmp_path / "node")
    assert nothing_is_left(tmp_path)


def test_a_folder_in_use_is_not_touched(office: Any, tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "mine.txt").write_text("mine")
    token = office.invite("Careful")
    with pytest.raises(EnrolmentError, match="exists and is not empty"):
        enrolment.join(token, tmp_path / "node")
    assert [path.name for path in (tmp_path / "node").iterdir()] == ["mine.txt"]
    enrolment.join(token, tmp_path / "other")


def test_nobody_there_is_a_link_error(office: Any, tmp_path: Path) -> None:
    away = decode_token(office.invite("Away")).model_copy(update={"address": "https://127.0.0.1:1"})
    with pytest.raises(LinkError, match="cannot be reached"):
        enrolment.join(encode_token(away), tmp_path / "node")
    assert nothing_is_left(tmp_path)


def test_a_server_with_a_foreign_certificate_is_not_talked_to(parties: dict[str, Party], tmp_path: Path) -> None:
    other = foreign.create(tmp_path / "other", ServerSettings(name="Other"), datetime.now(UTC))
    folder, original = parties["runners"].folder, parties["runners"].folder.ca.read_text()
    try:
        folder.ca.write_text(other.ca_certificate.read_text())
        with pytest.raises(EnrolmentError, match="not the authority that was pinned"):
            enrolment.list_tasks(folder)
        changed = {"ca_sha256": certificate_fingerprint(folder.ca.read_bytes())}
        save_pinned(folder, parties["runners"].pinned.model_copy(update=changed))
        with pytest.raises(EnrolmentError, match="a certificate that the pinned authority did not issue"):
            enrolment.list_tasks(folder)
    finally:
        folder.ca.write_text(original)
        save_pinned(folder, parties["runners"].pinned)


def test_accepting_pins_the_cohort_and_signs_exactly_this_digest(
    office: Any, parties: dict[str, Party], task: str
) -> None:
    runners = parties["runners"]
    manifest = enrolment.accept_task(runners.folder, runners.store, task)
    assert office.store.accepted(manifest.digest()) == {"runners"}
    kept = runners.store.accepted_task(manifest.digest())
    assert kept is not None
    assert json.loads(kept.signed_json)["manifest"]["name"] == task
    assert load_members(runners.folder).fingerprints == {m.party: m.fingerprint for m in manifest.cohort}
    enrolment.accept_task(runners.folder, runners.store, task)
    assert [t.get("accepted") for t in enrolment.list_tasks(runners.folder) if t["name"] == task] == [True]


def test_a_task_that_the_policy_refuses_is_not_accepted(office: Any, parties: dict[str, Party], tmp_path: Path) -> None:
    runners = parties["runners"]
    office.new_task(tmp_path, {"runners": 900, "coaches": 300, "algo": 0}, "plain", UNPROTECTED)
    enrolment.sign_task(parties["algo"].folder.path, "plain")
    with pytest.raises(Refused, match="--unprotected plain"):
        enrolment.accept_task(runners.folder, runners.store, "plain")
    assert office.store.accepted(office.store.task("plain").digest) == set()
    assert runners.store.accepted_task(office.store.task("plain").digest) is None


def test_a_task_without_the_algorithm_providers_signature_is_not_accepted(
    office: Any, parties: dict[str, Party], tmp_path: Path
) -> None:
    runners = parties["runners"]
    office.new_task(tmp_path, {"runners": 900, "coaches": 300, "algo": 0}, "half")
    with pytest.raises(SignatureError, match="not signed by its algorithm-provider"):
        enrolment.accept_task(runners.folder, runners.store, "half")
    found = review_of(runners, "half")
    assert any("not signed by its algorithm-provider" in item for item in found.objections)


def test_only_an_algorithm_provider_signs(parties: dict[str, Party], task: str) -> None:
    with pytest.raises(Refused, match="may not take the step sign-workload"):
        enrolment.sign_task(parties["runners"].folder.path, task)


def test_another_workload_than_the_one_installed_here_is_neither_signed_nor_accepted(
    parties: dict[str, Party], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "digest", lambda name: "f" * 64)
    with pytest.raises(WorkloadError, match="Install the release"):
        enrolment.sign_task(parties["algo"].folder.path, task)
    with pytest.raises(WorkloadError, match="Install the release"):
        enrolment.accept_task(parties["runners"].folder, parties["runners"].store, task)


def test_a_changed_key_of_a_confirmed_party_is_noticed(parties: dict[str, Party], task: str) -> None:
    coaches = parties["coaches"]
    allow(coaches.folder, Allowance(published_scores=True))
    enrolment.accept_task(coaches.folder, coaches.store, task)
    pins = load_members(coaches.folder)
    save_members(coaches.folder, pins.model_copy(update={"fingerprints": {**pins.fingerprints, "runners": "0" * 64}}))
    with pytest.raises(SignatureError, match="runners has another key"):
        enrolment.accept_task(coaches.folder, coaches.store, task)
    save_members(coaches.folder, pins)


def test_another_contract_than_the_one_that_was_reviewed_is_not_accepted(
    office: Any, parties: dict[str, Party], task: str
) -> None:
    """The coordinator may show one contract and have another one signed."""
    runners, digest = parties["runners"], office.store.task(task).digest
    pins = load_members(runners.folder)
    save_members(runners.folder, pins.shown(task, "e" * 64))
    with pytest.raises(EnrolmentError, match=f"not the contract that you reviewed.*this is {digest[:16]}"):
        enrolment.accept_task(runners.folder, runners.store, task)
    assert load_members(runners.folder) == pins.shown(task, "e" * 64)
    save_members(runners.folder, pins.shown(task, digest))
    assert enrolment.accept_task(runners.folder, runners.store, task).digest() == digest
    save_members(runners.folder, pins)


def test_an_older_list_of_members_is_a_replay(parties: dict[str, Party], task: str) -> None:
    coaches = parties["coaches"]
    pins = load_members(coaches.folder)
    save_members(coaches.folder, pins.model_copy(update={"version": 10**6}))
    with pytest.raises(SignatureError, match="replays an old list"):
        enrolment.fetch_task(coaches.folder, task)
    save_members(coaches.folder, pins)


def test_a_task_that_does_not_exist_is_told_in_the_coordinators_words(parties: dict[str, Party]) -> None:
    with pytest.raises(EnrolmentError, match="the coordinator refused: there is no task 'nothing'"):
        enrolment.fetch_task(parties["runners"].folder, "nothing")


def review_of(party: Party, task: str) -> Any:
    offer = enrolment.fetch_task(party.folder, task)
    policy = load(party.folder).policy
    return review(offer, party.pinned, load_members(party.folder), policy, datetime.now(UTC))


def test_the_review_says_the_contract_in_words(parties: dict[str, Party], task: str) -> None:
    found = review_of(parties["runners"], task)
    assert "age [years], female [0 or 1], start_delay [s]; target pace" in found.paragraphs["reads"]
    assert "Adding or removing one person" in found.paragraphs["privacy"]
    assert "of 8 (δ = 1e-05)" in found.paragraphs["privacy"]
    assert "training motion models" in found.paragraphs["purpose"]
    assert "Never rows" in found.paragraphs["leaves this node"]
    assert {party.party for party in found.parties} == {"runners", "coaches", "algo"}
    assert all(len(party.fingerprint) == 64 for party in found.parties)
    assert found.objections == ()


def test_the_check_names_the_clock_and_the_next_steps(office: Any, parties: dict[str, Party], task: str) -> None:
    runners = parties["runners"]
    enrolment.accept_task(runners.folder, runners.store, task)
    lines = {item.check: item for item in check_node(runners.folder)}
    assert lines["keys"].passed
    assert lines["coordinator"].passed
    assert lines["clock"].passed
    assert lines[f"task: {task}"].passed
    assert not lines["data: running_pace"].passed
    assert "paceline node import" in lines["data: running_pace"].detail
    assert "paceline consent grant" in lines["consent: running_pace"].detail
    office.clock.ahead = timedelta(seconds=200)
    try:
        lines = {item.check: item for item in check_node(runners.folder)}
    finally:
        office.clock.ahead = timedelta(0)
    assert not lines["clock"].passed
    assert "200 s behind the coordinator's" in lines["clock"].detail


def test_a_clock_ten_minutes_off_is_told_by_the_coordinator(office: Any, parties: dict[str, Party]) -> None:
    office.clock.ahead = timedelta(minutes=10)
    try:
        with pytest.raises(EnrolmentError, match="Set the clock of this machine"):
            enrolment.list_tasks(parties["runners"].folder)
    finally:
        office.clock.ahead = timedelta(0)


def test_the_check_goes_on_when_the_policy_cannot_be_read(parties: dict[str, Party]) -> None:
    folder = parties["algo"].folder
    text = folder.settings.read_text()
    folder.settings.write_text("[policy]\nmax_epsilon = -1\n")
    lines = {item.check: item for item in check_node(folder)}
    folder.settings.write_text(text)
    assert not lines["policy"].passed
    assert lines["clock"].passed


def test_leaving_vetoes_first_and_is_final(office: Any, tmp_path: Path) -> None:
    party = joined(office, tmp_path, "Leavers", Role.DATA_PROVIDER)
    enrolment.leave(party.folder, party.store)
    assert party.store.paused()
    assert not office.store.party("leavers").active
    with pytest.raises(EnrolmentError, match="join anew in another folder"):
        enrolment.require_in(party.folder)
    with pytest.raises(EnrolmentError, match="the coordinator refused: leavers left"):
        enrolment.list_tasks(party.folder)
    party.store.close()


def test_a_folder_that_never_joined_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="paceline node join TOKEN"):
        load_pinned(NodeFolder(tmp_path))


@pytest.mark.parametrize("damage", ["missing", "garbage", "open", "foreign"])
def test_a_damaged_key_is_named(office: Any, tmp_path: Path, damage: str) -> None:
    folder = NodeFolder(tmp_path)
    make_keys(folder)
    if damage == "missing":
        folder.supernode_key.unlink()
    elif damage == "garbage":
        folder.supernode_key.write_bytes(b"x")
    elif damage == "open":
        folder.supernode_key.chmod(0o644)
    else:
        folder.supernode_public_key.write_text("ecdsa-sha2-nistp384 AAAA\n")
    with pytest.raises(SignatureError):
        check_keys(folder)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    make_keys(folder)
    before = folder.identity.read_bytes(), folder.supernode_key.read_bytes()
    with pytest.raises(SignatureError):
        make_keys(folder)
    assert (folder.identity.read_bytes(), folder.supernode_key.read_bytes()) == before


def test_a_task_for_strangers_is_not_signed(office: Any, parties: dict[str, Party], task: str) -> None:
    offer = enrolment.fetch_task(parties["runners"].folder, task)
    nobody = offer.membership.model_copy(update={"members": offer.membership.members[:1]})
    changed = enrolment.Offer(offer.signed, nobody, offer.accepted, offer.state)
    with pytest.raises(EnrolmentError, match="signed list of members"):
        enrolment.verify_offer(parties["coaches"].folder, changed, datetime.now(UTC))
    with pytest.raises(ManifestError, match="expired"):
        enrolment.verify_offer(parties["coaches"].folder, offer, datetime.now(UTC) + timedelta(days=4000))
