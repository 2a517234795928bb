"""Carries requests to the nodes over Flower and hands back their answers, one in memory at a time."""

from federation import flower

# isort: split
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from flwr.app import Message
from flwr.serverapp import Grid
from flwr.superlink.grid import HttpGrid

from federation.errors import WireError
from federation.ids import PartyId
from federation.link import Reply
from server.active import Active
from server.app.inbox import Arrived, HttpInbox, Inbox

MAX_ANSWER_BYTES = 512 * 2**20
POLL_S = 0.05
REACTIVATED_EVERY_S = 2.0
SPARE_TTL_S = 600.0

log = logging.getLogger("paceline.link")


@dataclass
class _Asked:
    """Who still owes an answer to one request: message numbers by party, how often it left for each, and when each node
    was last switched on.
    """

    nodes: dict[PartyId, int]
    copies: Counter[PartyId] = field(default_factory=Counter)
    parties: dict[str, PartyId] = field(default_factory=dict)
    activated: dict[int, str] = field(default_factory=dict)
    looked_at: float = 0.0

    def waiting(self) -> set[PartyId]:
        """Parties that have not answered."""
        return set(self.parties.values())

    def answered(self, number: str) -> tuple[PartyId, set[str]]:
        """Whose message this was, and that party's other messages: replies to those are late from now on."""
        party = self.parties.pop(number)
        others = {other for other, owner in self.parties.items() if owner == party}
        for other in others:
            del self.parties[other]
        return party, others


class FlowerLink:
    """`federation.link.Link` over Flower's Grid; `late` counts replies that came after their request was over."""

    def __init__(self, grid: Grid, active: Active, inbox: Inbox, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._grid = grid
        self._active = active
        self._inbox = inbox
        self._max_bytes = max_bytes
        self._old: dict[str, PartyId] = {}
        self.late = 0

    def reachable(self) -> frozenset[PartyId]:
        """Parties whose nodes are connected now and not revoked."""
        active = self._active()
        return frozenset(active[node.node_id] for node in self._grid.get_nodes() if node.node_id in active)

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        """Send each party its request; yield one reply each, at the deadline at the latest."""
        end = time.monotonic() + deadline_s
        asked = _Asked({party: node for node, party in self._active().items() if party in requests})
        for party in sorted(requests.keys() - asked.nodes.keys()):
            yield Reply(party, None, "revoked, gone, or not joined", -len(requests[party]))
        yield from self._send(asked, requests, sorted(asked.nodes), deadline_s)
        while asked.parties and time.monotonic() < end:
            for reply in self._arrived(asked):
                yield replace(reply, resent=(asked.copies[reply.party] - 1) * len(requests[reply.party]))
                del reply  # or it would stay in memory beside the next one
            yield from self._ask_again(asked, requests, end - time.monotonic())
            if asked.parties:
                time.sleep(POLL_S)
        for party in sorted(asked.waiting()):
            resent = (asked.copies[party] - 1) * len(requests[party])
            yield Reply(party, None, f"no answer within {deadline_s:g} s", resent)
        self._old.update(asked.parties)

    def _send(
        self, asked: _Asked, requests: Mapping[PartyId, bytes], parties: list[PartyId], deadline_s: float
    ) -> Iterator[Reply]:
        if not parties:
            return
        asked.activated.update(self._activations())
        asked.looked_at = time.monotonic()
        contents = {blob: flower.pack(blob) for blob in {requests[party] for party in parties}}
        messages = [
            Message(contents[requests[party]], asked.nodes[party], flower.MESSAGE_TYPE, ttl=deadline_s + SPARE_TTL_S)
            for party in parties
        ]
        for party, number in zip(parties, self._grid.push_messages(messages), strict=True):
            if number:
                asked.parties[number] = party
                asked.copies[party] += 1
            elif party not in asked.waiting():
                yield Reply(party, None, "not connected", -len(requests[party]))

    def _ask_again(self, asked: _Asked, requests: Mapping[PartyId, bytes], left_s: float) -> Iterator[Reply]:
        """Ask nodes that were restarted once more: what they had fetched is lost, and Flower never delivers it twice.

        It is the same question with the same number, which a node answers at most once.
        """
        if time.monotonic() - asked.looked_at < REACTIVATED_EVERY_S or not asked.parties:
            return
        asked.looked_at = time.monotonic()
        now = self._activations()
        back = [
            party
            for party in sorted(asked.waiting())
            if (node := asked.nodes[party]) in now and now[node] != asked.activated.get(node, now[node])
        ]
        yield from self._send(asked, requests, back, max(left_s, 1.0))

    def _activations(self) -> dict[int, str]:
        return {node.node_id: node.last_activated_at for node in self._grid.get_nodes()}

    def _arrived(self, asked: _Asked) -> Iterator[Reply]:
        """Replies that are there now; late ones of earlier messages are taken from the queue and dropped."""
        for number, message in self._inbox.collect({*asked.parties, *self._old}):
            if number in asked.parties:
                party, others = asked.answered(number)
                self._old.update(dict.fromkeys(others, party))
                yield self._read(party, message)
                del message  # or it would stay in memory beside the next one
            elif number in self._old:
                self.late += 1
                log.warning("a late reply of %s was dropped", self._old.pop(number))

    def _read(self, party: PartyId, message: Arrived) -> Reply:
        if isinstance(message, str):
            return Reply(party, None, message)
        if message.has_error():
            return Reply(party, None, f"the node failed (Flower's code {message.error.code})")
        try:
            return Reply(party, flower.unpack(message.content, self._max_bytes))
        except WireError as error:
            return Reply(party, None, f"not a message of ours: {error}")


def over_http(grid: HttpGrid, active: Active) -> FlowerLink:
    """The link of a deployed coordinator: its messages pass through the SuperLink."""
    return FlowerLink(grid, active, HttpInbox(grid, MAX_ANSWER_BYTES))
