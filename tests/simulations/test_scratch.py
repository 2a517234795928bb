"""Stores of a run lie in memory and go with it, also if it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from simulations.scratch import PREFIX, scratch

HOLDS = """
import time
from pathlib import Path
from simulations.scratch import scratch
with scratch(Path({})) as path:
    print(path, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_gone_after_its_run(tmp_path: Path) -> None:
    with scratch(tmp_path) as path:
        assert path.is_dir()
    assert not path.exists()


def test_what_a_killed_run_left_is_swept_by_the_next_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    code = HOLDS.format(repr(str(tmp_path)))
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, living = (Path((run.stdout.readline() if run.stdout else "").strip()) for run in runs)
    os.kill(runs[0].pid, signal.SIGKILL)
    runs[0].wait()
    assert killed.is_dir()
    with scratch(tmp_path) as mine:
        assert sorted(tmp_path.glob(f"{PREFIX}*")) == sorted([living, mine])
    runs[1].terminate()
    for run in runs:
        run.communicate()
