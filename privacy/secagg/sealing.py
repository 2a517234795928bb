"""One message from one party to another, through a coordinator that can neither read nor change it.

X25519 → HKDF-SHA256 over the context and both public keys, the sender's first → AES-256-GCM-SIV (RFC 8452) under a
fixed nonce: each key is for one message. Should a caller seal two under one key after all, this mode tells only
whether they are equal; plain GCM would give the key of its tags away.

The private key is one of its own. Never the mask seed: that is given away when its owner drops, and with it would go
the shares that were sealed to them.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from privacy.errors import SecaggError
from privacy.secagg.checks import require_context
from privacy.secagg.secrets import agree, derive, load, public_of

OVERHEAD_BYTES: Final = 16
_SEAL: Final = b"paceline/secagg/seal/1"
_SEAL_KEY_BYTES: Final = 32
_NONCE: Final = bytes(12)


def seal(private: bytes, peer_public: bytes, context: bytes, plaintext: bytes) -> bytes:
    """`plaintext`, `OVERHEAD_BYTES` longer, for the holder of `peer_public`; one message per context and direction."""
    require_context(context)
    if not isinstance(plaintext, bytes) or not plaintext:
        raise SecaggError("found nothing to seal; expected at least one byte.")
    key = load(private)
    return _cipher(key, peer_public, context, (public_of(key), peer_public)).encrypt(_NONCE, plaintext, None)


def unseal(private: bytes, peer_public: bytes, context: bytes, data: bytes) -> bytes:
    """What the holder of `peer_public` sealed for us in this context."""
    require_context(context)
    if not isinstance(data, bytes) or len(data) <= OVERHEAD_BYTES:
        raise SecaggError(f"found no sealed message; expected more than {OVERHEAD_BYTES} bytes. Leave its sender out.")
    key = load(private)
    try:
        return _cipher(key, peer_public, context, (peer_public, public_of(key))).decrypt(_NONCE, data, None)
    except InvalidTag as error:
        raise SecaggError(
            f"these {len(data)} bytes were not sealed for us by this peer in this round; they were changed, or mixed "
            "up on the way. Leave the sender out of the round."
        ) from error


def _cipher(private: X25519PrivateKey, peer_public: bytes, context: bytes, direction: tuple[bytes, bytes]) -> AESGCMSIV:
    return AESGCMSIV(derive(agree(private, peer_public), _SEAL_KEY_BYTES, _SEAL, context, *direction))
