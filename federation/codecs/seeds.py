"""Public randomness of codecs: drawn from the nonce of a signed question, hence fixed before anybody trains."""

import hashlib

from federation.ids import PartyId


def shared_seed(nonce: str) -> int:
    """Of what is the same for all parties, or is summed before it is decoded: models and lanes."""
    return int(nonce[:16], 16)


def own_seed(nonce: str, party: PartyId) -> int:
    """Of one party's update. Errors fade in the mean only if each is drawn anew: updates that are alike, rounded by the
    same randomness, err alike (docs/benchmarks/exchange_trials.md).
    """
    return int.from_bytes(hashlib.sha256(f"{nonce} {party}".encode()).digest()[:8], "big")
