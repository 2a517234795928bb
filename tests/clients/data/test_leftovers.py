"""Folders that nothing refers to: what a killed import leaves is swept away, what a living one writes is not."""

import os
import subprocess
import sys
from pathlib import Path

from clients.data.leftovers import INCOMING, sweep


def test_rows_of_a_killed_import_are_deleted_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, living = tmp_path / f"{INCOMING}{gone.pid}-00ff", tmp_path / f"{INCOMING}{os.getpid()}-00ff"
    for folder in (left, living):
        folder.mkdir()
        (folder / "part-00000.safetensors").write_bytes(b"rows")
    sweep(tmp_path)
    assert not left.exists()
    assert (living / "part-00000.safetensors").exists()
