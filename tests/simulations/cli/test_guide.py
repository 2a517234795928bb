"""The researcher's guide can be typed from top to bottom, and names every scenario that there is."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from simulations import scenarios
from simulations.scenario import FORMAT

PAGE = Path(__file__).parents[3] / "docs" / "simulate.md"
BLOCK = re.compile(r"```(console|python|toml)\n(.*?)```", re.DOTALL)


def script(page):
    """The page as one shell script: console lines are typed, Python is run, TOML is saved as its first line says."""
    lines = ["set -euo pipefail"]
    for kind, text in BLOCK.findall(page):
        if kind == "console":
            typed = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
            lines += [line for line in typed if not line.startswith("pip install")]
        elif kind == "python":
            lines.append(f"python - <<'END'\n{text}END")
        else:
            tomllib.loads(text)
            lines.append(f"cat > {text.splitlines()[0].removeprefix('# ')} <<'END'\n{text}END")
    return "\n".join(lines)


@pytest.mark.processes
def test_the_guide_can_be_typed_from_top_to_bottom(tmp_path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", script(PAGE.read_text())],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("first/report.html", "results/report.html", "more-people/report.html", "compare.html"):
        assert (tmp_path / name).is_file()


def test_the_guide_names_every_scenario():
    table = PAGE.read_text().split("## Scenarios to start from")[1].split("\n## ")[0]
    assert (
        sorted(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
        == scenarios.names()
    )


def test_the_guide_names_the_format_that_is_read():
    assert FORMAT in PAGE.read_text()
