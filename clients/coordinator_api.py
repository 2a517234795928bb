"""How a node talks to its coordinator over HTTPS: pinned authority, signed requests, bounded answers."""

import hashlib
import json
import re
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from clients.pinned import Pinned, load_pinned
from clients.settings import NodeFolder
from federation.enrolment import API_PATH, HTTP_DOMAIN, certificate_fingerprint, request_bytes
from federation.errors import EnrolmentError, LinkError, UsageError
from federation.signing import Identity
from federation.terms import HEX64, SLUG

TIMEOUT_S = 20.0
MAX_ANSWER_BYTES = 4 << 20
SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class Api:
    """One coordinator as `identity` reaches it; trusts only certificates by `ca`."""

    pinned: Pinned
    identity: Identity
    ca: str

    def get(self, path: str) -> Any:
        """The JSON answer to a signed GET of `path` below ``/paceline/v1``."""
        return _json(self._signed("GET", path, b"", MAX_ANSWER_BYTES))

    def post(self, path: str, body: bytes) -> Any:
        """The JSON answer to a signed POST."""
        return _json(self._signed("POST", path, body, MAX_ANSWER_BYTES))

    def download(self, path: str, most_bytes: int) -> bytes:
        """The bytes that answer a signed GET, at most `most_bytes`."""
        return self._signed("GET", path, b"", most_bytes)

    def _signed(self, method: str, path: str, body: bytes, most_bytes: int) -> bytes:
        time, nonce = datetime.now(UTC).isoformat(), secrets.token_hex(16)
        signed = request_bytes(method, API_PATH + path, body, self.pinned.party, time, nonce)
        headers = {
            "Paceline-Party": self.pinned.party,
            "Paceline-Time": time,
            "Paceline-Nonce": nonce,
            "Paceline-Signature": self.identity.sign(HTTP_DOMAIN, signed).hex(),
        }
        with client(self.pinned.address, trusting(self.ca)) as http:
            request = http.build_request(method, API_PATH + path, content=body, headers=headers)
            return _sent(http, request, most_bytes)


def task_path(name: str) -> str:
    """The address of the task that the owner calls `name` (or by its digest); `UsageError` if no task can be called so.

    What is typed here ends up in paths: of the coordinator's addresses, and of the file of a release.
    """
    if not re.fullmatch(f"{SLUG}|{HEX64}", name):
        raise UsageError(f"no task can be called {name!r}; expected a-z, 0-9 and -. List them: paceline node tasks")
    return f"/tasks/{name}"


def open_api(folder: NodeFolder) -> Api:
    """The coordinator that the node in `folder` joined; its authority must still be the pinned one."""
    pinned = load_pinned(folder)
    try:
        ca = folder.ca.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise EnrolmentError(f"{folder.ca} cannot be read. Restore it from a backup, or join anew.") from error
    if certificate_fingerprint(ca.encode()) != pinned.ca_sha256:
        raise EnrolmentError(f"{folder.ca} is not the authority that was pinned at joining. Restore it from a backup.")
    return Api(pinned, Identity.load(folder.identity), ca)


def fetch_authority(address: str) -> str:
    """The coordinator's ca.pem, unverified: the caller compares it with its token before it uses it for anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with client(address, context) as http:
        return _sent(http, http.build_request("GET", f"{API_PATH}/ca.pem")).decode("ascii", errors="replace")


def send_unsigned(address: str, ca: str, method: str, path: str, body: bytes) -> Any:
    """The JSON answer to a request that carries its own proof, or needs none."""
    with client(address, trusting(ca)) as http:
        return _json(_sent(http, http.build_request(method, API_PATH + path, content=body)))


def coordinator_time(folder: NodeFolder, clock: Callable[[], datetime]) -> tuple[datetime, datetime]:
    """The coordinator's clock and ours at the same moment (the middle of the request)."""
    api = open_api(folder)
    before = clock()
    answer = send_unsigned(api.pinned.address, api.ca, "GET", "/time", b"")
    after = clock()
    try:
        return datetime.fromisoformat(answer["time"]), before + (after - before) / 2
    except (KeyError, TypeError, ValueError) as error:
        raise LinkError("the coordinator's answer about its time is no time. Is it of the same version?") from error


def trusting(ca: str) -> ssl.SSLContext:
    """TLS that believes in one authority and no other, whatever this machine trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca)
    return context


def client(address: str, context: ssl.SSLContext) -> httpx.Client:
    """A connection that follows no redirects and reads no environment."""
    return httpx.Client(base_url=address, verify=context, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)


def _sent(http: httpx.Client, request: httpx.Request, most_bytes: int = MAX_ANSWER_BYTES) -> bytes:
    """The body of a good answer; `EnrolmentError` with the coordinator's words, `LinkError` where none came."""
    try:
        answer = http.send(request, stream=True)
        body = _bounded(answer, most_bytes)
    except httpx.ConnectError as error:
        raise _unreachable(str(http.base_url), error) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise LinkError(
            f"the coordinator at {http.base_url} did not answer in time or properly ({type(error).__name__}). "
            "Try again; if it repeats, ask the coordinator whether `paceline server up` runs."
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise EnrolmentError(f"the coordinator refused: {_reason(body, answer.status_code)}")
    return body


def _bounded(answer: httpx.Response, most_bytes: int) -> bytes:
    body = bytearray()
    try:
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > most_bytes:
                raise LinkError(f"the coordinator's answer is larger than {most_bytes} bytes; it was cut off.")
    finally:
        answer.close()
    return bytes(body)


def _unreachable(address: str, error: httpx.ConnectError) -> EnrolmentError | LinkError:
    cause = error.__cause__
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return EnrolmentError(
            f"{address} shows a certificate that the pinned authority did not issue for it ({cause.verify_message}). "
            "Somebody may stand in between; ask the coordinator before you go on."
        )
    return LinkError(
        f"the coordinator at {address} cannot be reached ({error}). Check address, network and firewall, and that "
        "`paceline server up` runs there."
    )


def _reason(body: bytes, status: int) -> str:
    """The other side's words, made harmless for a terminal."""
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {status} without a reason. Is this the address of a Paceline coordinator?"
    return "".join(letter if letter.isprintable() else " " for letter in text)[:SHOWN_CHARACTERS]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        digest = hashlib.sha256(body).hexdigest()[:12]
        raise LinkError(f"the coordinator's answer is not JSON ({len(body)} bytes, {digest}). Same version?") from error
