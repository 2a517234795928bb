"""The middle gates of a round: eligible, reserve, sample, train, bound, noise; then encode."""

from collections.abc import Iterator

import numpy as np
import torch
from pyroaring import BitMap

from clients import algorithm_provider, budget, consent, scaffold, secure, training
from clients.data.rows import as_tensor
from clients.node import Agreed, Node, Question
from clients.policy import Unprotected, unprotected
from clients.replies import common, record
from clients.scaffold import Control
from clients.secure import Turn, Unmasked
from clients.sendable import Sendable, encode, public
from federation.codecs.seeds import own_seed, shared_seed
from federation.errors import PrivacyError, Refusal, Refused
from federation.ids import TaskDigest
from federation.manifest import Manifest
from federation.messages import TrainRequest, UpdateAnswer
from federation.roles import Step
from federation.schema import Rows
from federation.terms import PersonTerms
from federation.workload import Weights, trained_names
from privacy.charges import Charge
from privacy.noise import RandomSource, add_noise
from privacy.person_level import Bounded, bound, combine, empty, sample
from privacy.skellam import NoiseShared

Beside = Control | Turn | None
"""What a round needs beside the weights: SCAFFOLD's variates, the masks of a secure round, or nothing."""
NO_SNAPSHOT = "0" * 64
"""What stands for a consent snapshot where nobody's rows were read."""


def train_on_people(node: Node, agreed: Agreed, question: TrainRequest, weights: Weights, beside: Beside) -> bytes:
    """Gates *eligible* to *record*: budget is spent on disk before the first row is trained on."""
    manifest, terms = agreed.manifest, agreed.manifest.privacy
    if not agreed.workload.phase(question.phase).reads_people:
        raise Refused(Refusal.POLICY, f"phase {question.phase} reads nobody's rows; it is not for nodes with people.")
    snapshot = consent.eligible(
        node.store, manifest.purpose, node.clock(), question.task, node.policy().age_of_consent_years
    )
    people = snapshot.people & node.rows.people(agreed.workload.name, False)
    if isinstance(terms, PersonTerms):
        people = who_can_pay(node, people, terms.person_cost())
    if len(people) < max(1, node.policy().min_people):
        raise Refused(
            Refusal.NO_CONSENT,
            f"fewer people permit {manifest.purpose} now than this node trains on; see `paceline consent show`.",
        )
    if isinstance(terms, PersonTerms):
        reserve(node, question, people, Step.TRAIN_ON_PEOPLE, terms.person_cost(), terms.max_attempts)
        update, summed = _private_update(node, agreed, question, weights, people)
        weight = 0
    else:
        rows = node.rows.of(agreed.workload.name, False, people)
        update, summed = _unprotected_update(node, agreed, weights, rows, beside), people
        weight = 0 if isinstance(beside, Turn) else len(rows)  # in a secure sum all parties weigh the same
    header = UpdateAnswer(**common(node, question), weight=weight, snapshot=snapshot.digest, variate=_variate(beside))
    used = still_permitted(node, manifest, people)  # whoever withdrew before the sum is not in it
    _require_still_permitted(summed, used)
    return _record(node, agreed, header, update, used, beside)


def train_on_public(node: Node, agreed: Agreed, question: TrainRequest, weights: Weights, beside: Beside) -> bytes:
    """An update from synthetic rows, charged to nobody: beside people's updates at most `public_weight` people's
    influence; where nobody's rows are read, as it is, for there it overrules nobody.
    """
    training_terms, terms = agreed.manifest.training, agreed.manifest.privacy
    phase = agreed.workload.phase(question.phase)
    rows = algorithm_provider.public_rows(agreed.workload, training_terms)
    update = scaffold.update(agreed, weights, rows, shared_seed(question.nonce) >> 33, _control(beside))
    if isinstance(terms, PersonTerms) and phase.reads_people:
        sendable = public(update, training_terms.public_weight, terms.clip)
    else:
        sendable = public(update, 1.0, float("inf"))
    header = UpdateAnswer(**common(node, question), weight=0, snapshot=NO_SNAPSHOT, variate=_variate(beside))
    return _record(node, agreed, header, sendable, None, beside)


def who_can_pay(node: Node, people: BitMap, cost: Charge) -> BitMap:
    """`people` without those whose lifetime cap is reached; all of them if nobody can pay, so that it is refused."""
    policy = node.policy()
    return budget.affordable(node.store, people, cost, budget.Cap(policy.max_epsilon, policy.delta)) or people


def reserve(node: Node, question: Question, people: BitMap, step: Step, cost: Charge, limit: int) -> None:
    """Charge everyone eligible with the attempt's whole cost, durably, before anything is computed on them.

    `limit`: how many such charges of the task ε was promised for.
    """
    policy = node.policy()
    budget.reserve(
        node.store,
        budget.Charge(TaskDigest(question.task), question.attempt, step, cost, people, limit),
        budget.Cap(policy.max_epsilon, policy.delta),
        question.ledger_heads.get(node.pinned.party),
        node.clock(),
    )


def _private_update(
    node: Node, agreed: Agreed, question: TrainRequest, weights: Weights, people: BitMap
) -> tuple[Unmasked, BitMap]:
    """Gates *sample*, *train*, *bound*, *noise*; also who was summed. An empty sample gets its noise all the same."""
    terms = agreed.manifest.privacy
    assert isinstance(terms, PersonTerms)  # noqa: S101 - narrows the type; the caller decided
    batches = _permitted_updates(node, agreed, question, weights, people)
    size = _size(agreed, question, weights)
    summed = BitMap()
    if terms.noise == "shared":
        integers = secure.Integers.nothing(agreed.manifest, question, size)
        for permitted, updates in batches:
            summed |= permitted
            integers = integers.plus(updates, node.source)
        return integers.noised(node.source), summed
    total: Bounded = empty(size, terms.clip)
    for permitted, updates in batches:
        summed |= permitted
        total = combine([total, bound(updates, terms.clip)])
    return add_noise(total, terms.noise_multiplier, node.source), summed


def _permitted_updates(
    node: Node, agreed: Agreed, question: TrainRequest, weights: Weights, people: BitMap
) -> Iterator[tuple[BitMap, torch.Tensor]]:
    """Who of the sample still permits it, with one update for each unit, (units, parameters), chunk by chunk.

    A Poisson sample is never truncated. Under unit ``record`` every row is a unit of its own; the reservation already
    charged its person.
    """
    terms = agreed.manifest.privacy
    assert isinstance(terms, PersonTerms)  # noqa: S101 - narrows the type; the caller decided
    units, owners = _sampled(node, agreed.workload.name, terms, people)
    if not len(units):
        return
    phase, seed = agreed.workload.phase(question.phase), _private_seed(node.source)
    names = trained_names(weights, phase, agreed.manifest.training.trains)
    for who, updates in training.person_updates(
        agreed.workload, phase, weights, names, units, agreed.manifest.training, terms.rows_per_person, seed
    ):
        used = owners[who] if terms.unit == "record" else who
        permitted = still_permitted(node, agreed.manifest, BitMap(used.numpy()))
        yield permitted, updates[torch.isin(used, as_tensor(permitted))]


def _size(agreed: Agreed, question: TrainRequest, weights: Weights) -> int:
    """How many parameters the question's phase trains."""
    names = trained_names(weights, agreed.workload.phase(question.phase), agreed.manifest.training.trains)
    return sum(weights[name].numel() for name in names)


def _sampled(node: Node, workload: str, terms: PersonTerms, people: BitMap) -> tuple[Rows, torch.Tensor]:
    """Rows of a Poisson sample, `person` being their unit's number; and every unit's person.

    Under unit ``person`` only the rows of those who were drawn are read. Under unit ``record`` a person is charged as a
    group of `rows_per_person` rows; whoever has more gives only so many.
    """
    if terms.unit == "person":
        drawn = sample(np.array(people.to_array(), dtype=np.int64), terms.sampling_rate, node.source)
        rows = node.rows.of(workload, False, BitMap(drawn))
        return rows, rows.person
    rows = node.rows.of(workload, False, people)
    _, index, real = training.picked(rows.person.numpy(), terms.rows_per_person, _private_seed(node.source))
    rows = rows.take(torch.from_numpy(index[real]))
    units = Rows(rows.fields, torch.arange(len(rows)))
    return units.of(torch.from_numpy(sample(units.person.numpy(), terms.sampling_rate, node.source))), rows.person


def _unprotected_update(node: Node, agreed: Agreed, weights: Weights, rows: Rows, beside: Beside) -> Unprotected:
    """A plain party's update; exists only where the node's policy waives privacy for this very task."""
    update = scaffold.update(agreed, weights, rows, _private_seed(node.source), _control(beside))
    return unprotected(update.cpu().numpy(), agreed.admission.waiver)


def _record(
    node: Node, agreed: Agreed, header: UpdateAnswer, update: Unmasked, people: BitMap | None, beside: Beside
) -> bytes:
    """Gates *mask*, *encode* and *record*; in the same transaction masks become used, and new variates are kept."""
    with node.store.transaction():
        payload = encode(
            _sendable(node, agreed, update, beside), agreed.manifest.exchange, own_seed(header.nonce, header.party)
        )
        if isinstance(beside, Control):
            scaffold.keep(node, agreed, beside, payload, people or BitMap())
        blob = record(node, agreed, header, payload, people)
    if isinstance(beside, Turn):
        node.store.wipe()
    return blob


def _sendable(node: Node, agreed: Agreed, update: Unmasked, beside: Beside) -> Sendable:
    """The update as it may leave: masked where the contract says so; a share of noise alone never does."""
    if isinstance(beside, Turn):
        return secure.masked(node, agreed, beside, update)
    if isinstance(update, NoiseShared):
        raise PrivacyError("an update with a share of the noise leaves under masks only; nothing was sent.")
    return update


def _control(beside: Beside) -> Control | None:
    return beside if isinstance(beside, Control) else None


def _variate(beside: Beside) -> int | None:
    """The round that left the variate which the answer says it changed."""
    return beside.round if isinstance(beside, Control) else None


def _private_seed(source: RandomSource) -> int:
    """A seed for choosing rows and batches; nobody else knows it, because the sample must stay secret."""
    return int.from_bytes(source.read(4), "big") >> 1


def still_permitted(node: Node, manifest: Manifest, people: BitMap) -> BitMap:
    """Those of `people` whose consent to the task's purpose holds at this moment."""
    years = node.policy().age_of_consent_years
    return consent.permitted(node.store, manifest.purpose, node.clock(), people, years)


def _require_still_permitted(summed: BitMap, used: BitMap) -> None:
    """A withdrawal after the sum discards the update; the reservation stays spent.

    What travels is the code of an attempt that was lost: it does not tell a withdrawal from a crash.
    """
    if not summed <= used:
        raise Refused(Refusal.ATTEMPT_LOST, "a person withdrew after their update was summed; the sum was discarded.")
