"""Lines of person and item, in order of time, as rows: what came before, and what came last."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from federation.errors import SchemaError
from federation.schema import RowSchema

Indices = npt.NDArray[np.int64]
Marks = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Histories:
    """Rows of a schema with a history: `person` (rows,), `x` and `y` float32 (rows, items).

    `short`: how many people had too few different items for a row.
    """

    person: Indices
    x: Marks
    y: Marks
    short: int


def gather(person: Indices, item: Indices, schema: RowSchema) -> Histories:
    """One row per person, in order of their numbers; `item` (lines,) are class numbers, the oldest line first.

    An item that a person came back to counts once, as of the last time.
    """
    history, items = schema.history, len(schema.target.classes)
    if history is None:
        raise SchemaError("this workload's rows are no histories; expected a schema with a history.")
    # Read backwards, the first line of each person and item is the last one in time.
    pairs, newest_first = np.unique(person[::-1] * items + item[::-1], return_index=True)
    order = np.lexsort((newest_first, pairs // items))
    owner, what = (pairs // items)[order], (pairs % items)[order]
    people, starts, counts = np.unique(owner, return_index=True, return_counts=True)
    age = np.arange(len(owner)) - np.repeat(starts, counts)
    last = age < np.repeat(newest(counts, history.newest), counts)
    row, long = np.repeat(np.arange(len(people)), counts), counts >= history.least
    marks = np.zeros((2, len(people), items), np.float32)
    marks[last.astype(np.int64), row, what] = 1
    return Histories(people[long], marks[0, long], marks[1, long], int((~long).sum()))


def newest(items: Indices, share: float) -> Indices:
    """How many of so many different items came last: `share` of them, rounded down, one at least."""
    return np.maximum(1, (items * share).astype(np.int64))
