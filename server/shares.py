"""From opened shares to the sum in clear: seeds are joined, masks taken off, whole numbers read as an update."""

from collections.abc import Callable, Iterator, Mapping
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
from privacy.secagg.masking import unmask
from privacy.secagg.secrets import public_key

MOST_TRIALS = 300
"""How many choices of shares are tried where some of them are wrong."""


@dataclass(frozen=True)
class Shares:
    """What each survivor who answered opened: one share of each party of the roster, in its order."""

    manifest: Manifest
    question: TrainRequest
    survivors: tuple[PartyId, ...]
    opened: Mapping[PartyId, bytes] = field(repr=False)

    def bare(self, lanes: lane.Lanes, size: int) -> Vector:
        """The sum of the survivors' updates, (size,), from the sum of their masked ones; `SecaggError` if it fails."""
        roster, points = self.question.roster or (), secure.points(self.manifest)
        own, dropped = {}, {}
        for place, found in enumerate(roster):
            if found.party in self.survivors:
                own[points[found.party]] = self._joined(place, _commits_to(found.commitment))
            else:
                dropped[points[found.party]] = self._joined(place, _has_key(found.mask_key))
        publics = {points[found.party]: bytes.fromhex(found.mask_key) for found in roster}
        bits = int(self.manifest.exchange.up_bits)
        return self._read(unmask(lanes, bits, own, dropped, publics, secure.context(self.question)), size)

    def _joined(self, place: int, holds: Callable[[bytes], bool]) -> bytes:
        """The seed of the party at `place` of the roster, which is known by what it published of it."""
        points, size = secure.points(self.manifest), shamir.SHARE_BYTES
        shares = {points[party]: data[place * size : (place + 1) * size] for party, data in self.opened.items()}
        shares = {point: share for point, share in shares.items() if share != secure.NO_SHARE}
        needed = quorum.threshold(len(points))
        for some in _choices(sorted(shares), needed):
            try:
                seed = shamir.join({point: shares[point] for point in some}, needed)
            except SecaggError:
                continue
            if holds(seed):
                return seed
        party = (self.question.roster or ())[place].party
        raise SecaggError(
            f"{len(shares)} shares of the secrets of {party} came, of which {needed} must fit together; "
            f"they do not. {party} dealt wrong shares, or too few parties opened right ones."
        )

    def _read(self, lanes: lane.Lanes, size: int) -> Vector:
        """Whole numbers modulo 2^bits as a sum of updates."""
        terms, exchange, seed = self.manifest.privacy, self.manifest.exchange, shared_seed(self.question.nonce)
        bits = int(exchange.up_bits)
        if isinstance(terms, PersonTerms) and terms.noise == "shared":
            step = terms.clip / steps_per_clip(terms.levels, len(lanes))
            return lane.gather(lane.unwrap(lanes, bits) * step, size, seed).astype(np.float32)
        return lane.from_lanes(lanes, size, exchange.clip, len(self.manifest.contributors()), bits, seed)


def _choices(points: list[int], needed: int) -> Iterator[tuple[int, ...]]:
    """All shares, all but one, and then just enough of them: one wrong share is left out at once."""
    if len(points) < needed:
        return
    yield tuple(points)
    if len(points) > needed + 1:
        yield from combinations(points, len(points) - 1)
    if len(points) > needed:
        yield from islice(combinations(points, needed), MOST_TRIALS)


def _commits_to(commitment: str) -> Callable[[bytes], bool]:
    return lambda seed: secure.commitment(seed) == commitment


def _has_key(mask_key: str) -> Callable[[bytes], bool]:
    return lambda seed: public_key(seed).hex() == mask_key
