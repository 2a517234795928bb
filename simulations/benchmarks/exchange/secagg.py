"""Secure aggregation: time of a party and of the coordinator, bytes, beside the functions of Flower's SecAgg+.

Every sum is compared with that of the vectors in clear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from privacy.noise import os_source
from privacy.secagg import sealing, shamir
from privacy.secagg.checks import KEY_BYTES, Lanes
from privacy.secagg.masking import mask, unmask
from privacy.secagg.secrets import Secrets, public_key
from simulations.benchmarks.exchange.jobs import Found, Job
from simulations.benchmarks.exchange.secagg_flower import BITS, Flower, seconds
from simulations.benchmarks.record import table

SIZES = ((16, 84_000), (10, 1_000_000), (50, 1_000_000), (100, 1_000_000), (10, 10_000_000))
WIDTHS = (16, 20)
TABLES = ("party", "coordinator", "bytes")
PARTY_TARGET_MS, COORDINATOR_TARGET_MS, EXPANSION_TARGET = {50: 50}, {50: 80}, 1.02
CONTEXT = b"benchmark"
SOURCE = os_source()
Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Round:
    """Everybody's secrets, and shares of both seeds of each: (owner, self or mask) -> sender -> share."""

    secrets: Mapping[int, Secrets]
    publics: Mapping[int, bytes]
    shares: Mapping[tuple[int, int], Mapping[int, bytes]]
    threshold: int


def jobs() -> dict[str, Job]:
    """Each system with each number of parties and values, by name."""
    made: dict[str, Job] = {}
    for parties, values in SIZES:
        of = f"{parties} parties, {values:,} values"
        made |= {f"{of}, ours, {bits} bits": partial(ours, parties, values, bits) for bits in WIDTHS}
        made[f"{of}, Flower"] = partial(flowers, parties, values)
    return made


def threshold_of(parties: int) -> int:
    """How many shares give a secret back.

    >>> [threshold_of(parties) for parties in (10, 50, 100)]
    [7, 34, 67]
    """
    return 2 * parties // 3 + 1


def losses(parties: int) -> list[int]:
    """How many drop: nobody, one, and as many as may."""
    return sorted({0, 1, parties - threshold_of(parties)})


def ours(parties: int, values: int, bits: int) -> dict[str, list[dict[str, Any]]]:
    """Times and bytes of our own functions; a sum that is not exact is an error."""
    of = {"parties": parties, "values": values, "system": f"ours, {bits} bits"}
    held = _round(parties)
    clear = _vectors(values, bits)
    mine: list[float] = []
    coordinator = []
    for dropped in losses(parties):
        alive = range(1, parties - dropped + 1)
        total, spent = _masked_sum(held, clear, alive, bits)
        mine += spent
        coordinator.append(of | _coordinator(held, total, alive, bits))
        if (total != _sum_in_clear(clear, alive, bits)).any():
            raise AssertionError(f"the sum of {len(alive)} of {parties} parties is wrong")
    there = seconds(lambda: _share(held), 3)
    back = seconds(lambda: _open(held), 3)
    party = of | _party(there, back, None, float(np.median(mine)), PARTY_TARGET_MS.get(parties))
    lane_bytes = -(-values * bits // 8)
    sent = lane_bytes + len(_share(held)[0]) * (parties - 1) + 2 * KEY_BYTES + parties * shamir.SHARE_BYTES
    return {"party": [party], "coordinator": coordinator, "bytes": [of | _bytes(lane_bytes, sent, EXPANSION_TARGET)]}


def flowers(parties: int, values: int) -> dict[str, list[dict[str, Any]]]:
    """The same of Flower's functions; those that take most of a minute are run once."""
    of = {"parties": parties, "values": values, "system": "Flower SecAgg+"}
    flower = Flower(parties, values, threshold_of(parties))
    there, back = seconds(flower.share, 1), seconds(flower.open, 3)
    party = of | _party(there, back, seconds(flower.quantise, 3), seconds(flower.mask, 3), None)
    join = seconds(flower.join, 1)
    coordinator = []
    for dropped in losses(parties):
        masks = parties - dropped + dropped * (parties - 1)
        spent = seconds(lambda dropped=dropped: flower.unmask(dropped), 1)  # type: ignore[misc]
        coordinator.append(of | _unmasking(dropped, masks, join, spent, None))
    sent = of | _bytes(-(-values * BITS // 8), flower.sent_bytes(), None)
    return {"party": [party], "coordinator": coordinator, "bytes": [sent]}


def _round(parties: int) -> Round:
    everybody = range(1, parties + 1)
    secrets = {point: Secrets.fresh(SOURCE) for point in everybody}
    threshold = threshold_of(parties)
    shares = {
        (point, kind): shamir.split(seed, threshold, everybody, SOURCE)
        for point, own in secrets.items()
        for kind, seed in enumerate((own.self_seed, own.mask_seed))
    }
    return Round(secrets, {point: public_key(own.mask_seed) for point, own in secrets.items()}, shares, threshold)


def _share(held: Round) -> list[bytes]:
    """Fresh secrets, their shares, and a sealed message to each peer."""
    own, key = Secrets.fresh(SOURCE), SOURCE.read(KEY_BYTES)
    seeds, keys = (
        shamir.split(seed, held.threshold, list(held.publics), SOURCE) for seed in (own.self_seed, own.mask_seed)
    )
    return [
        sealing.seal(key, public, CONTEXT, seeds[point] + keys[point])
        for point, public in held.publics.items()
        if point != 1
    ]


def _open(held: Round) -> None:
    """What the peers sealed for this party."""
    key, theirs = SOURCE.read(KEY_BYTES), SOURCE.read(KEY_BYTES)
    data = sealing.seal(theirs, public_key(key), CONTEXT, bytes(2 * shamir.SHARE_BYTES))
    sender = public_key(theirs)
    for _ in range(len(held.publics) - 1):
        sealing.unseal(key, sender, CONTEXT, data)


def _vectors(values: int, bits: int) -> Lanes:
    drawn = np.random.default_rng(1).integers(0, 2**bits, (2, values))
    return drawn.astype(np.uint16) if bits <= 16 else drawn.astype(np.uint32)


def _masked_sum(held: Round, clear: Lanes, alive: Sequence[int], bits: int) -> tuple[Lanes, list[float]]:
    """What the coordinator holds, and the seconds of each party's mask; odd points send one vector, even the other."""
    total, spent = np.zeros_like(clear[0]), []
    for point in alive:
        lanes = clear[point % 2].copy()
        own = held.secrets[point]
        spent.append(seconds(lambda: mask(lanes, bits, own, point, held.publics, CONTEXT), 1))  # noqa: B023
        total += lanes
    return total, spent


def _sum_in_clear(clear: Lanes, alive: Sequence[int], bits: int) -> Lanes:
    odd = (len(alive) + 1) // 2
    total: Lanes = (clear[1] * clear.dtype.type(odd) + clear[0] * clear.dtype.type(len(alive) - odd)) & (2**bits - 1)
    return total


def _coordinator(held: Round, total: Lanes, alive: Sequence[int], bits: int) -> dict[str, Any]:
    """Restore a secret of each party from the shares of all who are alive, and take the masks off."""
    gone = [point for point in held.secrets if point not in alive]

    def join(points: Sequence[int], kind: int) -> dict[int, bytes]:
        return {
            point: shamir.join({sender: held.shares[point, kind][sender] for sender in alive}, held.threshold)
            for point in points
        }

    joined = seconds(lambda: (join(alive, 0), join(gone, 1)), 3)
    seeds, lost = join(alive, 0), join(gone, 1)
    copies = [total.copy(), total.copy(), total]
    spent = seconds(lambda: unmask(copies.pop(), bits, seeds, lost, held.publics, CONTEXT), 3)
    masks = len(alive) * (1 + len(gone))
    return _unmasking(len(gone), masks, joined, spent, None if gone else COORDINATOR_TARGET_MS.get(len(alive)))


def _party(there: float, back: float, quantised: float | None, masked: float, target_ms: int | None) -> dict[str, Any]:
    return {
        "make and seal shares, ms": _ms(there),
        "open shares, ms": _ms(back),
        "quantise, ms": None if quantised is None else _ms(quantised),
        "mask, ms": _ms(masked),
        "target": target_ms,
    }


def _unmasking(dropped: int, masks: int, joined: float, spent: float, target_ms: int | None) -> dict[str, Any]:
    return {
        "dropped": dropped,
        "masks": masks,
        "join shares, ms": _ms(joined),
        "unmask, ms": _ms(spent),
        "both, ms": _ms(joined + spent),
        "target": target_ms,
    }


def _bytes(lane_bytes: int, sent: int, target: float | None) -> dict[str, Any]:
    return {"bytes of lanes": lane_bytes, "bytes sent": sent, "ratio": round(sent / lane_bytes, 4), "target": target}


def _ms(spent: float) -> float:
    return round(spent * 1e3, 1)


def tables(found: Found) -> dict[str, list[dict[str, Any]]]:
    """The lines of all jobs, by table."""
    return {name: [line for one in found.values() for line in one[name]] for name in TABLES}


def page(head: str, found: Found) -> str:
    """The Markdown document."""
    measured = tables(found)
    return f"""# Secure aggregation

{head}

One thread; seconds of the processor, medians. Flower is version 1.41, its functions called in the same process and in
the order of its modifier and workflow; messages and serialisation are left out on both sides:
`create_shares`, `combine_shares`, `encrypt`, `decrypt`, `generate_shared_key`, `quantize`, `dequantize`,
`pseudo_rand_gen`, `parameters_addition`, `parameters_subtraction`, `parameters_mod`. Its masks come from a generator
with a seed of 32 bits, ours from AES-128 in counter mode.

## A party

The target is that of the mask. Rounding to lanes is the codec's part and not counted here; Flower's has a column.

{table(measured["party"])}

## The coordinator

Masked vectors are added up as they arrive, which is not counted. All sums were compared with those in clear: exact.
The target is for a round in which all answer. Each party that drops costs one mask and one key agreement for every
survivor (Flower: for every other party), so that the time grows with the product of both: "masks" is how many are
taken off. Our secrets are joined from the shares of all survivors, which are checked against one another; Flower's
from as many as are needed, though its workflow passes all that came, which takes longer.

{table(measured["coordinator"])}

## Bytes that a party sends

The lanes, two public keys, a sealed message to each peer and a share of each party; headers and signatures of
messages come on top.

{table(measured["bytes"])}
"""
