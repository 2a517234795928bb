"""The model that came: decoded, or the view that this node keeps, moved by the differences of the rounds since.

A node that cannot follow the differences says so and spends nothing; it is then asked again with the whole view.
"""

from clients.node import Agreed, Node
from clients.store import views
from federation import codecs
from federation.codecs.seeds import shared_seed
from federation.errors import Refusal, Refused, WireError
from federation.messages import EvaluateRequest, ModelRequest
from federation.roles import Step, may
from federation.shared_view import NO_SEED, WHOLE, View, is_shared, moved, split
from federation.workload import Vector


def received(node: Node, agreed: Agreed, question: ModelRequest, size: int) -> Vector:
    """The vector that every party was told the digest of: float32 (`size`,).

    A view is on disk before anything is computed from it, so that whoever answers has it.
    """
    exchange = agreed.manifest.exchange
    if is_shared(exchange):
        return _followed(node, agreed, question, size).vector
    if question.carries != "model":
        raise WireError(f"{question.carries} came where the task sends each model as {exchange.down}.")
    came = View(
        codecs.find(exchange.down, exchange.down_bits).decode(agreed.payload, size, shared_seed(question.nonce))
    )
    _require_named(came, question)
    return came.vector


def _followed(node: Node, agreed: Agreed, question: ModelRequest, size: int) -> View:
    """The view that the question names: as it is kept here, or as it came; kept until nothing is left to ask."""
    with node.store.reading() as tx:
        kept = views.find(tx, question.task, size)
    view = kept if kept and kept.digest == question.model else _brought(agreed, question, kept, size)
    _require_named(view, question)
    if _nothing_follows(node, agreed):
        with node.store.transaction() as tx:
            views.forget(tx, question.task)
    elif view is not kept:
        with node.store.transaction() as tx:
            views.keep(tx, question.task, view, agreed.manifest.expires_at)
    return view


def _brought(agreed: Agreed, question: ModelRequest, kept: View | None, size: int) -> View:
    """What the payload makes of the view that is kept."""
    if question.carries == "model":
        return View(codecs.find(WHOLE).decode(agreed.payload, size, NO_SEED))
    if kept is None or kept.digest not in question.bases:
        raise Refused(
            Refusal.STALE_VIEW,
            f"round {question.round} goes on from a model that is not kept here: this node was away, or its store "
            "was restored. The coordinator is told, and sends the whole model.",
        )
    view, known = kept, question.bases.index(kept.digest)
    for coded in split(agreed.payload, len(question.bases))[known:]:
        view = moved(view, coded, agreed.manifest.exchange)
    return view


def _require_named(view: View, question: ModelRequest) -> None:
    if view.digest != question.model:
        raise WireError("the model that came is not the one whose digest was signed.")


def _nothing_follows(node: Node, agreed: Agreed) -> bool:
    """Whether this is the last question about the task that this node can be asked."""
    question, manifest = agreed.question, agreed.manifest
    scores = manifest.evaluation is not None and may(node.pinned.role, Step.EVALUATE_PEOPLE)
    return question.round == manifest.rounds and (isinstance(question, EvaluateRequest) or not scores)
