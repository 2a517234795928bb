"""What a joining party and the coordinator say over HTTP: the invitation token and the bytes that are signed."""

import base64
import hashlib
from datetime import datetime
from typing import Annotated, Any

import rfc8785
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from federation.errors import EnrolmentError
from federation.ids import Fingerprint, PartyId
from federation.roles import Role
from federation.terms import HEX64, PRINTABLE, SLUG

TOKEN_PREFIX = "paceline1."  # noqa: S105
JOIN_DOMAIN = "paceline/join/1"
HTTP_DOMAIN = "paceline/http/1"
API_PATH = "/paceline/v1"
REQUEST_WINDOW_S = 300
"""How far the clock of a signed request may be from the coordinator's."""
MAX_BODY_BYTES = 1 << 20
CHECKSUM_BYTES = 4
MAX_TOKEN_LETTERS = 4096


class Wire(BaseModel):
    """A frozen JSON document; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Invitation(Wire):
    """What a token says: where the coordinator is, how to recognise it, who is invited; `secret` works once."""

    address: Annotated[str, Field(pattern=r"^https://[^/?#\s]{1,255}$")]
    ca_sha256: Annotated[str, Field(pattern=HEX64)]
    coordinator: Annotated[Fingerprint, Field(pattern=HEX64)]
    secret: Annotated[str, Field(pattern=HEX64, repr=False)]
    party: Annotated[PartyId, Field(pattern=SLUG)]
    role: Role
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=PRINTABLE)]
    expires_at: AwareDatetime


class JoinRequest(Wire):
    """Body of ``POST /join``: the invitation's secret with the party's keys, signed by the identity key.

    The signature, under `JOIN_DOMAIN` over `join_bytes`, proves that the party holds the key that it registers.
    """

    secret: Annotated[str, Field(pattern=HEX64, repr=False)]
    identity_key: Annotated[str, Field(pattern=HEX64)]
    supernode_key: Annotated[str, Field(max_length=1000, pattern=r"^ecdsa-sha2-nistp(256|384|521) [A-Za-z0-9+/=]+")]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class JoinAnswer(Wire):
    """Answer to ``POST /join``; the party compares `coordinator_key` with the token's fingerprint."""

    party: Annotated[PartyId, Field(pattern=SLUG)]
    name: Annotated[str, Field(max_length=80, pattern=PRINTABLE)]
    role: Role
    coordinator_key: Annotated[str, Field(pattern=HEX64)]
    coordinator_name: Annotated[str, Field(max_length=80, pattern=PRINTABLE)]


def encode_token(invitation: Invitation) -> str:
    """One line to paste."""
    body = rfc8785.dumps(invitation.model_dump(mode="json"))
    return TOKEN_PREFIX + base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")


def decode_token(token: str) -> Invitation:
    """The invitation of a pasted line; `EnrolmentError` that tells a truncated line from a foreign one."""
    text = "".join(token.split())
    if len(text) > MAX_TOKEN_LETTERS or not text.startswith(TOKEN_PREFIX):
        raise EnrolmentError(f"this is not a join token: it must begin with {TOKEN_PREFIX!r}. Paste the whole line.")
    encoded = text.removeprefix(TOKEN_PREFIX)
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise EnrolmentError(_DAMAGED) from error
    body, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if _checksum(body) != checksum:
        raise EnrolmentError(_DAMAGED)
    try:
        return Invitation.model_validate_json(body)
    except ValidationError as error:
        raise EnrolmentError("the join token is of another version of paceline; install the same version.") from error


def join_bytes(request: JoinRequest) -> bytes:
    """What the identity key signs when it joins: everything but the signature."""
    return rfc8785.dumps(request.model_dump(mode="json", exclude={"signature"}))


def request_bytes(method: str, path: str, body: bytes, party: PartyId, time: str, nonce: str) -> bytes:
    """What a party signs, under `HTTP_DOMAIN`, for each request; `path` from ``/paceline/v1`` on, without a query.

    `time` and `nonce` are the texts of the headers Paceline-Time (ISO 8601 with an offset) and Paceline-Nonce
    (32 hexadecimal digits).
    """
    content: dict[str, Any] = {
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "method": method,
        "nonce": nonce,
        "party": party,
        "path": path,
        "time": time,
    }
    return rfc8785.dumps(content)


def certificate_fingerprint(pem: bytes) -> str:
    """SHA-256 of a certificate's DER bytes, as tokens pin the coordinator's authority; `EnrolmentError` if it is none.

    ``openssl x509 -in ca.crt -noout -fingerprint -sha256`` prints the same.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        return x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
    except ValueError as error:
        raise EnrolmentError("what the coordinator sent as ca.pem is no certificate; check its address.") from error


def expired(invitation: Invitation, at: datetime) -> bool:
    """Whether the invitation can no longer be used."""
    return at >= invitation.expires_at


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECKSUM_BYTES]


_DAMAGED = "the join token is truncated or damaged: its checksum is wrong. Copy the whole line again."
