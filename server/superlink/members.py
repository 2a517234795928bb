"""Which node keys may connect, as Flower sees them: registered at joining, hidden at once when revoked."""

from federation import flower  # noqa: F401  (before flwr: it switches telemetry off)

# isort: split
import asyncio
import base64
import binascii
import time
from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.superlink.federation import NoOpFederationManager

from federation.errors import EnrolmentError
from federation.gate import Caller, Denied, Headers
from federation.ids import PartyId
from server.active import Active

FRESH_S = 0.05
UNKNOWN = Denied(401, "this node key is not registered, or was revoked")


class Membership(NoOpFederationManager):
    """What Flower asks before it shows a node a run or a message; overrides what lets everybody in."""

    def __init__(self, active: Active) -> None:
        super().__init__(simulation=False)
        self._active = active

    def filter_nodes(self, node_ids: set[int], federation_id: str) -> set[int]:
        """Those of `node_ids` that may take part now; the SuperLink itself, as a sender of messages, always may."""
        return super().filter_nodes(node_ids, federation_id) & {SUPERLINK_NODE_ID, *self._active()}

    def has_node(self, node_id: int, federation_id: str) -> bool:
        """Whether the node may take part now."""
        return super().has_node(node_id, federation_id) and node_id in self._active()


class LinkStateNodes:
    """The register of node keys in Flower's own database (`server.enrolment.NodeRegistry`)."""

    def __init__(self, state: LinkState) -> None:
        self._state = state

    def register(self, name: str, public_key_openssh: bytes) -> int:
        """Flower's number of the node with this key, which is registered if it was not."""
        pem = _pem(public_key_openssh)
        known = self._state.get_node_id_by_public_key(pem)
        if known is not None:
            return known
        node_id = self._state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, pem, HEARTBEAT_DEFAULT_INTERVAL, name=name)
        if node_id == 0:
            raise EnrolmentError(f"Flower's database did not take the node key of {name}; join again.")
        return node_id


class Doorkeeper:
    """Knows from the headers whose node calls, before any body is read; the signature is checked by Flower after."""

    def __init__(self, state: LinkState, active: Active) -> None:
        self._state = state
        self._active = active
        self._numbers: dict[str, int] = {}
        self._read_at = 0.0
        self._read: Mapping[int, PartyId] = {}

    async def message(self, headers: Headers) -> Caller | Denied:
        """For calls that fetch or bring a message: the store is asked every time."""
        return await asyncio.to_thread(self._identify, headers, 0.0)

    async def part(self, headers: Headers) -> Caller | Denied:
        """For the many calls that carry parts of a message: what the store said may be a moment old."""
        return await asyncio.to_thread(self._identify, headers, FRESH_S)

    def _identify(self, headers: Headers, fresh_s: float) -> Caller | Denied:
        node_id = self._number(headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER.lower(), ""))
        if node_id is None:
            return UNKNOWN
        if time.monotonic() - self._read_at >= fresh_s:
            self._read, self._read_at = self._active(), time.monotonic()
        party = self._read.get(node_id)
        return UNKNOWN if party is None else Caller(party)

    def _number(self, header: str) -> int | None:
        """The node's number; only registered keys are remembered, so that strangers cannot fill the memory."""
        known = self._numbers.get(header)
        if known is None and header:
            try:
                known = self._state.get_node_id_by_public_key(base64.b64decode(header, validate=True))
            except binascii.Error:
                return None
            if known is not None:
                self._numbers[header] = known
        return known


def _pem(public_key_openssh: bytes) -> bytes:
    """The key as Flower stores it; `EnrolmentError` unless it is a P-384 key in OpenSSH format."""
    try:
        key = load_ssh_public_key(public_key_openssh)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EnrolmentError(
            "the node key is not an OpenSSH public key; make one with `paceline node join`."
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EnrolmentError("the node key is not on the curve P-384; make one with `paceline node join`.")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
