"""Who said what: Ed25519 identities, signatures with a domain each, and the signed documents of a task."""

import hashlib
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from federation.errors import EnrolmentError, ManifestError, SignatureError
from federation.ids import Fingerprint, PartyId, TaskDigest
from federation.manifest import Manifest, Member, explain
from federation.roles import Step, may
from federation.terms import HEX64, Part

MANIFEST = "paceline/manifest/1"
MEMBERSHIP = "paceline/membership/1"
CLOCK_TOLERANCE = timedelta(seconds=60)

KeyHex = Annotated[str, Field(pattern=HEX64)]
SignatureHex = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
Signer = Literal["coordinator", "algorithm-provider", "party"]
Data = bytes | bytearray | memoryview


class Identity:
    """A party's or the coordinator's Ed25519 key; `repr` shows the fingerprint only."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key: bytes = key.public_key().public_bytes_raw()
        self.fingerprint: Fingerprint = fingerprint(self.public_key)

    def __repr__(self) -> str:
        return f"Identity({self.fingerprint})"

    @classmethod
    def create(cls) -> Self:
        """A new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key in `path`, or `SignatureError`; refused if other users of the machine could read it."""
        try:
            mode = path.stat().st_mode & 0o777
            data = path.read_bytes()
        except OSError as error:
            raise SignatureError(f"the identity key {path} cannot be read ({error.strerror}); was it moved?") from error
        if os.name == "posix" and mode & 0o077:
            raise SignatureError(f"{path} has mode {mode:o}, so others may read this key; run: chmod 600 {path}")
        return cls(_ed25519(data, path))

    def save(self, path: Path) -> None:
        """Write the key to `path` as PKCS8 PEM with mode 0600; a file that exists is never overwritten."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError as error:
            raise SignatureError(f"{path} holds a key already; keep it, or choose an empty folder.") from error
        except OSError as error:
            raise SignatureError(f"the identity key {path} cannot be written ({error.strerror}).") from error

    def derived(self, purpose: bytes) -> bytes:
        """32 secret bytes for `purpose`, always the same (HKDF-SHA256, RFC 5869); they tell nothing of the key."""
        return HKDF(SHA256(), 32, None, b"paceline/derived/1" + purpose).derive(self._key.private_bytes_raw())

    def sign(self, domain: str, data: Data) -> bytes:
        """64 bytes over SHA-256(domain ‖ 0 ‖ data); a signature of one domain is worth nothing in another."""
        return self._key.sign(_message(domain, data))


def fingerprint(public_key: bytes) -> Fingerprint:
    """SHA-256 of a raw public key (32 bytes)."""
    if len(public_key) != 32:
        raise SignatureError(f"a public key of {len(public_key)} bytes; Ed25519 keys have 32.")
    return Fingerprint(hashlib.sha256(public_key).hexdigest())


def verify(public_key: bytes, domain: str, data: Data, signature: bytes) -> None:
    """Raise `SignatureError` unless `signature` is by `public_key`, in this `domain`, over exactly `data`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _message(domain, data))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"the signature ({domain}) does not fit the bytes and the expected key: "
            "the bytes were changed, or somebody else signed them."
        ) from error


def canonical(body: dict[str, Any]) -> bytes:
    """RFC 8785 bytes of plain JSON values; what is signed outside of messages."""
    return rfc8785.dumps(body)


class Signature(Part):
    """One signature under a manifest's digest; `party` is empty or the coordinator's own name for a coordinator."""

    signer: Signer
    party: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,40}$")]
    public_key: KeyHex
    signed_at: AwareDatetime
    signature: SignatureHex


class SignedManifest(Part):
    """A task with the signatures collected so far."""

    manifest: Manifest
    signatures: Annotated[tuple[Signature, ...], Field(max_length=1001)]


def sign_digest(identity: Identity, digest: TaskDigest, signer: Signer, party: str, at: datetime) -> Signature:
    """`identity`'s signature under the task `digest`."""
    unsigned = Signature(
        signer=signer, party=party, public_key=identity.public_key.hex(), signed_at=at, signature="0" * 128
    )
    signature = identity.sign(MANIFEST, _signed_words(unsigned, digest))
    return unsigned.model_copy(update={"signature": signature.hex()})


def parse_signed_manifest(data: bytes | str) -> SignedManifest:
    """A signed manifest from JSON text, or `ManifestError`; the signatures are not checked yet."""
    try:
        return SignedManifest.model_validate_json(data)
    except ValidationError as error:
        raise ManifestError(explain(error)) from error


def verify_manifest(signed: SignedManifest, coordinator: Fingerprint, at: datetime) -> Manifest:
    """The manifest, if the pinned coordinator and an algorithm provider of its cohort signed it and it is current.

    Every signature that is there must hold. Raises `SignatureError` or `ManifestError`.
    """
    manifest = signed.manifest
    if manifest.coordinator != coordinator:
        raise SignatureError(
            f"task {manifest.name} is of coordinator {manifest.coordinator}; "
            f"this side has pinned {coordinator}. Do not go on before you know why."
        )
    for signature in signed.signatures:
        verify_signature(signature, manifest)
    signers = {signature.signer for signature in signed.signatures}
    for needed in ("coordinator", "algorithm-provider"):
        if needed not in signers:
            raise SignatureError(
                f"task {manifest.name} is not signed by its {needed}; expected that signature, too. They sign at their "
                f"own place with: paceline task sign {manifest.name}"
            )
    _require_current(manifest, at)
    return manifest


def verify_signature(signature: Signature, manifest: Manifest) -> None:
    """Raise unless this one signature under `manifest` holds, by a key that the manifest names for its signer."""
    _require_key_of_signer(signature, manifest)
    words = _signed_words(signature, manifest.digest())
    verify(bytes.fromhex(signature.public_key), MANIFEST, words, bytes.fromhex(signature.signature))


class Membership(Part):
    """All parties that the coordinator vouches for; a later list has a greater `version`."""

    version: Annotated[int, Field(ge=1, lt=2**53)]
    issued_at: AwareDatetime
    members: Annotated[tuple[Member, ...], Field(max_length=1000)]

    @model_validator(mode="after")
    def _nobody_twice(self) -> Self:
        for field in ("party", "fingerprint"):
            if len({getattr(member, field) for member in self.members}) != len(self.members):
                raise ValueError(f"a {field} stands twice in the membership list")
        return self


class SignedMembership(Part):
    """A membership list with the coordinator's signature."""

    membership: Membership
    public_key: KeyHex
    signature: SignatureHex


def sign_membership(identity: Identity, membership: Membership) -> SignedMembership:
    """`membership` under the coordinator's `identity`."""
    signature = identity.sign(MEMBERSHIP, canonical(membership.model_dump(mode="json")))
    return SignedMembership(membership=membership, public_key=identity.public_key.hex(), signature=signature.hex())


def parse_signed_membership(data: bytes | str) -> SignedMembership:
    """A signed membership list from JSON text, or `EnrolmentError`; the signature is not checked yet."""
    try:
        return SignedMembership.model_validate_json(data)
    except ValidationError as error:
        raise EnrolmentError(explain(error, "membership list")) from error


def verify_membership(signed: SignedMembership, coordinator: Fingerprint, least_version: int) -> Membership:
    """The list, if the pinned coordinator signed it and it is not older than `least_version`, the last one seen."""
    if fingerprint(bytes.fromhex(signed.public_key)) != coordinator:
        raise SignatureError(f"the membership list is signed by another key than the pinned coordinator {coordinator}.")
    body = canonical(signed.membership.model_dump(mode="json"))
    verify(bytes.fromhex(signed.public_key), MEMBERSHIP, body, bytes.fromhex(signed.signature))
    if signed.membership.version < least_version:
        raise SignatureError(
            f"membership list {signed.membership.version} is older than {least_version}, which was seen before; "
            "somebody replays an old list. Ask the coordinator."
        )
    return signed.membership


def _message(domain: str, data: Data) -> bytes:
    digest = hashlib.sha256(domain.encode() + b"\0")
    digest.update(data)
    return digest.digest()


def _ed25519(pem: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no PEM private key; restore it from a backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} holds another kind of key; expected Ed25519.")
    return key


def _signed_words(signature: Signature, digest: TaskDigest) -> bytes:
    words = signature.model_dump(mode="json", include={"signer", "party", "signed_at"})
    return canonical(words | {"digest": digest})


def _require_key_of_signer(signature: Signature, manifest: Manifest) -> None:
    if signature.signer == "coordinator":
        if fingerprint(bytes.fromhex(signature.public_key)) != manifest.coordinator:
            raise SignatureError("the coordinator's signature is by another key than the task names as coordinator.")
        return
    require_cohort_key(manifest, PartyId(signature.party), signature.public_key)
    role = manifest.member(PartyId(signature.party)).role
    if signature.signer == "algorithm-provider" and not may(role, Step.SIGN_WORKLOAD):
        raise SignatureError(f"{signature.party} signed as algorithm provider, but the cohort lists it as {role}.")


def require_cohort_key(manifest: Manifest, party: PartyId, public_key: str) -> None:
    """Raise `SignatureError` unless the contract names this key for the party."""
    expected, found = manifest.member(party).fingerprint, fingerprint(bytes.fromhex(public_key))
    if found != expected:
        raise SignatureError(f"{party} signed with key {found}; task {manifest.name} names {expected} for it.")


def _require_current(manifest: Manifest, at: datetime) -> None:
    if manifest.issued_at > at + CLOCK_TOLERANCE:
        raise ManifestError(
            f"task {manifest.name} was issued at {manifest.issued_at.isoformat()}, which lies in the future; "
            "check the clocks on both sides."
        )
    if manifest.expired(at):
        raise ManifestError(
            f"task {manifest.name} expired at {manifest.expires_at.isoformat()}; ask its owner for a new one."
        )
