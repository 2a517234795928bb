"""How parties come and go."""

import stat
from typing import Any

import pytest

from federation.enrolment import certificate_fingerprint
from federation.errors import EnrolmentError, PacelineError, SignatureError, UsageError
from federation.roles import Role
from federation.signing import Identity, verify_membership
from server import enrolment
from server.settings import ServerSettings, load


def test_every_secret_file_is_for_its_owner_only(office: Any) -> None:
    for path in (office.folder.identity_key, office.folder.ca_key, office.folder.server_key, office.folder.database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(office.folder.settings_file.stat().st_mode) == 0o600


def test_a_folder_is_never_made_twice(office: Any) -> None:
    before = office.folder.identity_key.read_bytes()
    with pytest.raises(UsageError, match="coordinator's folder already"):
        enrolment.create(office.folder.path, ServerSettings(name="x"), office.clock())
    assert office.folder.identity_key.read_bytes() == before


def test_a_token_says_how_to_recognise_the_coordinator(office: Any) -> None:
    invitation = office.invite("Cité Runners!")
    assert invitation.party == "cite-runners"
    assert invitation.address == load(office.folder).address
    assert invitation.coordinator == Identity.load(office.folder.identity_key).fingerprint
    assert invitation.ca_sha256 == certificate_fingerprint(office.folder.ca_certificate.read_bytes())


def test_the_secret_of_a_token_is_not_stored(office: Any) -> None:
    invitation = office.invite("City Runners")
    with office.store.reading() as session:
        stored = session.connection().exec_driver_sql("SELECT * FROM invitation").all()
    assert len(stored) == 1
    assert invitation.secret not in str(stored)


def test_a_party_that_joins_is_a_member_with_its_keys(office: Any) -> None:
    identity = office.join("City Runners")
    party = office.store.party("city-runners")
    assert (party.name, party.role, party.fingerprint) == ("City Runners", Role.DATA_PROVIDER, identity.fingerprint)
    assert office.store.active_party_keys() == {"city-runners": identity.public_key}
    assert party.node_id == 2**63


def test_a_token_works_once(office: Any) -> None:
    invitation = office.invite("City Runners")
    enrolment.join(office.store, office.folder, office.registry, office.join_request(invitation, Identity.create()))
    with pytest.raises(EnrolmentError, match="was used on 2026-03-01 12:00 UTC"):
        enrolment.join(office.store, office.folder, office.registry, office.join_request(invitation, Identity.create()))
    assert len(office.store.parties()) == len(office.registry.keys) == 1


def test_a_token_expires(office: Any) -> None:
    invitation = office.invite("City Runners", valid_hours=1)
    office.clock.forward(hours=1)
    with pytest.raises(EnrolmentError, match="expired on 2026-03-01 13:00 UTC"):
        enrolment.join(office.store, office.folder, office.registry, office.join_request(invitation, Identity.create()))
    assert office.store.parties() == []
    assert office.registry.keys == {}


def test_a_newer_token_voids_the_older_one(office: Any) -> None:
    old, new = office.invite("City Runners"), office.invite("City Runners")
    with pytest.raises(EnrolmentError, match="newer one replaced it"):
        enrolment.join(office.store, office.folder, office.registry, office.join_request(old, Identity.create()))
    enrolment.join(office.store, office.folder, office.registry, office.join_request(new, Identity.create()))


def test_a_key_that_the_joiner_does_not_hold_is_refused(office: Any) -> None:
    invitation = office.invite("City Runners")
    request = office.join_request(invitation, Identity.create())
    stolen = request.model_copy(update={"identity_key": Identity.create().public_key.hex()})
    with pytest.raises(SignatureError):
        enrolment.join(office.store, office.folder, office.registry, stolen)
    assert office.registry.keys == {}


def test_a_key_of_another_party_cannot_join_again(office: Any) -> None:
    identity = office.join("City Runners")
    request = office.join_request(office.invite("Other"), identity)
    with pytest.raises(EnrolmentError, match="with this key joined before"):
        enrolment.join(office.store, office.folder, office.registry, request)
    assert len(office.registry.keys) == 1


@pytest.mark.parametrize("key", ["ecdsa-sha2-nistp384 AAAA", "ssh-ed25519 AAAA"])
def test_a_node_key_that_flower_cannot_take_is_refused(office: Any, key: str) -> None:
    invitation, identity = office.invite("City Runners"), Identity.create()
    with pytest.raises((PacelineError, ValueError)):
        enrolment.join(office.store, office.folder, office.registry, office.join_request(invitation, identity, key))
    assert office.store.parties() == []


def test_a_member_is_not_invited_again(office: Any) -> None:
    office.join("City Runners")
    with pytest.raises(EnrolmentError, match="joined before"):
        office.invite("City Runners")


@pytest.mark.parametrize(("name", "hours"), [("!!!", 1), ("x" * 81, 1), ("x", 0), ("x", float("nan")), ("x", 1e9)])
def test_an_invitation_that_cannot_be_is_wrong_usage(office: Any, name: str, hours: float) -> None:
    with pytest.raises(UsageError):
        office.invite(name, valid_hours=hours)
    assert office.store.invitations() == []


def test_the_membership_list_is_signed_and_grows_its_version(office: Any) -> None:
    identity = Identity.load(office.folder.identity_key)
    office.join("City Runners")
    office.join("Hill Runners")
    first = enrolment.membership(office.store, identity)
    office.store.revoke("city-runners")
    second = enrolment.membership(office.store, identity)
    seen = verify_membership(first, identity.fingerprint, 0)
    assert [member.party for member in seen.members] == ["city-runners", "hill-runners"]
    assert [member.party for member in verify_membership(second, identity.fingerprint, seen.version).members] == [
        "hill-runners"
    ]
    with pytest.raises(SignatureError, match="older"):
        verify_membership(first, identity.fingerprint, second.membership.version)


def test_a_revoked_party_is_out_at_once_and_only_once(office: Any) -> None:
    office.join("City Runners")
    office.store.revoke("city-runners")
    assert office.store.active_party_keys() == {}
    with pytest.raises(EnrolmentError, match="was revoked already"):
        office.store.revoke("city-runners")
    with pytest.raises(EnrolmentError, match="no party called"):
        office.store.revoke("nobody")
