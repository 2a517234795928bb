"""A running node as a value: what it pinned, its key, its store, where its time and randomness come from."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from clients.data.rows import ImportedRows, RowSource
from clients.pinned import Pinned, load_pinned
from clients.policy import Admission, Policy
from clients.settings import NodeFolder, load
from clients.store import NodeStore, open_store
from federation.codecs import Data
from federation.manifest import Manifest
from federation.signing import Identity
from federation.wire import AnyRequest
from federation.workload import Workload
from privacy.noise import RandomSource, os_source

Question = AnyRequest


@dataclass(frozen=True, repr=False)
class Node:
    """One party's node; `policy` is read anew for every message."""

    folder: NodeFolder
    pinned: Pinned
    identity: Identity
    store: NodeStore
    rows: RowSource
    policy: Callable[[], Policy]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    source: RandomSource

    def __repr__(self) -> str:
        return f"Node({self.pinned.party})"


@dataclass(frozen=True)
class Agreed:
    """A question that is genuine, fresh, about a task that this node's owner accepted, and admitted by its policy."""

    question: Question
    payload: Data
    manifest: Manifest
    workload: Workload
    admission: Admission


def open_node(path: Path) -> Node:
    """The node in folder `path`, with the system's clock and the operating system's randomness.

    An edit of node.toml holds from the next message on.
    """
    folder = NodeFolder(path)
    torch.set_num_threads(load(folder).threads)
    store = open_store(folder.path)
    return Node(
        folder=folder,
        pinned=load_pinned(folder),
        identity=Identity.load(folder.identity),
        store=store,
        rows=ImportedRows(folder, store),
        policy=lambda: load(folder).policy,
        clock=lambda: datetime.now(UTC),
        sleep=time.sleep,
        source=os_source(),
    )
