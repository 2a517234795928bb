"""What a task's first weights score on the demo's held-out people: no round before the first is evaluated."""

from collections.abc import Sequence
from pathlib import Path

from clients.algorithm_provider import initial_weights
from clients.data.shelf import load
from clients.settings import NodeFolder
from clients.store import open_store
from federation.manifest import Manifest
from federation.schema import concatenate
from federation.workloads import find


def start_score(manifest: Manifest, nodes: Sequence[Path]) -> float:
    """The headline of the weights that anyone can compute from the contract, on the held-out rows of `nodes`."""
    workload, rows = find(manifest.workload.name), []
    for node in nodes:
        folder = NodeFolder(node)
        with open_store(folder) as store:
            rows.append(load(folder, store, workload.name, held_out=True))
    sums = workload.scores(initial_weights(workload, manifest.training), concatenate(rows))
    return float(workload.summary(sums)[workload.headline])
