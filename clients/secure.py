"""A node's part in secure rounds: mask keys, masked updates, and shares that bare a sum but never one party's update.

Bonawitz et al. 2017, Fig. 4; which steps travel together, and why that is safe: docs/adr/0012-secure-rounds.md. The
node believes the coordinator nothing here: parties, keys and survivors hold by the parties' own signatures, the least
number of parties by the contract, and of any party it opens one kind of share only.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from clients.node import Agreed, Node, Question
from clients.policy import Unprotected
from clients.replies import common, record
from clients.sendable import Public
from clients.store import masks
from clients.store.records import Dealt, MaskState
from federation import quorum, secure
from federation.acceptance import Acceptance, seal_seed, verify_acceptance
from federation.codecs import lane
from federation.codecs.seeds import shared_seed
from federation.errors import Refusal, Refused, SecaggError, WireError
from federation.ids import PartyId, TaskDigest
from federation.manifest import Manifest
from federation.messages import (
    Advertisement,
    AgreedAnswer,
    AgreeRequest,
    PreparedAnswer,
    PrepareRequest,
    TrainRequest,
    UnmaskedAnswer,
    UnmaskRequest,
)
from federation.terms import PersonTerms
from privacy.fixed_point import BoundedIntegers, bound_integers, combine_integers, no_integers
from privacy.noise import Private, RandomSource
from privacy.secagg import shamir
from privacy.secagg.masking import MaskedShare, mask
from privacy.secagg.sealing import seal, unseal
from privacy.secagg.secrets import Secrets, public_key
from privacy.skellam import NoiseShared, add_share

Unmasked = Private | Unprotected | Public | NoiseShared
"""An update that is ready to leave, or to be masked."""
Roster = dict[PartyId, Advertisement]
"""Who takes part in a round, in the order of the points."""


@dataclass(frozen=True)
class Turn:
    """A secure round that this node may take part in: the keys of its masks, by point, and what they are bound to."""

    secrets: Secrets = field(repr=False)
    point: int
    publics: dict[int, bytes]
    context: bytes
    roster: tuple[Advertisement, ...]


def prepare(node: Node, agreed: Agreed, question: PrepareRequest) -> bytes:
    """Advertise a mask key for an attempt to come, with shares of its seed for each party that accepted the task."""
    if not agreed.manifest.exchange.secure:
        raise WireError("a mask key was asked for, but the updates of this task are not masked.")
    seal_keys = _seal_keys(agreed.manifest, question.acceptances)
    with node.store.transaction():
        advertisement, sealed = _advertised(node, agreed, question.of_attempt, seal_keys)
        answer = PreparedAnswer(**common(node, question), advertisement=advertisement)
        return record(node, agreed, answer, sealed, None)


def turn(node: Node, agreed: Agreed, question: TrainRequest) -> Turn | None:
    """This node's part in a secure round, None in a task without; `Refused` before anything is read or charged."""
    if not agreed.manifest.exchange.secure:
        if question.roster is not None:
            raise WireError("a roster came, but the updates of this task are not masked.")
        return None
    roster, points = secure.verify_roster(agreed.manifest, question), secure.points(agreed.manifest)
    state = _state(node, question, question.attempt)
    if state.secrets is None:
        raise Refused(Refusal.REPLAYED, f"the mask of attempt {question.attempt} was used before.")
    publics = {points[found.party]: bytes.fromhex(found.mask_key) for found in roster}
    if publics.get(points[node.pinned.party]) != public_key(state.secrets.mask_seed):
        raise Refused(Refusal.UNSAFE, "the roster does not hold this node's own mask key; it takes no part.")
    return Turn(state.secrets, points[node.pinned.party], publics, secure.context(question), roster)


def masked(node: Node, agreed: Agreed, part: Turn, update: Unmasked) -> MaskedShare:
    """The update under this node's masks; its secrets are gone as soon as the answer is on disk."""
    lanes = _in_lanes(node, agreed, update)
    share = mask(lanes, int(agreed.manifest.exchange.up_bits), part.secrets, part.point, part.publics, part.context)
    with node.store.transaction() as tx:
        masks.use(tx, TaskDigest(agreed.question.task), agreed.question.attempt, part.context, part.roster)
    return share


@dataclass(frozen=True)
class Integers:
    """A sum of people in whole numbers, as shared noise needs it, with the round's public constants."""

    total: BoundedIntegers
    terms: PersonTerms
    seed: int
    sharers: int

    @classmethod
    def nothing(cls, manifest: Manifest, question: TrainRequest, size: int) -> Self:
        """The sum over nobody, of `size` parameters."""
        terms = manifest.privacy
        assert isinstance(terms, PersonTerms)  # noqa: S101 - narrows the type; only they share noise
        total = no_integers(lane.coordinates(size), terms.levels)
        return cls(total, terms, shared_seed(question.nonce), secure.smallest_sum(manifest) - terms.colluding)

    def plus(self, updates: torch.Tensor, source: RandomSource) -> Self:
        """With people's updates, float (people, parameters), each clipped, rotated and rounded by itself."""
        added = bound_integers(updates, self.terms.clip, self._spread, self.terms.levels, source)
        return replace(self, total=combine_integers([self.total, added]))

    def noised(self, source: RandomSource) -> NoiseShared:
        """With this party's share of the noise, made for the fewest honest parties that a sum can hold."""
        return add_share(self.total, self.terms.noise_multiplier, self.sharers, source)

    def _spread(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return lane.spread(rows, self.seed).astype(np.float64, copy=False)


def agree(node: Node, agreed: Agreed, question: AgreeRequest) -> bytes:
    """Sign who was left of the roster, at most one list of them in an attempt."""
    bound, _ = _told(node, agreed.manifest, question)
    with node.store.transaction() as tx:
        masks.decide(tx, TaskDigest(question.task), question.of_attempt, question.survivors)
        agreement = secure.sign_survivors(node.identity, bound, question.survivors)
        return record(node, agreed, AgreedAnswer(**common(node, question), agreement=agreement), b"", None)


def unmask(node: Node, agreed: Agreed, question: UnmaskRequest) -> bytes:
    """Open one share of each party of the roster, as the one list of survivors says, and prepare the next attempt.

    Where somebody dropped out, so many parties must have signed the list that no other can be borne out. Where nobody
    did, no mask key is told at all.
    """
    bound, roster = _told(node, agreed.manifest, question)
    needed = quorum.threshold(len(agreed.manifest.contributors()))
    if len(question.survivors) < len(roster):
        keys = {party: found.public_key for party, found in roster.items()}
        found = len(secure.agreeing(bound, question.survivors, keys, question.agreed))
        if found < needed:
            raise Refused(Refusal.UNSAFE, f"{found} parties signed who is left; expected at least {needed}.")
    task = TaskDigest(question.task)
    opened = _opened(node, agreed, question, roster)
    with node.store.transaction() as tx:
        masks.decide(tx, task, question.of_attempt, question.survivors)
        advertisement, sealed = _next(node, agreed, question)
        answer = UnmaskedAnswer(**common(node, question), advertisement=advertisement)
        return record(node, agreed, answer, opened + sealed, None)


def _seal_keys(manifest: Manifest, acceptances: Iterable[Acceptance]) -> dict[PartyId, str]:
    """To what shares are sealed for each party that accepted; enough of them, so that the shares can be opened."""
    found = {}
    for acceptance in acceptances:
        verify_acceptance(acceptance, manifest)
        found[acceptance.party] = acceptance.seal_key
    needed = quorum.threshold(len(manifest.contributors()))
    if len(found.keys() & secure.points(manifest).keys()) < needed:
        raise Refused(Refusal.UNSAFE, f"{len(found)} parties accepted; shares need at least {needed} to open them.")
    return found


def _advertised(node: Node, agreed: Agreed, attempt: int, seal_keys: dict[PartyId, str]) -> tuple[Advertisement, bytes]:
    """New secrets for an attempt, kept; the mask key under our signature, and the sealed shares in order of the points.

    A party that did not accept gets zeros; so do we, whose own shares are kept.
    """
    manifest, identity, me = agreed.manifest, node.identity, node.pinned.party
    question, points = (agreed.question.task, attempt), secure.points(manifest)
    secrets, private = Secrets.fresh(node.source), seal_seed(identity, TaskDigest(agreed.question.task))
    needed, places = quorum.threshold(len(points)), list(points.values())
    of_key = shamir.split(secrets.mask_seed, needed, places, node.source)
    of_self = shamir.split(secrets.self_seed, needed, places, node.source)
    own = of_key[points[me]] + of_self[points[me]]
    with node.store.transaction() as tx:
        masks.add(tx, TaskDigest(agreed.question.task), attempt, Dealt(secrets, own, seal_keys))
    advertisement = secure.advertise(identity, me, question, public_key(secrets.mask_seed), secrets.self_seed)

    def sealed(to: PartyId, point: int) -> bytes:
        if to == me or to not in seal_keys:
            return bytes(secure.SEALED_BYTES)
        bound = secure.sealing(question, advertisement.mask_key, me, to)
        try:
            return seal(private, bytes.fromhex(seal_keys[to]), bound, of_key[point] + of_self[point])
        except SecaggError:
            return bytes(secure.SEALED_BYTES)  # whoever names a key that hides nothing gets nothing, and stops nobody

    return advertisement, b"".join(sealed(to, point) for to, point in points.items())


def _next(node: Node, agreed: Agreed, question: UnmaskRequest) -> tuple[Advertisement | None, bytes]:
    """What the next attempt needs of this node, where there may be one; it need not be asked for it any more."""
    manifest, attempt = agreed.manifest, question.of_attempt + 1
    if question.round >= manifest.rounds or attempt >= manifest.max_questions:
        return None, b""
    keys = _state(node, question, question.of_attempt).seal_keys
    return _advertised(node, agreed, attempt, keys)


def _told(node: Node, manifest: Manifest, question: AgreeRequest | UnmaskRequest) -> tuple[bytes, Roster]:
    """The context and the roster of the round that the survivors are said to be of; `Refused` unless they can be."""
    state = _state(node, question, question.of_attempt)
    if state.context is None:
        raise Refused(Refusal.UNSAFE, f"this node sent no masked update in attempt {question.of_attempt}.")
    survivors = question.survivors
    if list(survivors) != [party for party in state.roster if party in survivors]:
        raise Refused(Refusal.UNSAFE, "the survivors hold a stranger, name a party twice, or are not in order.")
    if node.pinned.party not in survivors:
        raise Refused(Refusal.UNSAFE, "this node is said to have dropped out, but it answered.")
    secure.require_enough(manifest, survivors)
    return state.context, state.roster


def _state(node: Node, question: Question, attempt: int) -> MaskState:
    with node.store.reading() as tx:
        return masks.find(tx, TaskDigest(question.task), attempt)


def _opened(node: Node, agreed: Agreed, question: UnmaskRequest, roster: Roster) -> bytes:
    """One share of each party: of its own mask if it is left, of its mask key's seed if it dropped, never both."""
    size = secure.SEALED_BYTES
    if len(agreed.payload) != size * len(roster):
        raise WireError(f"{len(agreed.payload)} bytes of sealed shares; expected {size} of each of {len(roster)}.")
    private, me = seal_seed(node.identity, TaskDigest(question.task)), node.pinned.party
    state = _state(node, question, question.of_attempt)
    shares = []
    for place, (party, found) in enumerate(roster.items()):
        bound = secure.sealing((question.task, question.of_attempt), found.mask_key, party, me)
        sealed = bytes(agreed.payload[place * size : (place + 1) * size])
        try:
            key = bytes.fromhex(state.seal_keys[party])
            both = state.own_shares if party == me else unseal(private, key, bound, sealed)
        except (SecaggError, KeyError):
            both = 2 * secure.NO_SHARE  # this dealer's fault, not the round's: others may hold enough good shares
        half = len(both) // 2
        shares.append(both[half:] if party in question.survivors else both[:half])
    return b"".join(shares)


def _in_lanes(node: Node, agreed: Agreed, update: Unmasked) -> lane.Lanes:
    """Whole numbers modulo 2^bits; where noise is not shared, the vector cut to the public clip and rounded."""
    terms, question = agreed.manifest.exchange, agreed.question
    if isinstance(update, NoiseShared):
        return lane.wrap(update.vector, int(terms.up_bits))
    if isinstance(agreed.manifest.privacy, PersonTerms) and agreed.manifest.privacy.noise == "shared":
        assert isinstance(question, TrainRequest)  # noqa: S101 - narrows the type
        assert isinstance(update, Public)  # noqa: S101 - people's updates have their share already
        return lane.wrap(_shared(node, agreed, question, update).vector, int(terms.up_bits))
    parties = len(agreed.manifest.contributors())
    return lane.to_lanes(
        update.vector, terms.clip, parties, int(terms.up_bits), shared_seed(question.nonce), node.source
    )


def _shared(node: Node, agreed: Agreed, question: TrainRequest, update: Public) -> NoiseShared:
    """An update from public rows with a share of the noise: as long as several people, rounded as so many."""
    pieces = max(1, math.ceil(agreed.manifest.training.public_weight))
    rows = torch.from_numpy(update.vector / np.float32(pieces)).expand(pieces, -1)
    return Integers.nothing(agreed.manifest, question, len(update.vector)).plus(rows, node.source).noised(node.source)
