"""A party's yes to a task, signed, with the key to which others seal shares for it in the task's secure rounds."""

import secrets
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError

from federation.errors import EnrolmentError, SignatureError
from federation.ids import PartyId, TaskDigest
from federation.manifest import Manifest, explain
from federation.signing import Identity, KeyHex, SignatureHex, canonical, require_cohort_key, verify
from federation.terms import HEX64, SLUG, Part
from privacy.secagg.secrets import public_key, require_usable

ACCEPTANCE = "paceline/acceptance/1"


class Acceptance(Part):
    """A party's yes to exactly one manifest; `nonce` makes every acceptance a document of its own.

    `seal_key`: X25519 public key to which others seal shares for it in the task's secure rounds.
    """

    task: Annotated[TaskDigest, Field(pattern=HEX64)]
    party: Annotated[PartyId, Field(pattern=SLUG)]
    public_key: KeyHex
    accepted_at: AwareDatetime
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    seal_key: KeyHex
    signature: SignatureHex


def seal_seed(identity: Identity, digest: TaskDigest) -> bytes:
    """The private X25519 key with which a party opens what others sealed for it in the task `digest`: 32 bytes."""
    return identity.derived(b"seal" + bytes.fromhex(digest))


def accept(identity: Identity, party: PartyId, digest: TaskDigest, at: datetime) -> Acceptance:
    """`party` accepts the task `digest`."""
    unsigned = Acceptance(
        task=digest,
        party=party,
        public_key=identity.public_key.hex(),
        accepted_at=at,
        nonce=secrets.token_hex(16),
        seal_key=public_key(seal_seed(identity, digest)).hex(),
        signature="0" * 128,
    )
    body = canonical(unsigned.model_dump(mode="json", exclude={"signature"}))
    return unsigned.model_copy(update={"signature": identity.sign(ACCEPTANCE, body).hex()})


def verify_acceptance(acceptance: Acceptance, manifest: Manifest) -> None:
    """Raise unless `acceptance` is for `manifest`, by the key that its cohort names for the party."""
    if acceptance.task != manifest.digest():
        raise SignatureError(
            f"{acceptance.party} accepted task {acceptance.task[:12]}…, but this is {manifest.digest()[:12]}…; "
            "the terms were changed after the acceptance. Ask the party to review and accept again."
        )
    require_cohort_key(manifest, acceptance.party, acceptance.public_key)
    body = canonical(acceptance.model_dump(mode="json", exclude={"signature"}))
    verify(bytes.fromhex(acceptance.public_key), ACCEPTANCE, body, bytes.fromhex(acceptance.signature))
    require_usable(bytes.fromhex(acceptance.seal_key))


def parse_acceptance(data: bytes | str) -> Acceptance:
    """An acceptance from JSON text, or `EnrolmentError`; the signature is not checked yet."""
    try:
        return Acceptance.model_validate_json(data)
    except ValidationError as error:
        raise EnrolmentError(explain(error, "acceptance")) from error
