"""One valid specimen of each message of a secure round, the same bytes each time: for tests, vectors, the fuzzer."""

import hashlib
from datetime import timedelta
from functools import cache

from federation import secure
from federation.acceptance import ACCEPTANCE, Acceptance, accept
from federation.ids import LedgerHead, PartyId, TaskDigest
from federation.manifest import Manifest
from federation.messages import (
    Advertisement,
    AgreedAnswer,
    AgreeRequest,
    Answer,
    EvaluateRequest,
    PreparedAnswer,
    PrepareRequest,
    Request,
    TrainRequest,
    UnmaskedAnswer,
    UnmaskRequest,
)
from federation.signing import canonical
from privacy.secagg.secrets import public_key
from privacy.secagg.shamir import SHARE_BYTES
from simulations.specimens import NOW, identity, shared_manifest

ATTEMPT = 4
PARTIES = tuple(PartyId(f"runners-{number}") for number in (1, 2, 3))
ASKED = PARTIES[0]
"""Whose answers they are."""
LEFT = PARTIES[:2]
"""Who is left where somebody dropped out: too few for a sum, but enough to spell a message."""


@cache
def manifest() -> Manifest:
    """A task of three parties."""
    return shared_manifest(parties=3, colluding=0)


def advertisement(party: PartyId, attempt: int = ATTEMPT) -> Advertisement:
    """A mask key whose seed everybody can compute."""
    seeds = [hashlib.sha256(f"specimen {what} of {party}, {attempt}".encode()).digest() for what in ("key", "mask")]
    question = (manifest().digest(), attempt)
    return secure.advertise(identity(party), party, question, public_key(seeds[0]), seeds[1])


def acceptance(party: PartyId) -> Acceptance:
    """The yes of a party, under a nonce that is always the same."""
    key, digest = identity(party), manifest().digest()
    unsigned = accept(key, party, digest, NOW).model_copy(update={"nonce": "07" * 16})
    body = canonical(unsigned.model_dump(mode="json", exclude={"signature"}))
    return unsigned.model_copy(update={"signature": key.sign(ACCEPTANCE, body).hex()})


def train_request() -> TrainRequest:
    """The question whose masks all others are about."""
    asked = _question(1) | {"attempt": ATTEMPT, "phase": "classify"}
    return TrainRequest.model_validate(asked | {"roster": tuple(advertisement(party) for party in PARTIES)})


def requests(payload: bytes) -> dict[str, tuple[Request, bytes]]:
    """Requests by name, with `payload` where there is a model: of secure rounds, and those that differences fit."""
    of_attempt = {"of_attempt": ATTEMPT}
    agreed = {party: _agreement(party) for party in LEFT}
    bases = tuple(hashlib.sha256(bytes([number])).hexdigest() for number in (1, 2))
    return {
        "train-masked": (train_request(), payload),
        "train-differences": (
            TrainRequest.model_validate(_question(2) | {"phase": "classify", "carries": "differences", "bases": bases}),
            payload,
        ),
        "evaluate-nothing": (EvaluateRequest.model_validate(_question(3) | {"carries": "nothing"}), b""),
        "prepare": (
            PrepareRequest.model_validate(
                _question(4) | of_attempt | {"acceptances": tuple(acceptance(party) for party in PARTIES)}
            ),
            b"",
        ),
        "agree": (AgreeRequest.model_validate(_question(5) | of_attempt | {"survivors": LEFT}), b""),
        "unmask": (
            UnmaskRequest.model_validate(_question(6) | of_attempt | {"survivors": LEFT, "agreed": agreed}),
            _bytes("sealed", 3 * secure.SEALED_BYTES),
        ),
        "unmask-all": (
            UnmaskRequest.model_validate(_question(7) | of_attempt | {"survivors": PARTIES, "agreed": {}}),
            _bytes("sealed", 3 * secure.SEALED_BYTES),
        ),
    }


def answers() -> dict[str, tuple[Answer, bytes]]:
    """Answers by name, all by one party."""
    opened, sealed = _bytes("opened", 3 * SHARE_BYTES), _bytes("dealt", 3 * secure.SEALED_BYTES)
    following = advertisement(ASKED, ATTEMPT + 1)
    return {
        "prepared": (PreparedAnswer.model_validate(_answer(4) | {"advertisement": advertisement(ASKED)}), sealed),
        "agreed": (AgreedAnswer.model_validate(_answer(5) | {"agreement": _agreement(ASKED)}), b""),
        "unmasked": (UnmaskedAnswer.model_validate(_answer(6) | {"advertisement": following}), opened + sealed),
        "unmasked-last": (UnmaskedAnswer.model_validate(_answer(7)), opened),
    }


def _agreement(party: PartyId) -> str:
    return secure.sign_survivors(identity(party), secure.context(train_request()), LEFT)


def _question(number: int) -> dict[str, object]:
    return {
        "task": manifest().digest(),
        "round": 3,
        "attempt": number,
        "nonce": f"{number:032x}",
        "issued_at": NOW,
        "expires_at": NOW + timedelta(seconds=120),
        "model": hashlib.sha256(b"model").hexdigest(),
        "ledger_heads": {party: LedgerHead(hashlib.sha256(party.encode()).hexdigest()) for party in PARTIES},
    }


def _answer(number: int) -> dict[str, object]:
    return {
        "task": TaskDigest(manifest().digest()),
        "round": 3,
        "attempt": number,
        "nonce": f"{number:032x}",
        "party": ASKED,
        "ledger_head": LedgerHead("cd" * 32),
    }


def _bytes(name: str, size: int) -> bytes:
    """What only its receiver can read; here it says nothing."""
    return hashlib.shake_256(f"specimen {name}".encode()).digest(size)
