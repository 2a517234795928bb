"""One party's side of a round, gate by gate: from a signed question to recorded bytes.

The value changes its type at each gate (DESIGN §5): bytes → Request → Agreed → Snapshot → Reservation →
Bounded → Private → bytes. `verify` and `admit` are here, `eligible` to `noise` in `clients.updates`,
`record` in `clients.replies`.
"""

from datetime import datetime, timedelta
from functools import lru_cache

from clients import algorithm_provider, consent, scaffold, secure, view
from clients.node import Agreed, Node, Question, open_node
from clients.policy import admit
from clients.replies import common, record, refuse, refuse_unreadable
from clients.scores import evaluate
from clients.store import AcceptedTask
from clients.updates import train_on_people, train_on_public
from federation import codecs, wire, workloads
from federation.codecs import Data
from federation.consent import Purpose
from federation.errors import PacelineError, Refusal, Refused
from federation.ids import TaskDigest
from federation.manifest import Manifest, parse
from federation.messages import (
    AgreeRequest,
    EvaluateRequest,
    InitialAnswer,
    InitialiseRequest,
    ModelRequest,
    PrepareRequest,
    TrainRequest,
    UnmaskRequest,
)
from federation.phases import phase_of
from federation.roles import Role, Step, training_step
from federation.terms import PublishedScores
from federation.workload import Vector, Weights, Workload, flatten, shapes, trained_names, unflatten

__all__ = ["Node", "answer", "open_node"]

MAX_MODEL_BYTES = 512 * 2**20
CLOCK_TOLERANCE = timedelta(seconds=60)
AboutAttempt = PrepareRequest | AgreeRequest | UnmaskRequest
"""Questions about an attempt: a coordinator that is killed asks more of them than there are attempts."""


def answer(node: Node, blob: bytes) -> bytes:
    """The signed answer to one packed request; what goes wrong becomes a refusal with a closed code.

    Answer or refusal, it leaves no earlier than the task's `answer_after_s` after its request came, so that its
    duration says little.
    """
    came = node.clock()
    try:
        question, payload = wire.read_request(blob, node.pinned.coordinator_key, MAX_MODEL_BYTES)
    except PacelineError as error:
        return refuse_unreadable(node, error)
    no_earlier = came
    try:
        agreed = _verify(node, question, payload)
        no_earlier = came + timedelta(seconds=agreed.manifest.answer_after_s)
        made = _answered_before(node, question) or _take_step(node, agreed)
        _wait(node, no_earlier)
        _nobody_withdrew(node, agreed)
    except Exception as error:
        made = refuse(node, question, error)
    _wait(node, no_earlier)
    return made


def _wait(node: Node, no_earlier: datetime) -> None:
    node.sleep(max(0.0, (no_earlier - node.clock()).total_seconds()))


def _answered_before(node: Node, question: Question) -> bytes | None:
    """The bytes that answered the same question before; another question under the same number is a replay."""
    stored = node.store.stored_answer(question.task, question.attempt, question.kind)
    if stored is None:
        return None
    header, _ = wire.read_answer(stored, node.identity.public_key, MAX_MODEL_BYTES)
    if header.nonce != question.nonce:
        raise Refused(
            Refusal.REPLAYED,
            f"attempt {question.attempt} of this task was answered under another nonce; "
            "a new question needs a new attempt number.",
        )
    return stored


def _nobody_withdrew(node: Node, agreed: Agreed) -> None:
    """The last look before bytes are handed over, after the wait and when asked again: a withdrawal holds them back."""
    question, manifest = agreed.question, agreed.manifest
    people = node.store.people_of(question.task, question.attempt, question.kind)
    published = isinstance(question, EvaluateRequest) and isinstance(manifest.evaluation, PublishedScores)
    for purpose in (manifest.purpose, *([Purpose.PUBLISH_SCORES] if published else [])):
        years = node.policy().age_of_consent_years
        if consent.permitted(node.store, purpose, node.clock(), people, years) != people:
            raise Refused(
                Refusal.ATTEMPT_LOST, "a person withdrew after the answer was made and before it left; it stays here."
            )


def _verify(node: Node, question: Question, payload: Data) -> Agreed:
    """Gates *verify* and *admit*: fresh, accepted here, the workload installed here, allowed by role and policy."""
    now = node.clock()
    if question.issued_at > now + CLOCK_TOLERANCE or question.expires_at <= now:
        raise Refused(
            Refusal.EXPIRED,
            f"the request is valid from {question.issued_at:%H:%M:%S} to {question.expires_at:%H:%M:%S}, but it is "
            f"{now:%H:%M:%S} here. If this repeats, compare the clocks: `paceline node check`.",
        )
    manifest = _accepted(node, question)
    if manifest.expired(now):
        raise Refused(Refusal.EXPIRED, f"task {manifest.name} ended on {manifest.expires_at:%Y-%m-%d}.")
    if node.store.paused():
        raise Refused(Refusal.PAUSED, "this node is paused; `paceline node resume` lets it take part again.")
    attempt = question.of_attempt if isinstance(question, AboutAttempt) else question.attempt
    if attempt >= manifest.max_questions or question.round > manifest.rounds:
        raise Refused(Refusal.POLICY, f"task {manifest.name} has no round {question.round}, attempt {attempt}.")
    step = _step(question, node.pinned.role)
    admission = admit(node.policy(), manifest, node.pinned.party, node.pinned.role, step)
    workload = workloads.agreed(manifest)
    if isinstance(question, TrainRequest):
        _require_turn(workload, manifest, question)
    return Agreed(question, payload, manifest, workload, admission)


def _require_turn(workload: Workload, manifest: Manifest, question: TrainRequest) -> None:
    """Each round trains the phase whose turn it is in the contract; another one is refused before anything is spent."""
    expected = phase_of(workload, manifest, question.round).name
    if question.phase != expected:
        raise Refused(
            Refusal.POLICY, f"round {question.round} of task {manifest.name} trains {expected}, not {question.phase!r}."
        )


def _accepted(node: Node, question: Question) -> Manifest:
    """The manifest that this node's owner accepted under the question's digest."""
    accepted = node.store.accepted_task(question.task)
    if accepted is None:
        raise Refused(
            Refusal.NOT_ACCEPTED,
            f"task {question.task[:12]} was not accepted by this node. Read it with `paceline node review`.",
        )
    manifest, digest = _parsed(accepted)
    if digest != question.task:
        raise Refused(Refusal.BAD_MESSAGE, "the stored task is not the one that was accepted; accept it again.")
    return manifest


@lru_cache(maxsize=16)
def _parsed(accepted: AcceptedTask) -> tuple[Manifest, TaskDigest]:
    """The manifest of a task and its digest; the same text has the same."""
    manifest = parse(accepted.manifest_json)
    return manifest, manifest.digest()


def _step(question: Question, role: Role) -> Step:
    """Which step of the table of roles a question asks for."""
    if isinstance(question, InitialiseRequest):
        return Step.INITIALISE
    if isinstance(question, EvaluateRequest):
        return Step.EVALUATE_PEOPLE
    return training_step(role)


def _take_step(node: Node, agreed: Agreed) -> bytes:
    """Do what was asked; the answer is on disk before it is returned."""
    question = agreed.question
    match question:
        case InitialiseRequest():
            return _initialise(node, agreed)
        case PrepareRequest():
            return secure.prepare(node, agreed, question)
        case AgreeRequest():
            return secure.agree(node, agreed, question)
        case UnmaskRequest():
            return secure.unmask(node, agreed, question)
        case EvaluateRequest():
            return evaluate(node, agreed, _received(node, agreed, question)[0])
        case TrainRequest():
            return _train(node, agreed, question)


def _train(node: Node, agreed: Agreed, question: TrainRequest) -> bytes:
    """Gates *eligible* to *record*, once everything that came with the question holds."""
    weights, variate = _received(node, agreed, question)
    turn = secure.turn(node, agreed, question)
    beside = turn if variate is None else scaffold.recall(node, agreed, question, variate)
    if training_step(node.pinned.role) is Step.TRAIN_ON_PUBLIC:
        return train_on_public(node, agreed, question, weights, beside)
    return train_on_people(node, agreed, question, weights, beside)


def _received(node: Node, agreed: Agreed, question: ModelRequest) -> tuple[Weights, Vector | None]:
    """The round's weights, checked against the digest that every party was told; and the variate behind them.

    Only a question to train under SCAFFOLD brings a control variate, (trained parameters,).
    """
    like = shapes(agreed.workload.initial, agreed.manifest.training.seed)
    names = sorted(like)
    size = behind = sum(like[name].numel() for name in names)
    if isinstance(question, TrainRequest) and agreed.manifest.training.scaffold:
        trained = trained_names(like, agreed.workload.phase(question.phase), agreed.manifest.training.trains)
        behind += sum(like[name].numel() for name in trained)
    vector = view.received(node, agreed, question, behind)
    return unflatten(vector[:size], like, names), vector[size:] if behind > size else None


def _initialise(node: Node, agreed: Agreed) -> bytes:
    """The first weights, from public or synthetic rows only."""
    weights = algorithm_provider.initial_weights(agreed.workload, agreed.manifest.training)
    payload = codecs.find("raw32").encode(flatten(weights, sorted(weights)), 0)
    return record(node, agreed, InitialAnswer(**common(node, agreed.question)), payload, None)
