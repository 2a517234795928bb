"""Questions that survive a crash: each is on disk before it is sent, and asked again word for word after a restart.

So are the bytes that they take.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import numpy as np

from federation import wire
from federation.codecs.seeds import shared_seed
from federation.ids import LedgerHead, PartyId, TaskDigest
from federation.link import Link, Reply
from federation.messages import (
    AgreeRequest,
    EvaluateRequest,
    InitialiseRequest,
    PrepareRequest,
    TrainRequest,
    UnmaskRequest,
)
from federation.shared_view import is_shared
from federation.wire import AnyRequest
from federation.workload import Vector, flatten, trained_names
from server.coordinator import Coordinator, Model, Run, to_wire, trail_of

Question = AnyRequest
KINDS: dict[str, type[Question]] = {
    "train": TrainRequest,
    "evaluate": EvaluateRequest,
    "initialise": InitialiseRequest,
    "prepare": PrepareRequest,
    "agree": AgreeRequest,
    "unmask": UnmaskRequest,
}
NOTHING_ELSE: Mapping[str, Any] = MappingProxyType({})
NOTHING = "0" * 64
"""The model digest of a question that carries no model."""


@dataclass(frozen=True)
class Posed:
    """A question with its bytes."""

    question: Question
    blob: bytes = field(repr=False)


def pose(
    coordinator: Coordinator,
    run: Run,
    kind: str,
    model: Model | None,
    round_number: int,
    also: Mapping[str, Any] = NOTHING_ELSE,
) -> Posed:
    """The open question of this kind, or a new one under the next attempt number, which says `also` what is given.

    A question is the same if task, attempt and nonce are: a node that answered it sends the same bytes again. Only
    its times and the ledger heads are fresh.
    """
    attempt = coordinator.store.open_attempt(run.digest, kind)
    if attempt is None:
        question, payload = _new(coordinator, run, kind, model, round_number, also)
        coordinator.store.begin_attempt(
            run.digest, kind, round_number, question.model, question.model_dump_json().encode()
        )
    else:
        question = KINDS[kind].model_validate_json(attempt.request).model_copy(update=_fresh(coordinator, run))
        payload, _ = _outgoing(run, kind, model, question.nonce)
    return Posed(question, wire.pack(question, payload, coordinator.identity))


def ask(
    coordinator: Coordinator, link: Link, question: Question, requests: Mapping[PartyId, bytes], deadline_s: float
) -> Iterator[Reply]:
    """Send a question that is open, and hand back replies as they arrive; what is sent is counted before it leaves."""
    coordinator.store.sending(_key(question), {party: len(blob) for party, blob in requests.items()})
    return link.ask(requests, deadline_s)


def count(coordinator: Coordinator, question: Question, reply: Reply, head: LedgerHead | None = None) -> None:
    """Count the bytes of a reply, whatever they say, and keep the head that the party showed."""
    coordinator.store.heard(_key(question), reply.party, len(reply.blob or b""), reply.resent, head)


def _key(question: Question) -> tuple[TaskDigest, str, int]:
    return question.task, question.kind, question.attempt


def _new(
    coordinator: Coordinator,
    run: Run,
    kind: str,
    model: Model | None,
    round_number: int,
    also: Mapping[str, Any],
) -> tuple[Question, bytes]:
    """A question that nobody was asked before, and its payload."""
    nonce = coordinator.source.read(16).hex()
    payload, digest = _outgoing(run, kind, model, nonce)
    fields: dict[str, Any] = {
        "task": run.digest,
        "round": round_number,
        "attempt": coordinator.store.next_attempt(run.digest, kind),
        "nonce": nonce,
        "model": digest,
        **_fresh(coordinator, run),
        **also,
    }
    if model and is_shared(run.manifest.exchange):
        fields["carries"] = "nothing"
    if kind == "train":
        fields["phase"] = run.phase(round_number).name
        if run.manifest.training.scaffold:
            fields["variates"] = dict(model.memory.control.counted) if model and model.memory.control else {}
    return KINDS[kind](**fields), payload


def _outgoing(run: Run, kind: str, model: Model | None, nonce: str) -> tuple[bytes, str]:
    """The payload and the digest of what the parties decode from it.

    The codec's randomness is public: the first 64 bits of the nonce, as at the node.
    """
    if model is None:
        return b"", NOTHING
    if is_shared(run.manifest.exchange):  # `server.view` adds what each party lacks
        return b"", trail_of(model).view.digest
    return to_wire(run, _travels(run, kind, model), shared_seed(nonce))


def _travels(run: Run, kind: str, model: Model) -> Vector:
    """All weights; to train under SCAFFOLD the control variate of those that are trained behind them, zero at first."""
    weights = flatten(model.weights, sorted(model.weights))
    training = run.manifest.training
    if kind != "train" or not training.scaffold:
        return weights
    if model.memory.control:
        return np.concatenate([weights, model.memory.control.vector.astype(np.float32)])
    names = trained_names(model.weights, run.phase(model.round + 1), training.trains)
    return np.concatenate([weights, np.zeros(sum(model.weights[name].numel() for name in names), np.float32)])


def _fresh(coordinator: Coordinator, run: Run) -> dict[str, Any]:
    """Times as of now, and the heads of the cohort's ledgers: how often others were charged is none of its business."""
    now, cohort = coordinator.clock(), {member.party for member in run.manifest.cohort}
    return {
        "issued_at": now,
        "expires_at": now + timedelta(seconds=run.manifest.round_deadline_s),
        "ledger_heads": {party: head for party, head in coordinator.store.heads().items() if party in cohort},
    }
