"""A party's secrets of one round, with the keys that follow from them (X25519, HKDF-SHA256)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privacy.errors import SecaggError
from privacy.noise import RandomSource
from privacy.secagg.checks import KEY_BYTES, draw, require_bytes, require_context

MASK_KEY_BYTES: Final = 16
_ANY_SEED: Final = b"\x01" * KEY_BYTES
_PAIR: Final = b"paceline/secagg/pair/1"
_SELF: Final = b"paceline/secagg/self/1"


@dataclass(frozen=True, eq=False, repr=False)
class Secrets:
    """What a party shares among all: `mask_seed`, its X25519 key for masks of pairs, and `self_seed`, of its own mask.

    Fresh for every attempt of a round. Of each party the coordinator learns one or the other, never both. Shows
    nothing, and can be neither copied nor pickled.
    """

    mask_seed: bytes
    self_seed: bytes

    def __post_init__(self) -> None:
        require_bytes("mask seed", self.mask_seed, KEY_BYTES)
        require_bytes("self seed", self.self_seed, KEY_BYTES)
        if self.mask_seed == self.self_seed:
            raise SecaggError("found one seed twice; expected two: who learns one must not know the other.")

    @classmethod
    def fresh(cls, source: RandomSource) -> Self:
        """Two seeds that nobody has seen."""
        return cls(draw(source, KEY_BYTES), draw(source, KEY_BYTES))

    def __repr__(self) -> str:
        return "Secrets()"

    def __reduce__(self) -> NoReturn:
        raise SecaggError("the secrets of a round are not copied or pickled; hand the value itself on.")


def public_key(seed: bytes) -> bytes:
    """The X25519 public key of `seed`."""
    return public_of(load(seed))


def pair_key(seed: bytes, peer_public: bytes, context: bytes) -> bytes:
    """The key of the mask that the holder of `seed` and a peer have in common: 16 bytes, the same for both."""
    return pair_keys(seed, [peer_public], context)[0]


def pair_keys(seed: bytes, peer_publics: Sequence[bytes], context: bytes) -> list[bytes]:
    """`pair_key` with each of several peers; twice as fast, because our key is loaded once."""
    require_context(context)
    private = load(seed)
    own = public_of(private)
    return [derive(agree(private, peer), MASK_KEY_BYTES, _PAIR, context, *sorted((own, peer))) for peer in peer_publics]


def self_key(seed: bytes, context: bytes) -> bytes:
    """The key of a party's own mask: 16 bytes."""
    require_bytes("self seed", seed, KEY_BYTES)
    require_context(context)
    return derive(seed, MASK_KEY_BYTES, _SELF, context)


def load(seed: bytes) -> X25519PrivateKey:
    """The X25519 key of `seed`."""
    require_bytes("private key", seed, KEY_BYTES)
    return X25519PrivateKey.from_private_bytes(seed)


def public_of(private: X25519PrivateKey) -> bytes:
    """What the holder of `private` shows to others: 32 bytes."""
    return private.public_key().public_bytes_raw()


def agree(private: X25519PrivateKey, peer_public: bytes) -> bytes:
    """The secret that two X25519 keys have in common (RFC 7748, §6.1): 32 bytes to derive from, never a key itself."""
    require_bytes("public key of a peer", peer_public, KEY_BYTES)
    if peer_public == public_of(private):  # else what we seal for a peer could be handed to us as theirs
        raise SecaggError("the public key of a peer is our own; expected another. Take no part in this round.")
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer_public))
    except ValueError as error:  # a point of low order: everybody would know the secret
        raise SecaggError(
            "the public key of a peer lies in the small subgroup, so that its masks would hide nothing; "
            "expected the key of a fresh X25519 seed. Leave this party out of the round."
        ) from error


def require_usable(public: bytes) -> None:
    """Raise `SecaggError` for a public key of low order, under which neither masks nor seals hide anything."""
    agree(load(_ANY_SEED), public)


def derive(secret: bytes, size_bytes: int, *info: bytes) -> bytes:
    """A key from `secret` (RFC 5869), bound to each part of `info` and its place."""
    bound = b"".join(len(part).to_bytes(4, "little") + part for part in info)
    return HKDF(hashes.SHA256(), size_bytes, None, bound).derive(secret)
