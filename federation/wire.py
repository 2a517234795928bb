"""One packed, signed blob per message.

::

    "PCL2" | header length, u32 little-endian | payload | header | signature, 64 bytes

The header is the RFC 8785 form of ``{"header": …, "payload_bytes": …, "payload_sha256": …}``. The signature is over
the first 8 bytes and the header, in a domain of its own for each direction; the header has the digest of the payload,
whose bytes are hashed once, and lie where numbers of 8 bytes can be read in place. Reading checks the lengths first,
then the signature, then the header, and the payload last: no parser ever sees bytes of a stranger.
"""

import hashlib
from typing import Annotated, Any, TypeVar

import rfc8785
from pydantic import Field, ValidationError

from federation import canonical
from federation.codecs.checks import Data
from federation.errors import WireError
from federation.manifest import explain
from federation.messages import (
    AgreedAnswer,
    AgreeRequest,
    Answer,
    Count,
    EvaluateRequest,
    Header,
    InitialAnswer,
    InitialiseRequest,
    PreparedAnswer,
    PrepareRequest,
    RefusalAnswer,
    Request,
    ScoresAnswer,
    TrainRequest,
    UnmaskedAnswer,
    UnmaskRequest,
    UpdateAnswer,
)
from federation.signing import Identity, verify
from federation.terms import HEX64

MAGIC = b"PCL2"
MAX_HEADER_BYTES = 256 * 1024
SIGNATURE_BYTES = 64
PREFIX_BYTES = len(MAGIC) + 4
OVERHEAD_BYTES = PREFIX_BYTES + SIGNATURE_BYTES
REQUEST = "paceline/request/2"
ANSWER = "paceline/answer/2"
BARE = (InitialiseRequest, PrepareRequest, AgreeRequest, ScoresAnswer, RefusalAnswer, AgreedAnswer)
"""Messages that never have a payload."""

AnyRequest = TrainRequest | EvaluateRequest | InitialiseRequest | PrepareRequest | AgreeRequest | UnmaskRequest
AnyAnswer = InitialAnswer | UpdateAnswer | ScoresAnswer | RefusalAnswer | PreparedAnswer | AgreedAnswer | UnmaskedAnswer


class RequestEnvelope(Header):
    """What the header's bytes of a request hold."""

    header: Annotated[AnyRequest, Field(discriminator="kind")]
    payload_bytes: Count
    payload_sha256: Annotated[str, Field(pattern=HEX64)]


class AnswerEnvelope(Header):
    """What the header's bytes of an answer hold."""

    header: Annotated[AnyAnswer, Field(discriminator="kind")]
    payload_bytes: Count
    payload_sha256: Annotated[str, Field(pattern=HEX64)]


E = TypeVar("E", RequestEnvelope, AnswerEnvelope)


def pack(header: Request | Answer, payload: Data, identity: Identity) -> bytes:
    """The blob of one message, signed by `identity`."""
    if payload and isinstance(header, BARE):
        raise WireError(f"a message of {type(header).__name__} has no payload; {len(payload)} bytes were given.")
    envelope = _canonical(
        {
            "header": header.model_dump(mode="json"),
            "payload_bytes": len(payload),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
        }
    )
    if len(envelope) > MAX_HEADER_BYTES:
        raise WireError(f"a header of {len(envelope)} bytes; at most {MAX_HEADER_BYTES} are allowed.")
    return seal(envelope, payload, identity, REQUEST if isinstance(header, Request) else ANSWER)


def seal(envelope: bytes, payload: Data, identity: Identity, domain: str) -> bytes:
    """The blob around bytes of a header, whatever they say; `pack` is what messages are made with."""
    prefix = MAGIC + len(envelope).to_bytes(4, "little")
    return b"".join((prefix, payload, envelope, identity.sign(domain, prefix + envelope)))


def read_request(blob: bytes, coordinator_key: bytes, max_payload_bytes: int) -> tuple[AnyRequest, memoryview]:
    """Header and payload of a request by the pinned coordinator, or `WireError`, or `SignatureError`.

    The payload lies in `blob`, without a copy.
    """
    header, payload = _open(blob, coordinator_key, REQUEST, max_payload_bytes)
    envelope = _parse(header, RequestEnvelope)
    return envelope.header, _checked_payload(envelope, payload)


def read_answer(blob: bytes, party_key: bytes, max_payload_bytes: int) -> tuple[AnyAnswer, memoryview]:
    """Header and payload of an answer by the party of `party_key`, or `WireError`, or `SignatureError`.

    The payload lies in `blob`, without a copy. That ``header.party`` is this key's party is for the caller to check.
    """
    header, payload = _open(blob, party_key, ANSWER, max_payload_bytes)
    envelope = _parse(header, AnswerEnvelope)
    return envelope.header, _checked_payload(envelope, payload)


def _open(blob: bytes, key: bytes, domain: str, max_payload_bytes: int) -> tuple[bytes, memoryview]:
    """Header bytes and payload of a blob whose lengths and signature hold; of the payload nothing is known yet."""
    header = len(blob) - SIGNATURE_BYTES - _header_bytes(blob, max_payload_bytes)
    envelope = blob[header:-SIGNATURE_BYTES]
    verify(key, domain, blob[:PREFIX_BYTES] + envelope, blob[-SIGNATURE_BYTES:])
    return envelope, memoryview(blob)[PREFIX_BYTES:header]


def _header_bytes(blob: bytes, max_payload_bytes: int) -> int:
    if len(blob) < OVERHEAD_BYTES or blob[: len(MAGIC)] != MAGIC:
        raise WireError(
            f"these {len(blob)} bytes are no message: expected at least {OVERHEAD_BYTES} that begin with "
            f"{MAGIC.decode()}. Do both sides run the same version of paceline?"
        )
    size = int.from_bytes(blob[len(MAGIC) : PREFIX_BYTES], "little")
    if size > MAX_HEADER_BYTES or size > len(blob) - OVERHEAD_BYTES:
        raise WireError(
            f"the message declares a header of {size} bytes, of {len(blob)} bytes in all; "
            f"at most {MAX_HEADER_BYTES} are allowed. It was cut off or damaged."
        )
    payload = len(blob) - OVERHEAD_BYTES - size
    if payload > max_payload_bytes:
        raise WireError(f"a payload of {payload} bytes; the task allows at most {max_payload_bytes}.")
    return size


def _parse(data: bytes, kind: type[E]) -> E:
    try:
        envelope = kind.model_validate_json(data)
    except ValidationError as error:
        raise WireError(explain(error, "message")) from error
    # Two spellings of one header would be two blobs with one meaning; also stops repeated keys.
    if _canonical(envelope.model_dump(mode="json")) != data:
        raise WireError("the header is not in canonical form (RFC 8785); expected exactly one spelling.")
    return envelope


def _checked_payload(envelope: RequestEnvelope | AnswerEnvelope, payload: memoryview) -> memoryview:
    if len(payload) != envelope.payload_bytes:
        raise WireError(f"a payload of {len(payload)} bytes where the header declares {envelope.payload_bytes}.")
    if payload and isinstance(envelope.header, BARE):
        raise WireError(f"a message of {type(envelope.header).__name__} has no payload; found {len(payload)} bytes.")
    if hashlib.sha256(payload).hexdigest() != envelope.payload_sha256:
        raise WireError("the payload is not the one that the header names (SHA-256 differs).")
    return payload


def _canonical(body: dict[str, Any]) -> bytes:
    try:
        return canonical.dumps(body)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise WireError(f"the header has no canonical form (RFC 8785): {error}.") from error
