"""The coordinator's side of a task: rounds one after the other, each committed before its model leaves.

Read from top to bottom: `run_task` resumes where the store ends; `run_round` asks, checks, folds, advances, commits.
Killing the process at any instant loses at most the round in flight, which is asked again word for word.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from federation import codecs, phases, wire
from federation.errors import LinkError, PacelineError, Refused, RoundFailed, SecaggError, WireError
from federation.ids import LedgerHead, PartyId
from federation.link import Link, Reply
from federation.manifest import Member
from federation.messages import InitialAnswer, RefusalAnswer, TrainRequest
from federation.workload import Phase, trained_names, unflatten
from server import cohort, memory, release, robust, view
from server.aggregation import Declined, Folded, Masked, Readable, Total, advance, check, fold, nothing, share_present
from server.coordinator import Coordinator, Model, Run, from_bytes, run_of, to_bytes
from server.evaluation import evaluate
from server.questions import Posed, ask, count, pose
from server.secure import Desk
from server.shares import DEALT_WRONGLY, DealtWrongly
from server.store import PartyRound, RoundRecord, TaskState


def run_task(coordinator: Coordinator, link: Link, name: str) -> None:
    """Train a launched task to its last round, score it and release it; resumes from the last committed round.

    Raises `RoundFailed` when parties or attempts run out; the task is then marked failed and can be resumed.
    Returns early, without a release, once the operator has stopped the task.
    """
    task = coordinator.store.task(name)
    try:
        run = run_of(task.manifest())
        model = first_or_latest(coordinator, link, run)
        evaluate(coordinator, link, run, model)
        while model.round < run.manifest.rounds:
            if coordinator.store.task(name).state is not TaskState.RUNNING:
                return
            model = run_round(coordinator, link, run, model)
            evaluate(coordinator, link, run, model)
        release.make_release(coordinator.store, coordinator.folder, name)
        coordinator.store.set_task_state(task.digest, TaskState.COMPLETED)
    except PacelineError as error:
        if coordinator.store.task(name).state is TaskState.RUNNING:
            coordinator.store.set_task_state(task.digest, TaskState.FAILED, message=str(error))
        raise


def first_or_latest(coordinator: Coordinator, link: Link, run: Run) -> Model:
    """The last committed model, or the first weights from the algorithm provider, committed as round 0."""
    latest = coordinator.store.latest_model(run.digest)
    if latest is None:
        model, provider = initialise(coordinator, link, run)
        coordinator.store.commit_initial(run.digest, to_bytes(model), provider)
        return model
    return from_bytes(latest.round, latest.data, latest.memory)


def initialise(coordinator: Coordinator, link: Link, run: Run) -> tuple[Model, PartyRound]:
    """Ask the cohort's algorithm provider for the first weights; also what it did, in an attempt that is still open."""
    provider = cohort.initialiser(coordinator, link, run)
    posed = pose(coordinator, run, "initialise", None, 0)
    failure: PacelineError = LinkError("no answer came")
    did = PartyRound(provider, "late", attempt=posed.question.attempt)
    for reply in ask(coordinator, link, posed.question, {provider: posed.blob}, run.manifest.round_deadline_s):
        count(coordinator, posed.question, reply)
        try:
            model = _initial_model(coordinator, run, posed, reply)
            return model, replace(did, outcome="answered")
        except PacelineError as error:
            failure, did = error, replace(did, outcome=_outcome(error), code=str(error)[:200])
    coordinator.store.fail_attempt(run.digest, "initialise", did.attempt, {provider: str(failure)}, (did,))
    raise RoundFailed(f"{provider} gave no first weights: {failure}", {provider: str(failure)}) from failure


def run_round(coordinator: Coordinator, link: Link, run: Run, model: Model) -> Model:
    """One update of the model: attempt after attempt while the task's terms last, then `RoundFailed`."""
    phase = run.phase(model.round + 1)
    while True:
        members = cohort.draw(coordinator, link, run, phase)
        _attempts_last(coordinator, run, model, phase)
        collected = collect(coordinator, link, run, model, members)
        reasons = collected.reasons()
        if phases.enough(run.manifest, phase, collected.total.parties):
            try:
                return commit(coordinator, run, model, collected, _bare(coordinator, link, run, collected))
            except (SecaggError, Refused) as error:
                reasons["the sum"] = str(error)
                collected = collected.blaming(error)
        attempt = collected.question.attempt
        coordinator.store.fail_attempt(run.digest, "train", attempt, reasons, collected.parties)


@dataclass(frozen=True)
class Collected:
    """What an attempt brought: the sum, and what each party did."""

    question: TrainRequest
    names: tuple[str, ...]
    total: Folded
    parties: tuple[PartyRound, ...] = ()
    heads: dict[PartyId, LedgerHead] = field(default_factory=dict)
    seconds: float = 0.0

    def reasons(self) -> dict[str, str]:
        """Why each party that is missing from the sum is missing."""
        return {party.party: party.code or party.outcome for party in self.parties if party.outcome != "answered"}

    def blaming(self, error: PacelineError) -> "Collected":
        """With the party on record whose shares failed the attempt, if any did: `cohort.draw` leaves it out."""
        dealer = error.dealer if isinstance(error, DealtWrongly) else None
        return replace(
            self,
            parties=tuple(
                replace(party, outcome="invalid", code=DEALT_WRONGLY) if party.party == dealer else party
                for party in self.parties
            ),
        )


def collect(coordinator: Coordinator, link: Link, run: Run, model: Model, members: tuple[Member, ...]) -> Collected:
    """Ask everyone and fold what holds as it arrives; nothing that one party sends can stop the others."""
    began, desk = time.monotonic(), Desk(coordinator, link, run)
    also = {}
    if run.manifest.exchange.secure:
        also["roster"] = desk.roster(model.round + 1, members)
    posed = pose(coordinator, run, "train", model, model.round + 1, also)
    collected = _nothing_yet(run, model, posed, len(members))
    keys = coordinator.store.active_party_keys()
    asked = _usable(desk, collected.question, members)
    for reply in view.ask(coordinator, link, run, model, posed, asked):
        if any(party.party == reply.party for party in collected.parties):
            count(coordinator, posed.question, reply)
            continue  # a second answer of one party changes nothing
        collected = _fold_reply(run, collected, reply, keys)
        count(coordinator, posed.question, reply, collected.heads.get(reply.party))
        done = replace(collected.parties[-1], seconds=time.monotonic() - began, at=coordinator.clock())
        collected = replace(collected, parties=(*collected.parties[:-1], done))
        del reply  # or it would stay in memory beside the next one
    return replace(collected, seconds=time.monotonic() - began)


def _usable(desk: Desk, question: TrainRequest, members: tuple[Member, ...]) -> list[PartyId]:
    """Whose updates can be used: in a secure round of those who have a mask key, and are left where that is decided."""
    parties = [member.party for member in members]
    if question.roster is None:
        return parties
    decided = desk.decided(question)
    left = {found.party for found in question.roster} if decided is None else set(decided)
    return [party for party in parties if party in left]


def _bare(coordinator: Coordinator, link: Link, run: Run, collected: Collected) -> Readable:
    """The sum as it moves the model: in a secure round the parties bare it first, all together.

    No longer than honest parties can make it: a hostile one could fill the whole range of the lanes.
    """
    total = collected.total
    if not isinstance(total, Masked):
        return total
    shares = Desk(coordinator, link, run).shares(collected.question, total.parties)
    vector = shares.bare(total.lanes, total.size)
    left = robust.cut(vector, robust.longest_sum(run.manifest, total.parties, total.size))
    return Total(left * vector.astype(np.float64), float(len(total.parties)), total.parties)


def commit(coordinator: Coordinator, run: Run, model: Model, collected: Collected, total: Readable) -> Model:
    """Advance the model and record the round in one transaction; only then may anybody see the new weights."""
    phase = run.workload.phase(collected.question.phase)
    moved = view.followed(run, model, advance(model, collected.names, total, run.manifest, phase))
    coordinator.store.commit_round(
        RoundRecord(
            task=run.digest,
            round=moved.round,
            attempt=collected.question.attempt,
            model=to_bytes(moved),
            memory=memory.to_bytes(moved.memory),
            parties=collected.parties,
            shrink=share_present(run.manifest, phase, collected.total.parties),
            seconds=collected.seconds,
            heads=collected.heads,
        )
    )
    return moved


def _attempts_last(coordinator: Coordinator, run: Run, model: Model, phase: Phase) -> None:
    """Raise `RoundFailed` if a new attempt would leave too few for the rounds to come; an open one is asked again.

    Rounds that read people's rows and rounds that read nobody's have attempts of their own.
    """
    if coordinator.store.open_attempt(run.digest, "train") is not None:
        return

    def alike(numbers: Collection[int]) -> int:
        reading = phases.on_people(order, numbers)
        return reading if phase.reads_people else len(numbers) - reading

    order = phases.turns(run.workload, run.manifest.training.phases)
    agreed = phases.attempts(run.workload, run.manifest, phase)
    left = agreed - alike(coordinator.store.attempted_rounds(run.digest))
    to_go = alike(range(model.round + 1, run.manifest.rounds + 1))
    if left >= to_go:
        return
    reasons = coordinator.store.last_reasons(run.digest)
    why = ", and ε was promised for no more" if phase.reads_people else f" of phase {phase.name}"
    raise RoundFailed(
        f"round {model.round + 1} of task {run.manifest.name} cannot be tried again: {left} of {agreed} attempts are "
        f"left for {to_go} rounds{why}. Last reasons: {_words(reasons)}. Sign a new task with more attempts.",
        reasons,
    )


def _nothing_yet(run: Run, model: Model, posed: Posed, asked: int) -> Collected:
    question = posed.question
    assert isinstance(question, TrainRequest)  # noqa: S101 - narrows the type; this kind was asked for
    phase = run.workload.phase(question.phase)
    names = trained_names(model.weights, phase, run.manifest.training.trains)
    size = sum(model.weights[name].numel() for name in names) * run.manifest.training.vectors
    return Collected(question, names, nothing(run.manifest, phase, size, asked))


def _fold_reply(run: Run, collected: Collected, reply: Reply, keys: dict[PartyId, bytes]) -> Collected:
    """One reply, checked and added to the sum, or noted with the reason why not."""
    done = PartyRound(reply.party, "answered")
    heads, total = collected.heads, collected.total
    try:
        if reply.blob is None:
            raise LinkError(reply.failure)
        checked = check(reply.blob, _key(keys, reply.party), reply.party, collected.question, (run, total.size))
        total, heads = fold(total, checked), {**heads, reply.party: checked.ledger_head}
        done = replace(done, snapshot=checked.snapshot, code=checked.words())
    except PacelineError as error:
        done = replace(done, outcome=_outcome(error), code=str(error)[:200])
        head = error.ledger_head if isinstance(error, Declined) else None
        heads = {**heads, reply.party: head} if head else heads
    return replace(collected, total=total, heads=heads, parties=(*collected.parties, done))


def _outcome(error: PacelineError) -> str:
    """How the record calls what a party did that led to `error`."""
    if isinstance(error, Declined):
        return "refused"
    return "late" if isinstance(error, LinkError) else "invalid"


def _key(keys: dict[PartyId, bytes], party: PartyId) -> bytes:
    """The identity key of a party that is still in; it may have been revoked since it was asked."""
    if party not in keys:
        raise LinkError("revoked or gone since it was asked")
    return keys[party]


def _initial_model(coordinator: Coordinator, run: Run, posed: Posed, reply: Reply) -> Model:
    """Round 0 from the provider's answer: the right names and sizes come from the workload that is installed here."""
    if reply.blob is None:
        raise LinkError(reply.failure)
    like = run.workload.initial(run.manifest.training.seed)
    names, codec = sorted(like), codecs.find("raw32")
    size = sum(tensor.numel() for tensor in like.values())
    key = _key(coordinator.store.active_party_keys(), reply.party)
    answer, payload = wire.read_answer(reply.blob, key, codec.max_bytes(size))
    if isinstance(answer, RefusalAnswer):
        raise Declined(answer.code, answer.ledger_head)
    asked = (posed.question.task, posed.question.attempt, posed.question.nonce)
    if not isinstance(answer, InitialAnswer) or (answer.task, answer.attempt, answer.nonce) != asked:
        raise WireError("first weights were expected, but something else came.")
    return Model(0, unflatten(codec.decode(payload, size, 0), like, names))


def _words(reasons: Mapping[str, str]) -> str:
    return ", ".join(f"{party}: {why}" for party, why in reasons.items()) or "none recorded"
