"""What hostile parties cannot pass: an update's longest length, and rules that withstand some arbitrary updates.

A rule compares updates per unit, that is divided by the people (or the public weight) that the contract says a party
stands for, and each party has one voice: numbers that a party can choose buy it none. The result is multiplied with
the units of those who answered, so that the divisor of `server.aggregation.advance` stays the public one. All of this
reads updates that had their noise at the nodes, hence costs no privacy (Dwork & Roth 2014, Prop. 2.1).
"""

import math
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import psutil

from federation import codecs
from federation.codecs import lane
from federation.errors import RoundFailed
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.secure import smallest_sum
from federation.terms import PersonTerms
from federation.workload import Phase, Vector
from server.optimisers import BLOCK

Vector64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
"""One update per row, (parties, parameters)."""

SURPRISE = math.log(1e9)
"""An honest update passes its longest length twice in a billion times: −ln of the odds of each of two bounds."""

ROUNDING = 1.01
"""Lengths are measured in float32, and codecs round."""

PROBE = 2**16


def longest(manifest: Manifest, phase: Phase, party: PartyId, size: int) -> float:
    """The L2 norm to which an update of `party` with `size` values is cut; ∞ where the contract names none.

    From public constants alone. Under privacy terms it is what the party's declared people and its noise can reach,
    whichever way people's updates point: the node's clip, enforced as far as bytes tell. Else it is `norm_limit`.

    Cut, not refused (Sun et al. 2019, §3.2 "norm thresholding"): whoever knows the limit stays below it anyway, so that
    refusing stops no more; an honest party with more people than it declared would lose all of them.
    """
    terms, training = manifest.privacy, manifest.training
    if not phase.reads_people:
        return math.inf
    if not isinstance(terms, PersonTerms):
        return training.norm_limit or math.inf
    member = manifest.member(party)
    reach = _reach(member.people, terms, size, terms.noise_multiplier) if member.people else training.public_weight
    return reach * terms.clip * _inflation(manifest.exchange.up, manifest.exchange.up_bits, min(size, PROBE)) * ROUNDING


def longest_sum(manifest: Manifest, parties: Collection[PartyId], size: int) -> float:
    """The L2 norm to which a sum of `size` values, of updates that nobody saw, is cut: all that honest ones can reach.

    Of `parties` under a public clip it is as many clips, and what their rounding adds; with shared noise all their
    declared people, and the noise of as many shares.
    """
    terms, exchange = manifest.privacy, manifest.exchange
    if exchange.clip:
        step = lane.step(size, exchange.clip, len(manifest.contributors()), int(exchange.up_bits))
        rounding = len(parties) * lane.coordinates(size) * (step / 2) ** 2
        return math.sqrt((len(parties) * exchange.clip) ** 2 + rounding) * ROUNDING
    assert isinstance(terms, PersonTerms)  # noqa: S101 - narrows the type; the contract has a clip without noise shared
    honest = smallest_sum(manifest) - terms.colluding
    noise = terms.noise_multiplier * math.sqrt(len(parties) / honest)
    people = sum(manifest.member(party).people for party in parties)
    public = sum(not manifest.member(party).people for party in parties) * manifest.training.public_weight
    return (_reach(people, terms, size, noise) + public) * terms.clip * ROUNDING


def cut(vector: Vector, longest: float) -> float:
    """The part of `vector` that is left where it may be no longer than `longest`: 1 if all of it."""
    found = length(vector) if longest < math.inf else 0.0
    return longest / found if found > longest else 1.0


def _reach(people: int, terms: PersonTerms, size: int, noise: float) -> float:
    """The longest honest update in units of the clip: everybody drawn, at the clip, in one direction; and the noise.

    How many are drawn: Bernstein's inequality for Poisson sampling. How long sum and noise are together: the tail of
    a noncentral χ² (Birgé 2001, Lemma 8.1).
    """
    units = people * (terms.rows_per_person if terms.unit == "record" else 1)
    expected = terms.sampling_rate * units
    spread = 2 * expected * (1 - terms.sampling_rate) * SURPRISE
    drawn = min(units, expected + SURPRISE / 3 + math.sqrt((SURPRISE / 3) ** 2 + spread))
    centre = drawn**2 + noise**2 * size
    tail = 2 * noise * math.sqrt((noise**2 * size + 2 * drawn**2) * SURPRISE) + 2 * noise**2 * SURPRISE
    return math.sqrt(centre + tail)


@lru_cache(maxsize=64)
def _inflation(name: str, bits: float, size: int) -> float:
    """How much longer codec `name` makes an update, measured: an unbiased code of error v decodes to √(1 + v) times the
    length, and rotations make all updates alike to it.
    """
    codec = codecs.find(name, bits)
    vector = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    return max(1.0, length(codec.decode(codec.encode(vector, 0), size, 0)) / length(vector))


def length(vector: Vector) -> float:
    """The L2 norm: block after block in float32, or in float64 where that overflows or vanishes."""
    with np.errstate(over="ignore"):
        squares = sum(float(part @ part) for part in _blocks(vector))
    if 1e-20 < squares < math.inf:
        return math.sqrt(squares)
    return math.sqrt(sum(float(np.square(part, dtype=np.float64).sum()) for part in _blocks(vector)))


def add(total: Vector64, vector: Vector, weight: float) -> None:
    """``total += weight * vector`` in place, in float64; what is in between never leaves the cache."""
    wide = np.empty(min(BLOCK, len(total)))
    for start in range(0, len(total), BLOCK):
        into = total[start : start + BLOCK]
        part = wide[: len(into)]
        part[...] = vector[start : start + BLOCK]
        if weight != 1.0:
            part *= weight
        into += part


def _blocks(vector: Vector) -> list[Vector]:
    return [vector[start : start + BLOCK] for start in range(0, len(vector), BLOCK)]


def room(parties: int, size: int) -> Rows:
    """Space for one update of each party, or `RoundFailed`: a rule needs them side by side, a mean does not."""
    needed, free = 4 * parties * size, psutil.virtual_memory().available
    if needed > free:
        raise RoundFailed(
            f"the task's rule compares {parties} updates of {size} values, {needed / 2**30:.1f} GiB; "
            f"{free / 2**30:.1f} GiB are free here. Give the coordinator more memory, then `paceline task resume`.",
            {},
        )
    return np.empty((parties, size), np.float32)


def median(rows: Rows, _hostile: int) -> Vector64:
    """The median of each coordinate (Yin et al. 2018, Definition 1); the mean of the middle two of an even number."""
    low, high = (len(rows) - 1) // 2, len(rows) // 2
    return _sorted(rows, lambda part: 0.5 * (part[low].astype(np.float64) + part[high]))


def trimmed_mean(rows: Rows, hostile: int) -> Vector64:
    """The mean of each coordinate without its `hostile` largest and smallest values (Yin et al. 2018, Definition 2)."""
    kept = slice(hostile, len(rows) - hostile)
    return _sorted(rows, lambda part: part[kept].mean(axis=0, dtype=np.float64))


def multi_krum(rows: Rows, hostile: int) -> Vector64:
    """The mean of the n − f − 2 updates that lie closest to n − f − 2 others (Blanchard et al. 2017, §4).

    As many as are proven safe (El-Mhamdi et al. 2020, "Fast and robust distributed learning in high dimension").
    """
    close = len(rows) - hostile - 2
    distances = _squared_distances(rows)
    np.fill_diagonal(distances, np.inf)
    scores = np.sort(distances, axis=1)[:, :close].sum(axis=1)
    total = np.zeros(rows.shape[1])
    for chosen in np.argsort(scores, kind="stable")[:close]:
        add(total, rows[chosen], 1 / close)
    return total


RULES: Mapping[str, Callable[[Rows, int], Vector64]] = {
    "median": median,
    "trimmed-mean": trimmed_mean,
    "multi-krum": multi_krum,
}


def _sorted(rows: Rows, rule: Callable[[Rows], Vector64]) -> Vector64:
    """`rule` of the sorted values of each coordinate, block after block."""
    result = np.empty(rows.shape[1])
    for start in range(0, rows.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        result[part] = rule(np.sort(rows[:, part], axis=0))
    return result


def _squared_distances(rows: Rows) -> Vector64:
    """‖x − y‖² of every two rows, (parties, parties), by their products in float64."""
    products = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], BLOCK):
        part = rows[:, start : start + BLOCK].astype(np.float64)
        products += part @ part.T
    squares = np.diag(products)
    return np.maximum(0.0, squares[:, None] + squares[None, :] - 2 * products)
