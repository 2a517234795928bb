"""Identities keep their key to themselves; documents hold only with the right signatures by the right keys."""

import stat
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from federation.acceptance import Acceptance, accept, parse_acceptance, verify_acceptance
from federation.errors import EnrolmentError, ManifestError, SignatureError
from federation.manifest import Manifest
from federation.signing import (
    Identity,
    Membership,
    SignedManifest,
    SignedMembership,
    fingerprint,
    parse_signed_manifest,
    parse_signed_membership,
    sign_digest,
    sign_membership,
    verify,
    verify_manifest,
    verify_membership,
)
from simulations.specimens import (
    COACHES,
    EXPIRES,
    ISSUED,
    MAKERS,
    NOW,
    RUNNERS,
    acceptance,
    identity,
    manifest,
    members,
    membership,
    signed_manifest,
)

COORDINATOR = identity("coordinator")


def test_identity_survives_saving_with_mode_0600(tmp_path):
    mine = Identity.create()
    mine.save(tmp_path / "identity.key")
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600
    assert Identity.load(tmp_path / "identity.key").public_key == mine.public_key


def test_identity_is_never_overwritten(tmp_path):
    path = tmp_path / "identity.key"
    Identity.create().save(path)
    before = path.read_bytes()
    with pytest.raises(SignatureError, match="holds a key already; keep it"):
        Identity.create().save(path)
    assert path.read_bytes() == before


def test_identity_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "identity.key"
    Identity.create().save(path)
    path.chmod(0o644)
    with pytest.raises(SignatureError, match="mode 644, so others may read this key; run: chmod 600"):
        Identity.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\0" * 99]
)
def test_damaged_identity_is_a_signature_error(tmp_path, content):
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SignatureError, match="is no PEM private key; restore it from a backup"):
        Identity.load(path)


def test_another_kind_of_key_is_refused(tmp_path):
    path = tmp_path / "identity.key"
    key = generate_private_key(SECP384R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(SignatureError, match="another kind of key; expected Ed25519"):
        Identity.load(path)


def test_missing_identity_says_what_to_do(tmp_path):
    with pytest.raises(SignatureError, match=r"cannot be read .*was it moved"):
        Identity.load(tmp_path / "identity.key")
    with pytest.raises(SignatureError, match="cannot be written"):
        Identity.create().save(tmp_path / "no" / "identity.key")


def test_repr_shows_the_fingerprint_only():
    assert repr(COORDINATOR) == f"Identity({fingerprint(COORDINATOR.public_key)})"


def test_a_public_key_of_another_length_has_no_fingerprint():
    with pytest.raises(SignatureError, match="a public key of 31 bytes; Ed25519 keys have 32"):
        fingerprint(b"\0" * 31)


@pytest.mark.parametrize(
    ("key", "domain", "data", "length"),
    [
        (identity("eve").public_key, "paceline/test/1", b"data", 64),
        (COORDINATOR.public_key, "paceline/test/2", b"data", 64),
        (COORDINATOR.public_key, "paceline/test/1", b"datA", 64),
        (COORDINATOR.public_key, "paceline/test/1", b"data", 63),
        (b"short", "paceline/test/1", b"data", 64),
        (COORDINATOR.public_key, "paceline/test/1\0da", b"ta", 64),
    ],
)
def test_signature_holds_for_one_key_domain_and_message(key, domain, data, length):
    signature = COORDINATOR.sign("paceline/test/1", b"data")
    verify(COORDINATOR.public_key, "paceline/test/1", b"data", signature)
    with pytest.raises(SignatureError, match="does not fit the bytes and the expected key"):
        verify(key, domain, data, signature[:length])


def test_signed_task_is_accepted_and_survives_json():
    again = parse_signed_manifest(signed_manifest().model_dump_json())
    assert verify_manifest(again, COORDINATOR.fingerprint, NOW) == manifest()


def test_party_may_sign_too_and_its_signature_is_checked():
    signed = signed_manifest()
    extra = sign_digest(identity(RUNNERS), manifest().digest(), "party", RUNNERS, NOW)
    whole = signed.model_copy(update={"signatures": (*signed.signatures, extra)})
    assert verify_manifest(whole, COORDINATOR.fingerprint, NOW)
    damaged = whole.model_copy(update={"signatures": (*signed.signatures, extra.model_copy(update={"party": COACHES}))})
    with pytest.raises(SignatureError, match="coach-lab signed with key"):
        verify_manifest(damaged, COORDINATOR.fingerprint, NOW)


def _with(*signatures: object) -> SignedManifest:
    return SignedManifest(manifest=manifest(), signatures=signatures)


def _sign(name: str, signer: str, party: str):
    return sign_digest(identity(name), manifest().digest(), signer, party, ISSUED)


BY_COORDINATOR, BY_MAKERS = _sign("coordinator", "coordinator", ""), _sign(MAKERS, "algorithm-provider", MAKERS)


@pytest.mark.parametrize(
    ("signed", "text"),
    [
        (_with(), "is not signed by its coordinator"),
        (_with(BY_MAKERS), "is not signed by its coordinator"),
        (_with(BY_COORDINATOR), "is not signed by its algorithm-provider"),
        (_with(_sign("eve", "coordinator", ""), BY_MAKERS), "by another key than the task names as coordinator"),
        (_with(BY_COORDINATOR, _sign("eve", "algorithm-provider", MAKERS)), "model-makers signed with key"),
        (
            _with(BY_COORDINATOR, _sign(RUNNERS, "algorithm-provider", RUNNERS)),
            "city-runners signed as algorithm provider, but the cohort lists it as data-provider",
        ),
        (_with(BY_COORDINATOR, BY_MAKERS.model_copy(update={"signed_at": NOW})), "does not fit the bytes"),
        (_with(BY_COORDINATOR, BY_MAKERS.model_copy(update={"signer": "party"})), "does not fit the bytes"),
        (_with(BY_COORDINATOR.model_copy(update={"signature": "0" * 128}), BY_MAKERS), "does not fit the bytes"),
    ],
)
def test_signed_task_is_refused(signed, text):
    with pytest.raises(SignatureError, match=text):
        verify_manifest(signed, COORDINATOR.fingerprint, NOW)


def test_signature_by_a_stranger_to_the_cohort_is_refused():
    with pytest.raises(ManifestError, match="eve is not in the cohort"):
        verify_manifest(_with(BY_COORDINATOR, BY_MAKERS, _sign("eve", "party", "eve")), COORDINATOR.fingerprint, NOW)


def test_edited_task_loses_its_signatures():
    signed = signed_manifest()
    edited = Manifest.model_validate(dict(signed.manifest) | {"rounds": 9})
    with pytest.raises(SignatureError, match="does not fit the bytes"):
        verify_manifest(signed.model_copy(update={"manifest": edited}), COORDINATOR.fingerprint, NOW)


def test_task_of_another_coordinator_is_refused():
    with pytest.raises(SignatureError, match="this side has pinned"):
        verify_manifest(signed_manifest(), identity("eve").fingerprint, NOW)


def test_task_is_valid_from_a_minute_before_issue_until_expiry():
    signed, pinned = signed_manifest(), COORDINATOR.fingerprint
    verify_manifest(signed, pinned, ISSUED - timedelta(seconds=60))
    with pytest.raises(ManifestError, match="lies in the future; check the clocks"):
        verify_manifest(signed, pinned, ISSUED - timedelta(seconds=61))
    verify_manifest(signed, pinned, EXPIRES - timedelta(seconds=1))
    with pytest.raises(ManifestError, match="expired at 2026-01-31"):
        verify_manifest(signed, pinned, EXPIRES)


def test_acceptance_holds_for_its_task_and_key():
    yes = parse_acceptance(acceptance().model_dump_json())
    verify_acceptance(yes, manifest())
    assert accept(identity(RUNNERS), RUNNERS, manifest().digest(), NOW).nonce != yes.nonce


@pytest.mark.parametrize(
    ("yes", "text"),
    [
        (accept(identity("eve"), RUNNERS, manifest().digest(), NOW), "city-runners signed with key"),
        (acceptance().model_copy(update={"task": "0" * 64}), "the terms were changed after the acceptance"),
        (acceptance().model_copy(update={"accepted_at": EXPIRES}), "does not fit the bytes"),
        (acceptance().model_copy(update={"nonce": "0" * 32}), "does not fit the bytes"),
        (acceptance().model_copy(update={"party": COACHES}), "coach-lab signed with key"),
    ],
)
def test_acceptance_is_refused(yes: Acceptance, text):
    with pytest.raises(SignatureError, match=text):
        verify_acceptance(yes, manifest())


def test_membership_list_holds_for_the_pinned_coordinator():
    again = parse_signed_membership(membership().model_dump_json())
    assert verify_membership(again, COORDINATOR.fingerprint, 3).members == members(people=0)


@pytest.mark.parametrize(
    ("signed", "pinned", "least", "text"),
    [
        (membership(), identity("eve").fingerprint, 0, "another key than the pinned coordinator"),
        (sign_membership(identity("eve"), membership().membership), COORDINATOR.fingerprint, 0, "another key"),
        (membership(), COORDINATOR.fingerprint, 4, "membership list 3 is older than 4"),
        (
            membership().model_copy(
                update={"membership": Membership(version=9, issued_at=NOW, members=members(people=0))}
            ),
            COORDINATOR.fingerprint,
            3,
            "does not fit the bytes",
        ),
    ],
)
def test_membership_list_is_refused(signed: SignedMembership, pinned, least, text):
    with pytest.raises(SignatureError, match=text):
        verify_membership(signed, pinned, least)


def test_nobody_stands_twice_in_a_membership_list():
    with pytest.raises(ValueError, match="a party stands twice"):
        Membership(version=1, issued_at=NOW, members=(*members(), members()[0]))


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (parse_signed_manifest, ManifestError),
        (parse_acceptance, EnrolmentError),
        (parse_signed_membership, EnrolmentError),
    ],
)
@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"[" * 10_000, b'{"a":1}'])
def test_nonsense_is_a_clean_error(read, error, data):
    with pytest.raises(error, match="this is not a valid"):
        read(data)
