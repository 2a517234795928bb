"""A link within one process: every message still passes through its real wire bytes, with faults on demand."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from clients.node import Node
from clients.rounds import MAX_MODEL_BYTES, answer
from federation import wire
from federation.ids import PartyId
from federation.link import Reply

Fault = Callable[[PartyId, bytes], list[Reply]]
"""What becomes of one party's answer: none (lost), one (as it is, or changed), or several (repeated)."""


def faithful(party: PartyId, blob: bytes) -> list[Reply]:
    """The answer arrives once, unchanged."""
    return [Reply(party, blob)]


def lost(party: PartyId, _: bytes) -> list[Reply]:
    """The answer never arrives in time."""
    return [Reply(party, None, "no answer before the deadline")]


def repeated(party: PartyId, blob: bytes) -> list[Reply]:
    """The answer arrives twice."""
    return [Reply(party, blob), Reply(party, blob)]


def corrupted(party: PartyId, blob: bytes) -> list[Reply]:
    """One bit in the middle of the answer flips."""
    middle = len(blob) // 2
    return [Reply(party, blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :])]


@lru_cache(maxsize=1)
def question_in(request: bytes, coordinator_key: bytes) -> wire.AnyRequest:
    """The question of a request; most parties are sent the same bytes, one after the other."""
    return wire.read_request(request, coordinator_key, MAX_MODEL_BYTES)[0]


@dataclass
class Loopback:
    """Implements `federation.link.Link` over nodes in this process; `asked` counts requests per party.

    `answers` turns a node and a request into the node's answer.
    """

    nodes: Mapping[PartyId, Node]
    answers: Callable[[Node, bytes], bytes] = answer
    faults: dict[PartyId, Fault] = field(default_factory=dict)
    absent: set[PartyId] = field(default_factory=set)
    asked: dict[PartyId, int] = field(default_factory=dict)

    def reachable(self) -> frozenset[PartyId]:
        """All nodes that are not `absent`."""
        return frozenset(self.nodes.keys() - self.absent)

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        """Each node's answer, one after the other; `deadline_s` is kept by construction."""
        for party, request in requests.items():
            self.asked[party] = self.asked.get(party, 0) + 1
            if party in self.absent:
                yield Reply(party, None, f"unreachable within {deadline_s:g} s")
                continue
            yield from self.faults.get(party, faithful)(party, self.answers(self.nodes[party], request))
