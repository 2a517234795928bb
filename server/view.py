"""Asks the parties about a model: each is sent no more of the shared view than it lacks.

What a party has is read from the record of what it answered. A party that refuses is taken to have followed, too: if it
did not (it was paused, say), it tells so as soon as it would take part, and is sent the whole view within the same
attempt. So a party that refuses every round costs few bytes.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import replace

from federation import codecs, wire
from federation.errors import PacelineError, Refusal
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.messages import RefusalAnswer
from federation.shared_view import NO_SEED, WHOLE, is_shared, join
from federation.workload import flatten
from server import questions
from server.coordinator import Coordinator, Model, Run, trail_of
from server.questions import Posed
from server.trail import Difference, Trail, grown

SHORT_BYTES = 4096
"""No refusal is longer."""


def followed(run: Run, before: Model, after: Model) -> Model:
    """`after` with the view that the nodes will have of it, where the task has views."""
    if not is_shared(run.manifest.exchange):
        return after
    trail = grown(trail_of(before), flatten(after.weights, sorted(after.weights)), run.manifest.exchange)
    return replace(after, memory=replace(after.memory, trail=trail))


def ask(
    coordinator: Coordinator, link: Link, run: Run, model: Model, posed: Posed, parties: Collection[PartyId]
) -> Iterator[Reply]:
    """The reply of each of `parties` as it arrives; its bytes are for the caller to count."""
    if is_shared(run.manifest.exchange):
        yield from _ask_what_lacks(coordinator, link, run, model, posed, parties)
        return
    requests = dict.fromkeys(parties, posed.blob)
    yield from questions.ask(coordinator, link, posed.question, requests, run.manifest.round_deadline_s)


def _ask_what_lacks(
    coordinator: Coordinator, link: Link, run: Run, model: Model, posed: Posed, parties: Collection[PartyId]
) -> Iterator[Reply]:
    """The same where nodes keep a view: each is sent the differences that it lacks, or the whole view.

    Who cannot follow is asked again with the whole view, once, in what is left of the round's time.
    """
    began, trail, behind = time.monotonic(), trail_of(model), _behind(coordinator, run, model)
    lacking = {party: trail.since(behind.get(party)) for party in parties}
    packed = {steps: _packed(coordinator, posed, trail, steps) for steps in {*lacking.values()}}
    stale: dict[PartyId, Reply] = {}
    requests = {party: packed[steps] for party, steps in lacking.items()}
    for reply in questions.ask(coordinator, link, posed.question, requests, run.manifest.round_deadline_s):
        if lacking[reply.party] is not None and _cannot_follow(coordinator, posed, reply):
            stale[reply.party] = reply
        else:
            yield reply
        del reply  # whoever took it is done with it: the next one comes alone
    left_s = run.manifest.round_deadline_s - (time.monotonic() - began)
    if not stale or left_s <= 0:
        yield from stale.values()
        return
    whole = dict.fromkeys(stale, _packed(coordinator, posed, trail, None))
    for reply in questions.ask(coordinator, link, posed.question, whole, left_s):
        first = stale[reply.party]
        if reply.blob:
            questions.count(coordinator, posed.question, first)
            yield reply
        else:  # it stays the refusal that it was: the next question comes with the whole view
            yield replace(first, resent=first.resent + reply.resent)
        del reply


def _packed(coordinator: Coordinator, posed: Posed, trail: Trail, steps: tuple[Difference, ...] | None) -> bytes:
    """The question with these differences, or with the whole view."""
    if steps is None:
        payload, carries = codecs.find(WHOLE).encode(trail.view.vector, NO_SEED), {"carries": "model"}
        return wire.pack(posed.question.model_copy(update=carries), payload, coordinator.identity)
    if not steps:
        return posed.blob
    update = {"carries": "differences", "bases": tuple(step.base for step in steps)}
    payload = join([step.coded for step in steps])
    return wire.pack(posed.question.model_copy(update=update), payload, coordinator.identity)


def _behind(coordinator: Coordinator, run: Run, model: Model) -> dict[PartyId, int]:
    """How many rounds old the view of each party is, as far as it is known."""
    oldest = model.round - len(trail_of(model).differences)
    heard = coordinator.store.last_heard(run.digest, oldest)
    return {
        party: model.round - (row.round if row.kind == "evaluate" else row.round - 1)
        for party, row in heard.items()
        if row.code != Refusal.STALE_VIEW
    }


def _cannot_follow(coordinator: Coordinator, posed: Posed, reply: Reply) -> bool:
    """Whether the party itself says so, about this question."""
    if reply.blob is None or len(reply.blob) > SHORT_BYTES or Refusal.STALE_VIEW.encode() not in reply.blob:
        return False
    key = coordinator.store.active_party_keys().get(reply.party)
    try:
        answer, _ = wire.read_answer(reply.blob, key or b"", 0)
    except PacelineError:
        return False  # whoever reads it next says what is wrong with it
    asked = (posed.question.task, posed.question.attempt, posed.question.nonce, reply.party)
    told = (answer.task, answer.attempt, answer.nonce, answer.party)
    return isinstance(answer, RefusalAnswer) and answer.code is Refusal.STALE_VIEW and told == asked
