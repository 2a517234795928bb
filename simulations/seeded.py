"""A reproducible source of randomness; it lives here because a run that uses it may claim no privacy."""

import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

STAMP = "simulation: no privacy claim"


class SeededSource:
    """AES-128-CTR under a key made from `seed`: equal seeds give equal streams."""

    def __init__(self, seed: int) -> None:
        self._stream = Cipher(algorithms.AES(seed.to_bytes(16, "big")), modes.CTR(bytes(16))).encryptor()

    @classmethod
    def of(cls, seed: int, *names: str) -> "SeededSource":
        """The stream of `seed` for what `names` name, whatever was drawn for others before."""
        named = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
        return cls(int.from_bytes(named[:16], "big"))

    def read(self, size_bytes: int) -> bytes:
        """The next bytes of the stream."""
        return self._stream.update(bytes(size_bytes))
