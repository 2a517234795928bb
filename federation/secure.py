"""What the parties of a secure round agree upon: who takes part, how many must be left, what they sign.

Bonawitz et al. 2017, Fig. 4, in the setting of a coordinator that may lie: keys are signed by the parties' identities,
and a list of survivors holds only once so many bore it out that no other can be (docs/adr/0012-secure-rounds.md).
"""

import hashlib
from collections.abc import Collection, Sequence

from federation import quorum
from federation.errors import PacelineError, Refusal, Refused, SignatureError
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.messages import Advertisement, TrainRequest
from federation.signing import Identity, canonical, fingerprint, verify
from privacy.secagg.sealing import OVERHEAD_BYTES
from privacy.secagg.secrets import require_usable
from privacy.secagg.shamir import SHARE_BYTES

MASK_KEY = "paceline/mask-key/1"
SURVIVORS = "paceline/survivors/1"
SEALED_BYTES = 2 * SHARE_BYTES + OVERHEAD_BYTES
"""What one party seals for another: shares of its mask key's seed and of its own mask's."""
NO_SHARE = b"\xff" * SHARE_BYTES
"""Stands for a share that cannot be opened: it lies outside of the field."""


def points(manifest: Manifest) -> dict[PartyId, int]:
    """Where each contributor stands, from 1: at what place of the polynomials, and on which side of a mask."""
    parties = sorted(member.party for member in manifest.contributors())
    return {party: place for place, party in enumerate(parties, start=1)}


def smallest_sum(manifest: Manifest) -> int:
    """The fewest parties whose updates are ever told as a sum."""
    return quorum.smallest_sum(len(manifest.contributors()), manifest.exchange.min_parties)


def advertise(
    identity: Identity, party: PartyId, question: tuple[str, int], mask_key: bytes, seed: bytes
) -> Advertisement:
    """`party`'s mask key for `question`, a task's digest and an attempt; `seed`: of its own mask, to commit to."""
    unsigned = Advertisement(
        party=party,
        public_key=identity.public_key.hex(),
        mask_key=mask_key.hex(),
        commitment=commitment(seed),
        signature="0" * 128,
    )
    signature = identity.sign(MASK_KEY, _words(unsigned, question))
    return unsigned.model_copy(update={"signature": signature.hex()})


def commitment(seed: bytes) -> str:
    """SHA-256 of 32 random bytes: it tells nothing of them."""
    return hashlib.sha256(seed).hexdigest()


def verify_advertisement(found: Advertisement, manifest: Manifest, question: tuple[str, int]) -> None:
    """Raise unless `found` is for `question`, by the key that the task names for its party, and hides something."""
    if fingerprint(bytes.fromhex(found.public_key)) != manifest.member(found.party).fingerprint:
        raise SignatureError(f"the mask key of {found.party} is signed by another key than the task names for it.")
    verify(bytes.fromhex(found.public_key), MASK_KEY, _words(found, question), bytes.fromhex(found.signature))
    require_usable(bytes.fromhex(found.mask_key))


def verify_roster(manifest: Manifest, question: TrainRequest) -> tuple[Advertisement, ...]:
    """The roster of a question, in order: enough contributors, each once, each under its own signature."""
    roster, order = question.roster or (), points(manifest)
    if [found.party for found in roster] != sorted({found.party for found in roster} & order.keys()):
        raise Refused(Refusal.UNSAFE, "the roster names a stranger, names a party twice, or is not in order.")
    for found in roster:
        verify_advertisement(found, manifest, (question.task, question.attempt))
    if len({found.mask_key for found in roster}) != len(roster):
        raise Refused(Refusal.UNSAFE, "two parties of the roster have one mask key; their masks could cancel.")
    require_enough(manifest, [found.party for found in roster])
    return roster


def require_enough(manifest: Manifest, parties: Collection[PartyId]) -> None:
    """Raise `Refused` unless a sum over `parties` may be told."""
    least = smallest_sum(manifest)
    if len(parties) < least or not manifest.enough(parties):
        raise Refused(
            Refusal.UNSAFE,
            f"a sum over {len(parties)} parties would be told; task {manifest.name} allows no less than {least}, "
            f"{manifest.exchange.min_parties} of them with people.",
        )


def context(question: TrainRequest) -> bytes:
    """What the masks of a round are bound to: parties that were asked for anything else have masks that do not cancel.

    So everybody trained the same phase from the same model, and knew of the same roster.
    """
    asked = question.model_dump(mode="json", include={"task", "round", "attempt", "nonce", "model", "phase", "roster"})
    return hashlib.sha256(canonical(asked)).digest()


def sign_survivors(identity: Identity, bound: bytes, survivors: Sequence[PartyId]) -> str:
    """A party's word that no other list of survivors of the round `bound` (its `context`) holds for it."""
    return identity.sign(SURVIVORS, _listed(bound, survivors)).hex()


def agreeing(
    bound: bytes, survivors: Sequence[PartyId], keys: dict[PartyId, str], agreed: dict[PartyId, str]
) -> frozenset[PartyId]:
    """Which of the parties of `keys` signed exactly this list."""
    return frozenset(
        party
        for party, signature in agreed.items()
        if party in keys and _holds(bytes.fromhex(keys[party]), _listed(bound, survivors), bytes.fromhex(signature))
    )


def sealing(question: tuple[str, int], mask_key: str, sender: PartyId, recipient: PartyId) -> bytes:
    """What the shares that one party deals another are bound to: among others the key whose seed they are of."""
    task, attempt = question
    bound = {"task": task, "attempt": attempt, "mask_key": mask_key, "sender": sender, "recipient": recipient}
    return canonical(bound)


def _holds(key: bytes, words: bytes, signature: bytes) -> bool:
    try:
        verify(key, SURVIVORS, words, signature)
    except PacelineError:
        return False
    return True


def _words(found: Advertisement, question: tuple[str, int]) -> bytes:
    task, attempt = question
    return canonical(found.model_dump(mode="json", exclude={"signature"}) | {"task": task, "attempt": attempt})


def _listed(bound: bytes, survivors: Sequence[PartyId]) -> bytes:
    return canonical({"context": bound.hex(), "survivors": list(survivors)})
