"""What is fuzzed of secure rounds: keys, sealed shares and opened ones, as liars on either side would send them."""

import json
from dataclasses import dataclass
from functools import cache, partial
from random import Random

import numpy as np
from pydantic import ValidationError

from federation import quorum, secure, wire
from federation.codecs import lane
from federation.errors import WireError
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.messages import Advertisement, TrainRequest
from privacy.secagg import shamir
from privacy.secagg.masking import mask
from privacy.secagg.sealing import seal, unseal
from privacy.secagg.secrets import Secrets, public_key
from server.shares import Shares
from simulations import secure_specimens
from simulations.fuzz.mutations import mutate_bytes, mutate_json
from simulations.fuzz.target import Target
from simulations.seeded import SeededSource
from simulations.specimens import identity, shared_manifest

SIZE = 20
"""Numbers in an update."""
SENDER, READER = b"s" * 32, b"r" * 32


def secure_targets() -> tuple[Target, ...]:
    """Targets of secure rounds, in a fixed order."""
    return _roster(), _sealed_share(), _opened_shares()


def _roster() -> Target:
    roster = secure_specimens.train_request().roster or ()
    seed = json.dumps([json.loads(found.model_dump_json()) for found in roster]).encode()

    def mutate(data: bytes, draw: Random) -> bytes:
        return mutate_json(data, draw) if draw.random() < 0.9 else mutate_bytes(data, draw, (seed,))

    return Target("roster of a secure round", (seed,), mutate, _read_roster, True)


def _read_roster(data: bytes) -> bytes:
    question = secure_specimens.train_request()
    if len(data) > wire.MAX_HEADER_BYTES:
        raise WireError("longer than the header that a roster comes in")
    try:
        found = [Advertisement.model_validate(one, strict=False) for one in json.loads(data)]
        asked = TrainRequest.model_validate(dict(question) | {"roster": tuple(found)})
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise WireError("not a roster") from error
    roster = secure.verify_roster(secure_specimens.manifest(), asked)
    return b"\n".join(one.model_dump_json().encode() for one in roster)


def _sealed_share() -> Target:
    seed = seal(SENDER, public_key(READER), b"from one to the other", bytes(range(2 * shamir.SHARE_BYTES)))

    def read(data: bytes) -> bytes:
        return unseal(READER, public_key(SENDER), b"from one to the other", data)

    return Target("sealed share", (seed,), partial(_bytes, (seed,)), read, True)


def _opened_shares() -> Target:
    """Whatever parties open: the sum in clear is the true one, or there is none."""
    stage = _stage()
    seed = b"".join(stage.opened(party) for party in stage.parties)
    return Target("opened shares", (seed,), partial(_bytes, (seed,)), stage.bare, True)


@dataclass(frozen=True)
class _Stage:
    """A round of four parties that is masked; shares open with three."""

    manifest: Manifest
    question: TrainRequest
    secrets: dict[PartyId, Secrets]
    total: lane.Lanes

    @property
    def parties(self) -> tuple[PartyId, ...]:
        return tuple(self.secrets)

    def opened(self, party: PartyId) -> bytes:
        """This party's shares of everybody's own mask."""
        points, source = secure.points(self.manifest), SeededSource(7)
        needed, places = quorum.threshold(len(points)), list(points.values())
        dealt = [shamir.split(one.self_seed, needed, places, source) for one in self.secrets.values()]
        return b"".join(shares[points[party]] for shares in dealt)

    def bare(self, data: bytes) -> bytes:
        """The sum, from the shares of one party after the other."""
        size = shamir.SHARE_BYTES * len(self.parties)
        opened = {party: data[place * size : (place + 1) * size] for place, party in enumerate(self.parties)}
        there = {party: shares for party, shares in opened.items() if shares}
        return Shares(self.manifest, self.question, self.parties, there).bare(self.total.copy(), SIZE).tobytes()


@cache
def _stage() -> _Stage:
    manifest, source = shared_manifest(parties=4, colluding=0), SeededSource(5)
    secrets = {party: Secrets.fresh(source) for party in secure.points(manifest)}
    asked = secure_specimens.train_request().model_dump() | {"task": manifest.digest()}
    at = (asked["task"], asked["attempt"])
    keys = {party: public_key(one.mask_seed) for party, one in secrets.items()}
    roster = tuple(
        secure.advertise(identity(party), party, at, keys[party], one.self_seed) for party, one in secrets.items()
    )
    question = TrainRequest.model_validate(asked | {"roster": roster})
    points, bits = secure.points(manifest), int(manifest.exchange.up_bits)
    publics, context = {points[party]: key for party, key in keys.items()}, secure.context(question)
    total = np.zeros(lane.coordinates(SIZE), np.uint16)
    for party, own in secrets.items():
        lanes = np.arange(len(total), dtype=np.uint16)
        total += mask(lanes, bits, own, points[party], publics, context).lanes
    return _Stage(manifest, question, secrets, total)


def _bytes(seeds: tuple[bytes, ...], data: bytes, draw: Random) -> bytes:
    return mutate_bytes(data, draw, seeds)
