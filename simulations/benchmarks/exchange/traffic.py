"""Bytes per party and round: ours beside an uncompressed FedAvg of Flower, models of three sizes, by one ruler.

Our messages are real ones, signed, with the headers of a task of ten parties; what they carry is coded by our codecs.
"""

import hashlib
from datetime import timedelta
from functools import partial
from typing import Any

from federation import codecs, flower, wire
from federation.codecs import lane
from federation.messages import Answer, Request, TrainRequest, UnmaskedAnswer, UnmaskRequest, UpdateAnswer
from federation.shared_view import join
from privacy.secagg.sealing import OVERHEAD_BYTES
from privacy.secagg.shamir import SHARE_BYTES
from simulations.benchmarks.exchange.flower_messages import Both, carried, fedavg
from simulations.benchmarks.exchange.jobs import Job
from simulations.benchmarks.exchange.large import BITS, ECQ_BITS, PARTIES, SEED, URQ_BITS, flat, model, update
from simulations.specimens import NOW, identity

SIZES = ("14k", "84k", "10M")
SEALED_BYTES = 2 * SHARE_BYTES + OVERHEAD_BYTES
COHORT = [f"party-{number}" for number in range(PARTIES)]
Table = list[dict[str, Any]]


def jobs() -> dict[str, Job]:
    """A job for each model, by its size."""
    return {name: partial(lines, name) for name in SIZES}


def lines(name: str) -> Table:
    """A line for each way of exchange."""
    flower.configure_logs()
    state = model(name)
    vector = update(len(flat(state)))
    whole = codecs.find("raw32").encode(vector, SEED)
    difference = join([codecs.find("ecq", ECQ_BITS).encode(vector, SEED)])
    few = codecs.find("urq", URQ_BITS).encode(vector, SEED)
    stock = fedavg(state)
    ways = {
        "Flower FedAvg, uncompressed": (stock, None),
        "ours, raw32 both ways": _asked(_train(False), whole, whole),
        f"ours, urq {URQ_BITS:g} up, ecq {ECQ_BITS:g} down": _asked(_train(True), difference, few),
        f"ours, secure, lanes of {BITS} bits up, ecq {ECQ_BITS:g} down": _secure(difference, len(vector)),
    }
    return [_line(len(vector), len(state), words, sent, stock) for words, sent in ways.items()]


def _asked(question: Request, down: bytes, up: bytes, answer: Answer | None = None) -> tuple[Both, Both]:
    """One question with its answer: bytes through Flower, and bytes of our own messages alone."""
    request = wire.pack(question, down, identity("coordinator"))
    reply = wire.pack(answer or _update(), up, identity(COHORT[0]))
    return carried(request, reply), (len(request), len(reply))


def _secure(difference: bytes, size: int) -> tuple[Both, Both]:
    """A round in which nobody drops: train with everybody's mask keys, unmask with shares for the next round."""
    lanes = bytes(-(-lane.coordinates(size) * BITS // 8))
    train = _asked(_train(True, roster=tuple(_advertisement(party) for party in COHORT)), difference, lanes)
    sealed, opened = bytes(PARTIES * SEALED_BYTES), bytes(PARTIES * SHARE_BYTES)
    question = UnmaskRequest.model_validate(_request() | {"of_attempt": 7, "survivors": tuple(COHORT), "agreed": {}})
    reply = UnmaskedAnswer.model_validate(_reply() | {"advertisement": _advertisement(COHORT[0])})
    bared = _asked(question, sealed, opened + sealed, reply)
    return _sum(train[0], bared[0]), _sum(train[1], bared[1])


def _sum(one: Both, other: Both) -> Both:
    return one[0] + other[0], one[1] + other[1]


def _line(values: int, arrays: int, words: str, sent: tuple[Both, Both | None], stock: Both) -> dict[str, Any]:
    (down, up), own = sent
    return {
        "parameters": f"{values:,}",
        "arrays": arrays,
        "exchange": words,
        "down": f"{down:,}",
        "up": f"{up:,}",
        "our messages alone, down / up": f"{own[0]:,} / {own[1]:,}" if own else None,
        "Flower's / these, up": f"{stock[1] / up:.3g} ×",
        "both ways": f"{sum(stock) / (down + up):.3g} ×",
    }


def _train(differences: bool, **also: Any) -> TrainRequest:
    """Asks ten parties, with the head of each one's ledger."""
    if differences:
        also |= {"carries": "differences", "bases": (_hash("view"),)}
    return TrainRequest.model_validate(_request() | {"phase": "classify"} | also)


def _request() -> dict[str, Any]:
    return _common() | {
        "issued_at": NOW,
        "expires_at": NOW + timedelta(minutes=10),
        "model": _hash("model"),
        "ledger_heads": {party: _hash(party) for party in COHORT},
    }


def _update() -> UpdateAnswer:
    return UpdateAnswer.model_validate(_reply() | {"weight": 1234, "snapshot": _hash("snapshot")})


def _reply() -> dict[str, Any]:
    return _common() | {"party": COHORT[0], "ledger_head": _hash(COHORT[0])}


def _common() -> dict[str, Any]:
    return {"task": _hash("task"), "round": 7, "attempt": 7, "nonce": _hash("nonce")[:32]}


def _advertisement(party: str) -> dict[str, str]:
    keys = {name: _hash(name + party) for name in ("public_key", "mask_key", "commitment")}
    return {"party": party, "signature": 2 * _hash(party), **keys}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
