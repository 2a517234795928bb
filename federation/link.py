"""The port between the coordinator's rounds and the nodes: Flower in deployment, loopback in simulation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from federation.ids import PartyId


@dataclass(frozen=True)
class Reply:
    """What came back from one party: bytes of an answer, or a reason of the transport's own (`failure`).

    `resent`: bytes of the request that left once more, for a node that was started again; negative if it never left.
    """

    party: PartyId
    blob: bytes | None
    failure: str = ""
    resent: int = 0


class Link(Protocol):
    """Carries a packed request to each of many parties and hands back replies one by one as they arrive."""

    def reachable(self) -> frozenset[PartyId]:
        """Parties whose nodes are connected now and not revoked."""

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        """Send each party its request; yield at most one reply each until `deadline_s` has passed.

        A party that does not answer in time yields a `Reply` with a failure, at the deadline at the latest.
        """
