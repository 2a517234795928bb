"""The link over Flower says how often a question really left, to the byte; Flower is faked, the link is ours."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from federation.ids import PartyId
from server.app import link as links
from server.app.link import FlowerLink

ACTIVE = {number: PartyId(f"p-{number}") for number in range(3)}
GONE = PartyId("gone")


@dataclass
class Flower:
    """Node 1 is switched on again as soon as it was asked, node 2 never takes a message; who was asked answers."""

    asked: list[int] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)

    def get_nodes(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(node_id=node, last_activated_at=f"{node}-{node == 1 and node in self.asked}")
            for node in ACTIVE
        ]

    def push_messages(self, messages: list[SimpleNamespace]) -> list[str]:
        nodes = [message.to for message in messages]
        self.asked += nodes
        taken = {str(len(self.asked) + place): node for place, node in enumerate(nodes) if node != 2}
        self.waiting |= taken
        numbers = iter(taken)
        return [next(numbers) if node != 2 else "" for node in nodes]

    def collect(self, numbers: set[str]) -> Iterator[tuple[str, str]]:
        """Node 1 answers what it was asked last."""
        for number in sorted(numbers, reverse=True):
            if self.waiting.get(number) == 0 or self.asked.count(1) == 2:
                yield number, "what it says is of no matter here"


def test_questions_that_left_again_or_never_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "REACTIVATED_EVERY_S", 0.0)
    monkeypatch.setattr(links, "POLL_S", 0.0)
    monkeypatch.setattr(links, "Message", lambda content, node, kind, ttl: SimpleNamespace(to=node))
    flower = Flower()
    link = FlowerLink(flower, lambda: ACTIVE, flower)
    requests = {party: b"x" * (10 + len(party)) for party in (*ACTIVE.values(), GONE)}
    resent = {reply.party: reply.resent for reply in link.ask(requests, 5.0)}
    assert flower.asked == [0, 1, 2, 1]
    assert resent == {GONE: -14, PartyId("p-2"): -13, PartyId("p-0"): 0, PartyId("p-1"): 13}
