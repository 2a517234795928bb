"""How a node's answers are made: recorded on disk first, then returned; a refusal says a code and nothing else."""

import logging
from typing import Any

from pyroaring import BitMap

from clients.node import Agreed, Node, Question
from clients.store import Answered, ledger
from federation import wire
from federation.errors import (
    BudgetExhausted,
    LedgerRolledBack,
    PacelineError,
    Refusal,
    Refused,
    SecaggError,
    SignatureError,
    StoreError,
    WireError,
    WorkloadError,
)
from federation.ids import GENESIS, LedgerHead
from federation.messages import Answer, RefusalAnswer, UpdateAnswer

log = logging.getLogger("paceline.node")

CODES: tuple[tuple[type[PacelineError], Refusal], ...] = (
    (BudgetExhausted, Refusal.BUDGET_EXHAUSTED),
    (LedgerRolledBack, Refusal.LEDGER_ROLLED_BACK),
    (StoreError, Refusal.STORE),
    (SignatureError, Refusal.BAD_SIGNATURE),
    (WireError, Refusal.BAD_MESSAGE),
    (SecaggError, Refusal.UNSAFE),
    (WorkloadError, Refusal.WRONG_WORKLOAD),
)
"""First match wins: a subclass stands before its parent."""


def common(node: Node, question: Question) -> dict[str, Any]:
    """The fields that every answer to `question` has; the ledger's head is read after the reservation.

    A ledger that is older than the head that others hold gives that head back: shown its own, they would forget the
    newer one, and take an old copy for the newest from then on.
    """
    seen = _seen(node, question)
    with node.store.reading() as tx:
        head = ledger.last(tx)[1] if ledger.holds(tx, seen) else seen
    return _fields(node, question, head)


def record(node: Node, agreed: Agreed, answer: Answer, payload: bytes, people: BitMap | None) -> bytes:
    """Sign, store with the processing activity and the audit entry in one transaction, return the stored bytes."""
    blob = wire.pack(answer, payload, node.identity)
    question = agreed.question
    node.store.record_answer(
        Answered(
            task=question.task,
            round_number=question.round,
            attempt=question.attempt,
            kind=question.kind,
            blob=blob,
            purpose=agreed.manifest.purpose,
            people=people,
            snapshot=answer.snapshot if isinstance(answer, UpdateAnswer) else "",
            at=node.clock(),
        )
    )
    return blob


def refuse(node: Node, question: Question, error: Exception) -> bytes:
    """A signed refusal; the reason in words stays in this node's log. Not stored: asked again, it may be a yes."""
    code = code_of(error)
    _log(node, code, error)
    try:
        fields = common(node, question)
    except StoreError:
        fields = _fields(node, question, _seen(node, question))
    return wire.pack(RefusalAnswer(**fields, code=code), b"", node.identity)


def refuse_unreadable(node: Node, error: PacelineError) -> bytes:
    """A signed refusal of bytes that are no request of the pinned coordinator; there is nothing to refer to."""
    code = code_of(error)
    _log(node, code, error)
    fields: dict[str, Any] = {"task": "0" * 64, "round": 0, "attempt": 0, "nonce": "0" * 32}
    fields |= {"party": node.pinned.party, "ledger_head": GENESIS}
    return wire.pack(RefusalAnswer(**fields, code=code), b"", node.identity)


def code_of(error: Exception) -> Refusal:
    """The closed code that may leave the node for `error`."""
    if isinstance(error, Refused):
        return error.code
    for kind, code in CODES:
        if isinstance(error, kind):
            return code
    return Refusal.INTERNAL


def _fields(node: Node, question: Question, head: LedgerHead) -> dict[str, Any]:
    return {
        "task": question.task,
        "round": question.round,
        "attempt": question.attempt,
        "nonce": question.nonce,
        "party": node.pinned.party,
        "ledger_head": head,
    }


def _seen(node: Node, question: Question) -> LedgerHead:
    """The last head of this node's ledger that others have seen."""
    return question.ledger_heads.get(node.pinned.party, GENESIS)


def _log(node: Node, code: Refusal, error: Exception) -> None:
    """The owner reads why in the node's own log and audit log; an unforeseen error keeps its traceback there."""
    if code is Refusal.INTERNAL:
        log.error("refused (%s)", code, exc_info=error)
    else:
        log.warning("refused (%s): %s", code, error)
    try:
        node.store.audit("refused", {"code": code.value, "reason": str(error) if code is not Refusal.INTERNAL else ""})
    except StoreError as failure:
        log.error("the audit log cannot be written: %s", failure)
