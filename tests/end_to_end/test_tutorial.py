"""Types the tutorial from its first to its last line, as a reader would."""

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = ("pip install", "mkdir ", "cd ")
BLOCK = re.compile(r"```(console|python|toml)\n(.*?)```", re.DOTALL)


def script(page, ports):
    """The page as one shell script: console lines are typed, Python is run, TOML is saved as its first line says."""
    lines = ["set -euo pipefail"]
    for kind, text in BLOCK.findall(page):
        if kind == "console":
            typed = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
            lines += [line for line in typed if not line.startswith(SKIPPED)]
        elif kind == "python":
            lines.append(f"python - <<'END'\n{text}END")
        else:
            tomllib.loads(text)
            lines.append(f"cat > {text.splitlines()[0].removeprefix('# ')} <<'END'\n{text}END")
    typed = "\n".join(lines)
    for written, free in zip(("9292", "9293"), ports, strict=True):
        typed = typed.replace(f"port {written}", f"port {free}")
    return typed.replace("server up --dir coordinator &", f"server up --dir coordinator &\n{waiting(ports[0])}")


def waiting(port):
    """A reader waits until the coordinator says that it is up."""
    return f"for _ in $(seq 300); do (echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.2; done"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@pytest.mark.processes
def test_the_tutorial_can_be_typed_from_top_to_bottom(tmp_path):
    typed = script((ROOT / "docs" / "tutorial.md").read_text(), free_ports(2))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    log = tmp_path / "typed.log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", typed], cwd=tmp_path, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = shell.wait(240)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    assert code == 0, log.read_text()[-4000:]
    assert (tmp_path / "pace.zip").is_file()
