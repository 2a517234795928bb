"""From bytes of one party to the next model: check, fold, advance.

Under a mean memory is one sum, however many parties; a rule that compares updates (`server.robust`) keeps them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from federation import codecs, phases, wire
from federation.codecs import lane
from federation.codecs.seeds import own_seed
from federation.errors import PacelineError, SignatureError, WireError
from federation.ids import LedgerHead, PartyId
from federation.manifest import Manifest
from federation.messages import RefusalAnswer, TrainRequest, UpdateAnswer
from federation.roles import Role
from federation.terms import PersonTerms
from federation.workload import Phase, Vector, flatten, unflatten
from server import optimisers, robust, scaffold
from server.coordinator import Model, Run
from server.memory import Memory
from server.scaffold import Control

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

    The coordinator cannot prove from bytes that a node clipped and noised: that is the node's own promise. But times
    `weight` no vector is longer than the contract's people, clip and noise, or its `norm_limit`, allow: `cut` is the
    part of it that is left, 1 for nearly everybody. `units`: what the party stands for (`Manifest.stands_for`).
    `continues`: under SCAFFOLD, whether the party still has the variate that the coordinator counts.
    """

    party: PartyId
    vector: Vector = field(repr=False)
    weight: float
    units: float
    cut: float
    snapshot: str
    ledger_head: LedgerHead
    continues: bool
    _seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise WireError("a Checked update is made only by server.aggregation.check.")

    def words(self) -> str:
        """What the operator should know of an update that counts."""
        return f"longer than agreed, cut to {self.cut:.2g} of its length" if self.cut < 1 else ""


@dataclass(frozen=True)
class Total:
    """The sum of the updates that came; `vector` is one float64 buffer that `fold` adds to in place.

    Under SCAFFOLD the changes of the control variates stand behind the updates; `continues` if all parties do.
    """

    vector: npt.NDArray[np.float64] = field(repr=False)
    weight: float = 0.0
    parties: tuple[PartyId, ...] = ()
    continues: bool = True

    @property
    def size(self) -> int:
        """How many numbers an update has."""
        return len(self.vector)


@dataclass(frozen=True)
class Updates:
    """All updates that came, side by side and per unit: the first rows of `rows`, which `fold` fills in place."""

    rows: robust.Rows = field(repr=False)
    units: float = 0.0
    parties: tuple[PartyId, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers an update has."""
        return int(self.rows.shape[1])

    def total(self, manifest: Manifest) -> Total:
        """What the task's rule makes of them, times all that their parties stand for."""
        rule, came = robust.RULES[manifest.training.aggregation], self.rows[: len(self.parties)]
        return Total(rule(came, manifest.training.byzantine) * self.units, self.units, self.parties)


@dataclass(frozen=True)
class Masked:
    """The sum of masked updates of `size` numbers, in lanes modulo 2^bits, added to in place: noise until bared."""

    lanes: lane.Lanes = field(repr=False)
    bits: int
    size: int
    parties: tuple[PartyId, ...] = ()


@dataclass(frozen=True)
class CheckedMask:
    """A masked update whose signature, question and size hold; made only by `check`. Nobody can read it alone."""

    party: PartyId
    lanes: lane.Lanes = field(repr=False)
    snapshot: str
    ledger_head: LedgerHead
    _seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self._seal is not _SEAL:
            raise WireError("a CheckedMask is made only by server.aggregation.check.")

    def words(self) -> str:
        """What the operator should know of an update that counts."""
        return ""


Readable = Total | Updates
Folded = Readable | Masked
"""What answers are folded into; the contract chooses which."""


def nothing(manifest: Manifest, phase: Phase, size: int, asked: int) -> Folded:
    """What the first of `asked` answers of `size` numbers is folded into. Rounds on nobody are means: who trains
    those wrote the code that everybody runs.
    """
    if manifest.exchange.secure:
        bits = int(manifest.exchange.up_bits)
        return Masked(np.zeros(lane.coordinates(size), lane.width(bits)), bits, size)
    if phase.reads_people and manifest.training.aggregation != "mean":
        return Updates(robust.room(asked, size))
    return Total(np.zeros(size))


def check(
    blob: bytes, key: bytes, party: PartyId, request: TrainRequest, terms: tuple[Run, int]
) -> Checked | CheckedMask:
    """The update in `blob`, or `Declined`, `WireError`, `SignatureError`; `terms`: the task and the vector's size."""
    run, size = terms
    exchange = run.manifest.exchange
    if exchange.secure:
        bits, count = int(exchange.up_bits), lane.coordinates(size)
        answer, payload = _update(blob, key, party, request, -(-count * bits // 8))
        return CheckedMask(party, lane.unpack(payload, count, bits), answer.snapshot, answer.ledger_head, _SEAL)
    codec = codecs.find(exchange.up, exchange.up_bits)
    answer, payload = _update(blob, key, party, request, codec.max_bytes(size))
    vector = codec.decode(payload, size, own_seed(request.nonce, party))
    phase = run.workload.phase(request.phase)
    cut = robust.cut(vector, robust.longest(run.manifest, phase, party, size))
    return Checked(
        party=party,
        vector=vector,
        weight=cut * _weight(run.manifest, phase, party, answer),
        units=run.manifest.stands_for([run.manifest.member(party)]),
        cut=cut,
        snapshot=answer.snapshot,
        ledger_head=answer.ledger_head,
        continues=answer.variate == (request.variates or {}).get(party),
        _seal=_SEAL,
    )


def _update(
    blob: bytes, key: bytes, party: PartyId, request: TrainRequest, most_bytes: int
) -> tuple[UpdateAnswer, memoryview]:
    """An answer with an update to this very question, by this party, and its payload."""
    answer, payload = wire.read_answer(blob, key, most_bytes)
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
    return answer, payload


def fold(total: Folded, checked: Checked | CheckedMask) -> Folded:
    """Add one update; a second one of the same party is an error."""
    if checked.party in total.parties:
        raise WireError(f"{checked.party} answered twice; the second answer was not used.")
    parties = (*total.parties, checked.party)
    if isinstance(total, Masked) or isinstance(checked, CheckedMask):
        if not (isinstance(total, Masked) and isinstance(checked, CheckedMask)):
            raise WireError("updates with and without masks do not add up.")
        np.add(total.lanes, checked.lanes, out=total.lanes)
        return replace(total, parties=parties)
    if isinstance(total, Updates):
        row = total.rows[len(total.parties)]
        np.multiply(checked.vector, np.float32(checked.weight / checked.units), out=row)
        return replace(total, units=total.units + checked.units, parties=parties)
    robust.add(total.vector, checked.vector, checked.weight)
    return Total(total.vector, total.weight + checked.weight, parties, total.continues and checked.continues)


def advance(model: Model, names: Sequence[str], folded: Readable, manifest: Manifest, phase: Phase) -> Model:
    """Move the weights by the mean update, or by what the task's rule puts in its place, as the task's server
    optimiser does (`server.optimisers`).

    Under privacy terms it divides by the task's public divisor, not by how many people or parties took part: that
    number depends on who was there, and the noise does not cover it. Without them it is plain FedAvg over rows.
    """
    total = folded.total(manifest) if isinstance(folded, Updates) else folded
    divisor = phases.divisor(manifest, phase) if isinstance(manifest.privacy, PersonTerms) else total.weight
    sizes = {name: model.weights[name].numel() for name in names}
    moments = optimisers.recall(model.memory.moments, sizes, manifest.training)
    moved = flatten(model.weights, names)
    with np.errstate(over="ignore"):  # told in words below
        moments = optimisers.move(moved, total.vector[: len(moved)], divisor, moments, manifest.training)
    if not (np.isfinite(moved.max()) and np.isfinite(moved.min())):
        raise WireError("the sum of the updates left the range of float32; lower the task's learning rates.")
    memory = Memory(optimisers.remember(model.memory.moments, sizes, moments), _control(model, total, manifest))
    return Model(model.round + 1, unflatten(moved, model.weights, names), memory)


def _control(model: Model, total: Total, manifest: Manifest) -> Control | None:
    """SCAFFOLD's control variate after the round.

    Where a party lost its own, or had to forget it, c counts what nobody can take out of it again: all begin anew.
    """
    if not (manifest.training.scaffold and total.continues):
        return None
    change = total.vector[total.size // 2 :]
    before = model.memory.control or Control(np.zeros(len(change)))
    return scaffold.advance(before, change, total.parties, manifest, model.round + 1)


def share_present(manifest: Manifest, phase: Phase, parties: Sequence[PartyId]) -> float:
    """How much of the public divisor the parties that answered stand for, in [0, 1]: missing ones shrink the step."""
    if not isinstance(manifest.privacy, PersonTerms):
        return 1.0
    if not phase.reads_people:
        return len(parties) / phases.divisor(manifest, phase)
    return manifest.stands_for([manifest.member(party) for party in parties]) / manifest.divisor()


def _weight(manifest: Manifest, phase: Phase, party: PartyId, answer: UpdateAnswer) -> float:
    """1 under privacy terms and where nobody's rows are read; else the rows that the node waived to tell, or the task's
    public weight. Where hostile parties are reckoned with, the people that it declared: rows are its own word.
    """
    if isinstance(manifest.privacy, PersonTerms) or not phase.reads_people:
        return 1.0
    if manifest.training.scaffold or manifest.training.sees_updates:
        return manifest.stands_for([manifest.member(party)])
    if manifest.member(party).role is Role.ALGORITHM_PROVIDER:
        return manifest.training.public_weight
    if not 0 < answer.weight <= MAX_ROWS:
        raise WireError(f"an unprotected update says it stands for {answer.weight} rows; expected 1 to {MAX_ROWS}.")
    return float(answer.weight)
