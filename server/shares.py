"""From opened shares to the sum in clear: seeds are joined, masks taken off, whole numbers read as an update."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice

import numpy as np

from federation import quorum, secure
from federation.codecs import lane
from federation.codecs.seeds import shared_seed
from federation.errors import SecaggError
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.messages import TrainRequest
from federation.terms import PersonTerms
from federation.workload import Vector
from privacy.levels import steps_per_clip
from privacy.secagg import shamir
from privacy.secagg.correcting import restore
from privacy.secagg.masking import unmask
from privacy.secagg.secrets import public_key

MOST_TRIALS = 300
"""How many choices of shares are tried where some of them are wrong."""
DEALT_WRONGLY = "dealt wrong shares"
"""On record beside a party that did."""


class DealtWrongly(SecaggError):
    """Enough parties opened shares, but those that `dealer` dealt do not fit together."""

    def __init__(self, dealer: PartyId, message: str) -> None:
        super().__init__(message)
        self.dealer = dealer


@dataclass(frozen=True)
class Shares:
    """What each survivor who answered opened: one share of each party of the roster, in its order."""

    manifest: Manifest
    question: TrainRequest
    survivors: tuple[PartyId, ...]
    opened: Mapping[PartyId, bytes] = field(repr=False)

    def bare(self, lanes: lane.Lanes, size: int) -> Vector:
        """The sum of the survivors' updates, (size,), from the sum of their masked ones; `SecaggError` if it fails."""
        points, seeds = secure.points(self.manifest), self._seeds()
        own = {points[party]: seed for party, seed in seeds.items() if party in self.survivors}
        dropped = {points[party]: seed for party, seed in seeds.items() if party not in self.survivors}
        publics = {points[found.party]: bytes.fromhex(found.mask_key) for found in self.question.roster or ()}
        bits = int(self.manifest.exchange.up_bits)
        return self._read(unmask(lanes, bits, own, dropped, publics, secure.context(self.question)), size)

    def _seeds(self) -> dict[PartyId, bytes]:
        """Of each party of the roster the one seed that was opened. Who opened a wrong share of one counts last for
        the next.
        """
        seeds: dict[PartyId, bytes] = {}
        suspects: frozenset[int] = frozenset()
        for place, found in enumerate(self.question.roster or ()):
            left = found.party in self.survivors
            holds = _commits_to(found.commitment) if left else _has_key(found.mask_key)
            seeds[found.party], wrong = self._restored(place, found.party, holds, suspects)
            suspects |= wrong
        return seeds

    def _restored(
        self, place: int, dealer: PartyId, holds: Callable[[bytes], bool], suspects: frozenset[int]
    ) -> tuple[bytes, frozenset[int]]:
        """The seed of the party at `place` of the roster, which is known by what it published of it; and the points
        of shares that were left out for it.
        """
        points, size = secure.points(self.manifest), shamir.SHARE_BYTES
        shares = {points[party]: data[place * size : (place + 1) * size] for party, data in self.opened.items()}
        shares = {point: share for point, share in shares.items() if share != secure.NO_SHARE}
        needed = quorum.threshold(len(points))
        for some in islice(_choices(sorted(shares), suspects, needed), MOST_TRIALS):
            try:
                seed, wrong = restore({point: shares[point] for point in some}, needed)
            except SecaggError:
                continue
            if holds(seed):
                return seed, wrong | (shares.keys() - set(some))
        says = f"{len(shares)} shares of the secrets of {dealer} came, of which {needed} must fit together"
        if len(self.opened) < needed:
            raise SecaggError(f"{says}; too few parties opened theirs.")
        if len(self.opened) == needed:  # or one party that opens wrong shares could have any dealer left out for good
            raise SecaggError(f"{says}; they do not. With none to spare, who dealt or opened a wrong one is not told.")
        raise DealtWrongly(dealer, f"{says}; they do not. {dealer} dealt wrong shares, or too many opened wrong ones.")

    def _read(self, lanes: lane.Lanes, size: int) -> Vector:
        """Whole numbers modulo 2^bits as a sum of updates."""
        terms, exchange, seed = self.manifest.privacy, self.manifest.exchange, shared_seed(self.question.nonce)
        bits = int(exchange.up_bits)
        if isinstance(terms, PersonTerms) and terms.noise == "shared":
            step = terms.clip / steps_per_clip(terms.levels, len(lanes))
            return lane.gather(lane.unwrap(lanes, bits) * step, size, seed).astype(np.float32)
        return lane.from_lanes(lanes, size, exchange.clip, len(self.manifest.contributors()), bits, seed)


def _choices(points: Sequence[int], suspects: frozenset[int], needed: int) -> Iterator[Sequence[int]]:
    """All shares but the suspects', all of them, and then all but some: as many as leave an even number to spare, of
    which `restore` finds half.
    """
    spare, trusted = len(points) - needed, [point for point in points if point not in suspects]
    if needed <= len(trusted) < len(points):
        yield trusted
    for fewer in range(spare + 1):
        if not fewer or (spare - fewer) % 2 == 0:
            yield from combinations(points, len(points) - fewer)


def _commits_to(commitment: str) -> Callable[[bytes], bool]:
    return lambda seed: secure.commitment(seed) == commitment


def _has_key(mask_key: str) -> Callable[[bytes], bool]:
    return lambda seed: public_key(seed).hex() == mask_key
