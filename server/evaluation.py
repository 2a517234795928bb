"""Scores of a committed model on held-out people, as the parties disclose them."""

import math

from federation import wire
from federation.errors import PacelineError, WireError
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.messages import RefusalAnswer, ScoresAnswer
from server import cohort, view
from server.coordinator import Coordinator, Model, Run
from server.questions import Question, count, pose
from server.store import EvaluationRecord, PartyRound

MAX_SUM = 1e15
KIND = "evaluate"


def due(run: Run, round_number: int) -> bool:
    """Whether the model of this round is to be scored: every `every_rounds` rounds, and the last one."""
    terms = run.manifest.evaluation
    if terms is None or round_number == 0:
        return False
    return round_number % terms.every_rounds == 0 or round_number == run.manifest.rounds


def evaluate(coordinator: Coordinator, link: Link, run: Run, model: Model) -> None:
    """Ask every evaluator for scores of a model and record what comes; a missing score never stops the training."""
    if not due(run, model.round) or _asked_before(coordinator, run, model.round):
        return
    scored = {record.party for record in coordinator.store.evaluations(run.digest) if record.round == model.round}
    parties = [party for party in cohort.evaluators(coordinator, link, run) if party not in scored]
    _abandon(coordinator, run, model.round if parties else None)
    if not parties:
        return
    posed = pose(coordinator, run, KIND, model, model.round)
    replies = view.ask(coordinator, link, run, model, posed, parties)
    outcomes: dict[PartyId, PartyRound] = {}
    for reply in replies:
        if reply.party in outcomes:
            count(coordinator, posed.question, reply)  # a second answer of one party changes nothing
        else:
            outcomes[reply.party] = _record(coordinator, run, posed.question, reply)
    coordinator.store.close_attempt(run.digest, KIND, posed.question.attempt, tuple(outcomes.values()))


def _asked_before(coordinator: Coordinator, run: Run, round_number: int) -> bool:
    """Whether this round's evaluation was carried to its end before a restart."""
    attempts = coordinator.store.attempts(run.digest)
    return any(a.kind == KIND and a.round == round_number and a.ended_at is not None for a in attempts)


def _abandon(coordinator: Coordinator, run: Run, round_number: int | None) -> None:
    """Give up what a crash left open, unless it is of this round: another question must not be asked with its model."""
    left = coordinator.store.open_attempt(run.digest, KIND)
    if left is not None and left.round != round_number:
        coordinator.store.fail_attempt(run.digest, KIND, left.number, {})


def _record(coordinator: Coordinator, run: Run, question: Question, reply: Reply) -> PartyRound:
    """One party's scores on disk, or why there are none."""
    outcome, code, head = "answered", "", None
    try:
        answer = _check(coordinator, run, reply, question)
        head = answer.ledger_head
        coordinator.store.record_evaluation(
            EvaluationRecord(
                task=run.digest,
                round=question.round,
                party=reply.party,
                disclosure=answer.disclosure,
                people=answer.people,
                sums=answer.sums,
                summary=_summary(run, answer),
            )
        )
    except PacelineError as error:
        outcome, code = "refused" if reply.blob else "late", str(error)[:80]
    count(coordinator, question, reply, head)
    return PartyRound(reply.party, outcome, code)


def _check(coordinator: Coordinator, run: Run, reply: Reply, question: Question) -> ScoresAnswer:
    terms = run.manifest.evaluation
    if reply.blob is None:
        raise WireError(reply.failure)
    key = coordinator.store.active_party_keys().get(reply.party)
    if key is None:
        raise WireError("revoked or gone since it was asked")
    answer, _ = wire.read_answer(reply.blob, key, 0)
    if isinstance(answer, RefusalAnswer):
        raise WireError(answer.code)
    if not isinstance(answer, ScoresAnswer) or answer.party != reply.party:
        raise WireError("scores were expected, but something else came.")
    asked = (question.task, question.round, question.attempt, question.nonce)
    if (answer.task, answer.round, answer.attempt, answer.nonce) != asked:
        raise WireError("the scores answer another question.")
    if terms is None or answer.disclosure != terms.disclosure:
        raise WireError(f"the scores are {answer.disclosure}, which is not what the task asks for.")
    if any(abs(value) > MAX_SUM for value in answer.sums.values()):
        raise WireError("the scores are absurdly large.")
    return answer


def _summary(run: Run, answer: ScoresAnswer) -> dict[str, float]:
    """Readable figures of scores that hold them, whatever their sender wrote; else `WireError`."""
    try:
        figures = _figures(run, answer)
    except Exception as error:  # a workload's summary does not say what it can raise, and one party must stop no task
        raise WireError(
            "no figures can be made of these scores; a sum is missing, or is none that rows have."
        ) from error
    if not all(isinstance(figure, int | float) and math.isfinite(figure) for figure in figures.values()):
        raise WireError("the figures of these scores are no finite numbers.")
    return figures


def _figures(run: Run, answer: ScoresAnswer) -> dict[str, float]:
    """Of noised sums: means over a noised count of people."""
    if answer.disclosure != "noised":
        return run.workload.summary(answer.sums)
    people = max(1.0, answer.sums["people"])
    return {key: answer.sums[key] / people for key in run.workload.person_scores}
