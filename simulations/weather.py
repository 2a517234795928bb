"""What becomes of messages on their way: a link around a link that loses, delays, damages and falsifies by chance.

Everything is drawn from the seed, the party and the question: the order in which parties answer changes nothing.
"""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from clients.node import Node
from clients.rounds import MAX_MODEL_BYTES
from federation import codecs, wire
from federation.codecs.seeds import own_seed
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.messages import TrainRequest, UpdateAnswer
from federation.workload import Vector, trained_names
from server.coordinator import Run
from simulations.founding import PROVIDER
from simulations.loopback import corrupted, question_in
from simulations.scenario import Faults, Scenario


@dataclass
class Weather:
    """Implements `federation.link.Link` around `inner`.

    `turn` counts the questions for updates, `charged` those of them that read people's rows, `nodes_s` the seconds
    spent waiting for nodes.
    """

    inner: Link
    nodes: Mapping[PartyId, Node]
    scenario: Scenario
    seed: int
    run: Run
    turn: int = field(default=0, init=False)
    charged: int = field(default=0, init=False)
    nodes_s: float = field(default=0.0, init=False)
    _nonce: str = field(default="", init=False)

    def reachable(self) -> frozenset[PartyId]:
        """The parties that take part in this turn: `participation` of them, at least one, and the provider."""
        everybody = self.inner.reachable()
        parties = sorted(everybody - {PROVIDER})
        count = max(1, math.ceil(self.scenario.participation * len(parties)))
        drawn = sorted(parties, key=lambda party: _chance(self.seed, "turn", str(self.turn), party))[:count]
        return frozenset(drawn) | (everybody & {PROVIDER})

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        """The replies of `inner`, as they arrive here."""
        some, request = next(iter(self.nodes.values())), next(iter(requests.values()), b"")
        question = question_in(request, some.pinned.coordinator_key)
        if not isinstance(question, TrainRequest):
            yield from self.inner.ask(requests, deadline_s)
            return
        if question.nonce != self._nonce:  # else some are asked again, who could not follow the shared view
            self.turn += 1
            self.charged += self.run.workload.phase(question.phase).reads_people
            self._nonce = question.nonce
        fates = {party: self._fate(party, question.nonce) for party in requests}
        alive = {party: request for party, request in requests.items() if fates[party] != "crash"}
        replies = self.inner.ask(alive, deadline_s)
        yield from (Reply(party, None, "the node died") for party, fate in fates.items() if fate == "crash")
        while True:
            began = time.perf_counter()
            reply = next(replies, None)
            self.nodes_s += time.perf_counter() - began
            if reply is None:
                return
            yield self._arrived(reply, fates[reply.party], question)

    def _fate(self, party: PartyId, nonce: str) -> str:
        faults, chance = self.scenario.faults, _chance(self.seed, "fate", party, nonce)
        for fate in ("crash", "drop", "delay", "corrupt"):
            chance -= getattr(faults, fate)
            if chance < 0 and party != PROVIDER:
                return fate
        return ""

    def _arrived(self, reply: Reply, fate: str, question: TrainRequest) -> Reply:
        if reply.blob is None or fate in ("drop", "delay"):
            failure = {"drop": "lost on its way", "delay": "no answer before the deadline"}
            return Reply(reply.party, None, failure.get(fate, reply.failure))
        blob = self._falsified(reply.party, reply.blob, question) if reply.party in self.liars() else reply.blob
        return corrupted(reply.party, blob)[0] if fate == "corrupt" else Reply(reply.party, blob)

    def liars(self) -> frozenset[PartyId]:
        """The byzantine parties, the same in every round."""
        parties = sorted(self.nodes.keys() - {PROVIDER})
        count = round(self.scenario.faults.byzantine * len(parties))
        return frozenset(sorted(parties, key=lambda party: _chance(self.seed, "liar", party))[:count])

    def _falsified(self, party: PartyId, blob: bytes, question: TrainRequest) -> bytes:
        """The answer with another update in it, under the party's own signature: a liar has its key.

        Under SCAFFOLD the change of its variate, which stands behind the update, is a lie, too.
        """
        node = self.nodes[party]
        answer, payload = wire.read_answer(blob, node.identity.public_key, MAX_MODEL_BYTES)
        if not isinstance(answer, UpdateAnswer):
            return blob
        terms, seed = self.run.manifest.exchange, own_seed(question.nonce, party)
        codec = codecs.find(terms.up, terms.up_bits)
        weights, training = self.run.workload.initial(0), self.scenario.training
        names = trained_names(weights, self.run.workload.phase(question.phase), training.trains)
        size = sum(weights[name].numel() for name in names) * (2 if training.scaffold else 1)
        vector = _lie(self.scenario.faults, codec.decode(payload, size, seed), _dice(self.seed, party, question.nonce))
        return wire.pack(answer, codec.encode(vector, seed), node.identity)


def _lie(faults: Faults, vector: Vector, dice: np.random.Generator) -> Vector:
    """What a byzantine party says instead of `vector`."""
    if faults.byzantine_kind == "sign-flip":
        return -vector
    if faults.byzantine_kind == "scale":
        return (vector * np.float32(faults.byzantine_scale)).astype(np.float32)
    spread = faults.byzantine_scale * float(np.sqrt(np.mean(np.square(vector))))
    return dice.normal(0, spread, vector.shape).astype(np.float32)


def _dice(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng(int(_chance(seed, "lie", *names) * 2**53))


def _chance(seed: int, *names: str) -> float:
    """A number from [0, 1) for what `names` name."""
    named = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(named[:8], "big") / 2**64
