"""One decoder that is fuzzed."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Target:
    """One decoder with valid seeds.

    `mutate(seed, draw)` gives damaged bytes, signed again where the target lies behind the signature.
    `decode` gives canonical bytes of what it read, or raises. Where `sealed`, whatever
    is read must be what an honest sender signed: anything else is a forgery, even without an exception.
    """

    name: str
    seeds: tuple[bytes, ...]
    mutate: Callable[[bytes, Random], bytes]
    decode: Callable[[bytes], bytes]
    sealed: bool

    def honest(self) -> frozenset[bytes]:
        """What the seeds say; all of them must be readable."""
        return frozenset(self.decode(seed) for seed in self.seeds)
