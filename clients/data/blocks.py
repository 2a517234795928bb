"""Rows on their way from a file to the shelf."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Block:
    """Consecutive rows that were checked: `x` (rows, columns), `y` class numbers or values, `usable` (rows,).

    `usable` is False where a value is implausible; `time` is in seconds, empty without a time column.
    """

    person: Texts
    recording: Texts
    time: Floats
    x: Floats
    y: Floats
    usable: npt.NDArray[np.bool_]
    first: int

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True)
class Cut:
    """Rows of the workload with their owners (rows,): `x` and `y` as the schema's `x_shape` and `y_shape` say."""

    person: Texts
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.floating]
