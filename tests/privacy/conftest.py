"""A repeatable source of randomness, for tests only."""

from collections.abc import Callable

import numpy as np
import pytest

from privacy.noise import RandomSource


class Repeatable:
    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def read(self, size_bytes: int) -> bytes:
        return self._generator.bytes(size_bytes)


@pytest.fixture
def repeatable() -> Callable[[int], RandomSource]:
    return Repeatable
