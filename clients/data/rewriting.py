"""An import written anew without the rows of some people, beside the old one."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from pyroaring import BitMap

from clients.data.blocks import Cut
from clients.data.shelf import Shelf, keep, read, shelf
from clients.settings import NodeFolder
from clients.store import Dataset, Imported
from federation import workloads

ROWS = 4096
"""How many rows are moved at once."""


@contextmanager
def rest_of(folder: NodeFolder, dataset: Dataset, gone: BitMap) -> Iterator[Shelf]:
    """The rows of `dataset` but those of `gone`, by person number; nothing of it stays unless it is put in place."""
    with shelf(folder, dataset.workload, workloads.find(dataset.workload).schema) as place:
        rows = read(folder, dataset)
        staying = np.flatnonzero(~np.isin(rows.person.numpy(), np.array(gone.to_array(), np.int64)))
        for some in np.split(staying, range(ROWS, len(staying), ROWS)):
            x, y = (rows.fields[name][some].numpy() for name in ("x", "y"))
            place.put(Cut(rows.person[some].numpy().astype(str), x, y))
        place.flush()
        yield place


def put_in_place(folder: NodeFolder, dataset: Dataset, place: Shelf) -> Imported | None:
    """What is left of `dataset`, moved into its folder below data/, durably; None where nobody is left."""
    if not place.rows:
        return None
    people = np.array([int(person) for person in place.people], np.int64)
    digest = place.close(people)
    file = keep(folder, place, digest)
    return Imported(dataset.workload, file, place.rows, BitMap(people), digest, dataset.held_out)
