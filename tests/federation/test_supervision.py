"""Programs are restarted, with patience; one supervisor per folder."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from federation import supervision
from federation.errors import UsageError


def test_one_supervisor_per_folder(tmp_path: Path) -> None:
    with supervision._only_one(tmp_path):
        assert supervision.running(tmp_path)
        with pytest.raises(UsageError, match=r"is running already \(process \d+\); stop that one first"):
            supervision.run([], tmp_path)
    assert supervision.running(tmp_path) is None


def test_a_program_that_ends_is_started_again_later_and_later(tmp_path: Path) -> None:
    program = supervision.Program("short", (sys.executable, "-S", "-c", "raise SystemExit(3)"), tmp_path / "short.log")
    said: list[str] = []
    kept = supervision._Kept(program)
    end = time.monotonic() + 20
    while sum("ended" in line for line in said) < 3 and time.monotonic() < end:
        kept.start_at = 0.0
        supervision._look_after(kept, said.append)
        time.sleep(0.01)
    assert [line.split(";")[0] for line in said if "ended" in line] == [
        "short ended (exit 3), starts again in 0.5 s",
        "short ended (exit 3), starts again in 1 s",
        "short ended (exit 3), starts again in 2 s",
    ]


def test_a_program_ends_when_the_pipe_of_its_supervisor_breaks() -> None:
    program = "from federation.supervision import end_with_parent; end_with_parent(); import time; time.sleep(60)"
    child = supervision.spawn([sys.executable, "-c", program], subprocess.DEVNULL)
    assert child.stdin is not None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    child.stdin.close()
    assert child.wait(20) == 1


def test_a_program_that_does_not_stop_is_killed() -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    supervision.end(child, 0.2)
    child.stdout.close()
    assert child.returncode == -9
