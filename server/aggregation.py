"""From bytes of one party to the next model: check, fold, advance. Memory: one model, however many parties."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from federation import codecs, phases, wire
from federation.errors import PacelineError, SignatureError, WireError
from federation.ids import LedgerHead, PartyId
from federation.manifest import Manifest, PersonTerms
from federation.messages import RefusalAnswer, TrainRequest, UpdateAnswer
from federation.roles import Role
from federation.workload import Phase, Vector, flatten, unflatten
from server import optimisers
from server.coordinator import Model, Run

MAX_ROWS = 10**9
_SEAL = object()


class Declined(PacelineError):
    """A party sent a signed refusal; the message is its closed code. `ledger_head`: none if it names no question."""

    def __init__(self, code: str, ledger_head: LedgerHead | None) -> None:
        super().__init__(code)
        self.ledger_head = ledger_head


@dataclass(frozen=True)
class Checked:
    """An update whose signature, question, size and numbers hold; made only by `check`.

    The coordinator cannot prove from bytes that a node clipped and noised: that is the node's own promise.
    """

    party: PartyId
    vector: Vector = field(repr=False)
    weight: float
    snapshot: str
    ledger_head: LedgerHead
    _seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise WireError("a Checked update is made only by server.aggregation.check.")


@dataclass(frozen=True)
class Total:
    """The sum of the updates that came; `vector` is one float64 buffer that `fold` adds to in place."""

    vector: npt.NDArray[np.float64] = field(repr=False)
    weight: float = 0.0
    parties: tuple[PartyId, ...] = ()

    @property
    def size(self) -> int:
        """How many parameters are trained."""
        return len(self.vector)


def check(blob: bytes, key: bytes, party: PartyId, request: TrainRequest, terms: tuple[Run, int]) -> Checked:
    """The update in `blob`, or `Declined`, `WireError`, `SignatureError`; `terms`: the task and the vector's size."""
    run, size = terms
    codec = codecs.find(run.manifest.exchange.up)
    answer, payload = wire.read_answer(blob, key, codec.max_bytes(size))
    if answer.party != party:
        raise SignatureError(f"{party} signed an answer that names {answer.party}.")
    asked = (request.task, request.round, request.attempt, request.nonce)
    to_this = (answer.task, answer.round, answer.attempt, answer.nonce) == asked
    if isinstance(answer, RefusalAnswer):
        # A refusal of bytes that could not be read knows no head: taking its own would forget the newest one.
        raise Declined(answer.code, answer.ledger_head if to_this else None)
    if not isinstance(answer, UpdateAnswer):
        raise WireError(f"an update was expected, but {answer.kind} came.")
    if not to_this:
        raise WireError("the answer is to another question.")
    vector = codec.decode(payload, size, int(request.nonce[:16], 16))
    weight = _weight(run.manifest, run.workload.phase(request.phase), party, answer)
    return Checked(party, vector, weight, answer.snapshot, answer.ledger_head, _SEAL)


def fold(total: Total, checked: Checked) -> Total:
    """Add one update; a second one of the same party is an error."""
    if checked.party in total.parties:
        raise WireError(f"{checked.party} answered twice; the second answer was not used.")
    np.add(total.vector, checked.vector * np.float64(checked.weight), out=total.vector)
    return Total(total.vector, total.weight + checked.weight, (*total.parties, checked.party))


def advance(model: Model, names: Sequence[str], total: Total, manifest: Manifest, phase: Phase) -> Model:
    """Move the weights by the mean update, as the task's server optimiser does (`server.optimisers`).

    Under privacy terms it divides by the task's public divisor, not by how many people or parties took part: that
    number depends on who was there, and the noise does not cover it. Without them it is plain FedAvg over rows.
    """
    divisor = phases.divisor(manifest, phase) if isinstance(manifest.privacy, PersonTerms) else total.weight
    sizes = {name: model.weights[name].numel() for name in names}
    moments = optimisers.recall(model.memory, sizes, manifest.training)
    current = flatten(model.weights, names).astype(np.float64)
    vector, moments = optimisers.step(current, total.vector / divisor, moments, manifest.training)
    moved = vector.astype(np.float32)
    if not np.isfinite(moved).all():
        raise WireError("the sum of the updates left the range of float32; lower the task's learning rates.")
    memory = optimisers.remember(model.memory, sizes, moments)
    return Model(model.round + 1, unflatten(moved, model.weights, names), memory)


def share_present(manifest: Manifest, phase: Phase, parties: Sequence[PartyId]) -> float:
    """How much of the public divisor the parties that answered stand for, in [0, 1]: missing ones shrink the step."""
    if not isinstance(manifest.privacy, PersonTerms):
        return 1.0
    if not phase.reads_people:
        return len(parties) / phases.divisor(manifest, phase)
    rate = manifest.privacy.sampling_rate
    present = [manifest.member(party) for party in parties]
    public = sum(member.role is Role.ALGORITHM_PROVIDER for member in present) * manifest.training.public_weight
    return (rate * sum(member.people for member in present) + public) / manifest.divisor()


def _weight(manifest: Manifest, phase: Phase, party: PartyId, answer: UpdateAnswer) -> float:
    """1 under privacy terms and where nobody's rows are read; else the rows that the node waived to tell, or the task's
    public weight.
    """
    if isinstance(manifest.privacy, PersonTerms) or not phase.reads_people:
        return 1.0
    if manifest.member(party).role is Role.ALGORITHM_PROVIDER:
        return manifest.training.public_weight
    if not 0 < answer.weight <= MAX_ROWS:
        raise WireError(f"an unprotected update says it stands for {answer.weight} rows; expected 1 to {MAX_ROWS}.")
    return float(answer.weight)
