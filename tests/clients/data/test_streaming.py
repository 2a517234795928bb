"""A file larger than memory should be allowed: what an import needs does not grow with the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from clients.settings import DEFAULT_NODE_TOML

IMPORT = """
import resource, sys
from pathlib import Path
from clients.data.columns import ColumnMap
from clients.data.importing import import_files
from clients.settings import NodeFolder
from clients.store import open_store
from federation import workloads

small, large = map(Path, sys.argv[1:3])
folder = NodeFolder(Path(sys.argv[3]))
mapping = ColumnMap(person="who", recording="rec", target="label", rate_hz=50.0)
workload = workloads.find("exercise_recognition")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with open_store(folder) as store:
    import_files(folder, store, [small], mapping, workload, False)
    before = peak()
    report = import_files(folder, store, [large], mapping, workload, False)
print(report.samples, peak() - before)
"""


def recordings(path: Path, count: int, seed: int) -> None:
    """A CSV of `count` recordings of 50,000 samples, written piece by piece; 6.5 MB each."""
    source = np.random.default_rng(seed)
    axes = ("ax", "ay", "az", "wx", "wy", "wz")
    with path.open("wb") as file:
        for index in range(count):
            columns = {axis: source.normal(0, 1, 50_000) for axis in axes}
            names = {"who": [f"p{index % 7}"] * 50_000, "rec": [f"r{index}"] * 50_000, "label": ["PEN"] * 50_000}
            pl.DataFrame(names | columns).write_csv(file, include_header=index == 0)


@pytest.mark.processes
def test_the_memory_of_an_import_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large, node = tmp_path / "small.csv", tmp_path / "large.csv", tmp_path / "node"
    recordings(small, 6, seed=1)
    recordings(large, 50, seed=2)
    node.mkdir()
    (node / "node.toml").write_text(DEFAULT_NODE_TOML)
    words = [sys.executable, "-c", IMPORT, str(small), str(large), str(node)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=300)
    samples, more_mib = map(int, done.stdout.split())
    assert samples == 50 * 50_000
    size_mib = large.stat().st_size >> 20
    assert size_mib > 250
    assert more_mib < size_mib / 3, f"{more_mib} MiB more for a file of {size_mib} MiB"
