"""From an HTTP request to a checked call: size limit, signature, time window, single-use nonce."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from starlette.requests import ClientDisconnect, Request

from federation.enrolment import HTTP_DOMAIN, MAX_BODY_BYTES, REQUEST_WINDOW_S, request_bytes
from federation.errors import EnrolmentError, SignatureError
from federation.ids import PartyId
from federation.signing import verify
from server.store import Party, ServerStore

NONCE = re.compile(r"[0-9a-f]{32}")
SIGNATURE = re.compile(r"[0-9a-f]{128}")
WINDOW = timedelta(seconds=REQUEST_WINDOW_S)


class ApiError(Exception):
    """An answer other than 2xx: the caller reads `code` and the message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Call:
    """What came over the wire, read in full and small enough."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    values: dict[str, str]


async def read_call(request: Request) -> Call:
    """The whole request, or `ApiError` as soon as its body is larger than allowed."""
    return Call(
        method=request.method,
        path=request.scope["path"],
        query=request.url.query,
        headers={key.lower(): value for key, value in request.headers.items()},
        body=await _body(request),
        values=dict(request.path_params),
    )


def caller(store: ServerStore, call: Call) -> Party:
    """The party that signed `call`: freshly, for the first time, and still a member."""
    if call.query:
        raise ApiError(400, "bad-request", "this address takes no query; what follows ? is not signed.")
    party_name, time, nonce, signature = _headers(call)
    party = _known(store, party_name)
    at = _moment(time)
    _require_now(at, store.clock())
    signed = request_bytes(call.method, call.path, call.body, PartyId(party_name), time, nonce)
    try:
        verify(bytes.fromhex(party.public_key), HTTP_DOMAIN, signed, bytes.fromhex(signature))
    except SignatureError as error:
        raise ApiError(401, "bad-signature", f"the request is not signed by the key of {party_name}.") from error
    if not store.spend_nonce(sha256(f"{party_name}:{nonce}".encode()).hexdigest(), 2 * WINDOW):
        raise ApiError(401, "replayed", "this request came before; each nonce works once.")
    if not party.active:
        word = "was revoked by the coordinator" if party.revoked_at else "left"
        raise ApiError(403, "not-a-member", f"{party_name} {word}; ask the coordinator for a new invitation.")
    return party


async def _body(request: Request) -> bytes:
    too_large = ApiError(413, "too-large", f"the body is larger than {MAX_BODY_BYTES} bytes.")
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise too_large
    except ClientDisconnect as error:
        raise ApiError(400, "bad-request", "the connection ended before the body did.") from error
    return bytes(body)


def _headers(call: Call) -> tuple[str, str, str, str]:
    names = ("paceline-party", "paceline-time", "paceline-nonce", "paceline-signature")
    found = tuple(call.headers.get(name, "") for name in names)
    if not all(found):
        missing = ", ".join(name for name, value in zip(names, found, strict=True) if not value)
        raise ApiError(401, "unsigned", f"the request lacks {missing}; only a party's node may call this address.")
    party, time, nonce, signature = found
    if not NONCE.fullmatch(nonce) or not SIGNATURE.fullmatch(signature):
        raise ApiError(401, "bad-signature", "nonce or signature are not hexadecimal digits of the right length.")
    return party, time, nonce, signature


def _known(store: ServerStore, party: str) -> Party:
    try:
        return store.party(party)
    except EnrolmentError as error:
        raise ApiError(401, "not-a-member", "no party of this name has joined here; run paceline node join.") from error


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ApiError(401, "clock", "Paceline-Time is no ISO 8601 time with an offset.") from error
    if at.tzinfo is None:
        raise ApiError(401, "clock", "Paceline-Time has no offset; expected for example 2026-01-31T12:00:00+00:00.")
    return at


def _require_now(at: datetime, now: datetime) -> None:
    if abs(now - at) > WINDOW:
        raise ApiError(
            401,
            "clock",
            f"the request was signed at {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, but it is {now:%H:%M:%S} here; "
            f"at most {REQUEST_WINDOW_S} s may lie between. Set the clock of this machine (NTP).",
        )
