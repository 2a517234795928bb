"""Gaussian noise that nobody can reproduce, with the one function that makes a `Private` value.

A source of random bytes is an argument. The one that a node can construct, `os_source`, takes no seed; simulations own
a seeded one. Public randomness (rotations, subsets) does not come from here.
"""

import math
import os
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from privacy.errors import BoundError, PrivacyError, TermsError

if TYPE_CHECKING:
    from privacy.person_level import Bounded

Floats = npt.NDArray[np.float64]

_SEAL: Final = object()
_STEP: Final = 2.0**-53


class RandomSource(Protocol):
    """Where the randomness of sampling and noise comes from; cryptographic wherever people's rows are read."""

    def read(self, size_bytes: int) -> bytes:
        """The next `size_bytes` bytes of the stream; no byte is handed out twice."""
        ...


def os_source() -> RandomSource:
    """A fresh AES-128-CTR stream under a key of the operating system; two calls give unrelated streams."""
    return _KeyStream()


def words(count: int, source: RandomSource) -> npt.NDArray[np.uint64]:
    """`count` numbers of 64 random bits: (count,)."""
    data = source.read(8 * count)
    if len(data) != 8 * count:
        raise PrivacyError(
            f"the source of randomness gave {len(data)} bytes instead of {8 * count}; nothing was noised. "
            "Check the operating system's generator, then start again."
        )
    return np.frombuffer(data, dtype="<u8")


def uniform(count: int, source: RandomSource) -> Floats:
    """`count` numbers from [0, 1), multiples of 2⁻⁵³: (count,)."""
    return (words(count, source) >> np.uint64(11)).astype(np.float64) * _STEP


def gaussian(count: int, source: RandomSource) -> Floats:
    """`count` draws from N(0, 1) by Box-Muller in float64, never beyond ±8.6: (count,).

    Real-valued noise in floating point leaks in its lowest bits (Mironov 2012); the threat model says how far.
    """
    half = (count + 1) // 2
    draws = uniform(2 * half, source)
    radius = np.sqrt(-2 * np.log(draws[:half] + _STEP))
    angle = 2 * math.pi * draws[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


@dataclass(frozen=True, eq=False)
class Private:
    """A noised sum, `vector` float32 (parameters,), that may leave the node. Only `add_noise` makes one."""

    vector: npt.NDArray[np.float32]
    noise_multiplier: float
    clip: float
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise PrivacyError("a Private value was made by hand; expected one made by privacy.noise.add_noise().")

    def __repr__(self) -> str:
        return f"Private({self.vector.size} parameters, σ = {self.noise_multiplier:g}, clip {self.clip:g})"


def add_noise(bounded: "Bounded", noise_multiplier: float, source: RandomSource) -> Private:
    """`bounded` plus N(0, (σ × clip)²) per coordinate. An empty sample gets its noise like any other."""
    from privacy.person_level import Bounded  # which draws its sample with this module

    if not isinstance(bounded, Bounded):
        raise BoundError(
            f"found {type(bounded).__name__}; only a Bounded value can be noised, because the noise is measured by "
            "its clip. Pass the updates through privacy.person_level.bound() first."
        )
    _check(noise_multiplier)
    deviation = noise_multiplier * bounded.clip
    noised = (bounded.vector + deviation * gaussian(bounded.vector.size, source)).astype(np.float32)
    noised.setflags(write=False)
    return Private(noised, noise_multiplier, bounded.clip, _SEAL)


def _check(noise_multiplier: Any) -> None:
    """Raise `TermsError` unless σ is what an accountant takes."""
    from privacy.charges import SampledGaussian

    if noise_multiplier is None:
        raise TermsError("found no noise multiplier; expected the task's σ.")
    SampledGaussian(1.0, noise_multiplier)


class _KeyStream:
    """Bytes of AES-128-CTR; its key is never shown, kept or handed to a forked process."""

    def __init__(self) -> None:
        self._renew()

    def read(self, size_bytes: int) -> bytes:
        if os.getpid() != self._process:
            self._renew()  # a forked copy would repeat its parent's noise, and the difference of two sums is a person
        return self._encryptor.update(bytes(size_bytes))

    def _renew(self) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._encryptor = Cipher(algorithms.AES(os.urandom(16)), modes.CTR(bytes(16))).encryptor()
        self._process = os.getpid()
