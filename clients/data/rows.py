"""Where a node's rows come from: a port, so that simulated people need not lie on a disk."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from pyroaring import BitMap

from clients.data.shelf import load, owners
from clients.settings import NodeFolder
from clients.store import NodeStore
from federation.schema import Rows


class RowSource(Protocol):
    """Rows of people by person number; asked for no more people than a step needs."""

    def people(self, workload: str, held_out: bool) -> BitMap:
        """Everybody who has rows of this workload, to train on or (`held_out`) to judge."""

    def of(self, workload: str, held_out: bool, people: BitMap) -> Rows:
        """The rows of `people`."""


@dataclass(frozen=True)
class ImportedRows:
    """What was imported into a node's folder; read anew each time, so that an import counts from the next round on."""

    folder: NodeFolder
    store: NodeStore

    def people(self, workload: str, held_out: bool) -> BitMap:
        """See `RowSource`."""
        return BitMap(np.unique(owners(self.folder, self.store, workload, held_out)))

    def of(self, workload: str, held_out: bool, people: BitMap) -> Rows:
        """See `RowSource`."""
        return load(self.folder, self.store, workload, held_out).of(as_tensor(people))


def as_tensor(people: BitMap) -> torch.Tensor:
    """Person numbers as int64 (people,)."""
    return torch.from_numpy(np.array(people.to_array(), dtype=np.int64))
