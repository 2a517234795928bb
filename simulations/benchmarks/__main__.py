"""``python -m simulations.benchmarks``: every benchmark, one after the other, each in a process of its own."""

import subprocess
import sys

from simulations.benchmarks.catalogue import CATALOGUE


def main() -> int:
    """Run all of them; the exit code counts those that failed."""
    failed = 0
    for name in CATALOGUE:
        print(f"{name} …", file=sys.stderr, flush=True)
        failed += alone(name) != 0
    return failed


def alone(name: str) -> int:
    """The exit code of one benchmark in a process of its own; what it says goes to stderr."""
    command = [sys.executable, "-m", f"simulations.benchmarks.{name}"]
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


if __name__ == "__main__":
    sys.exit(main())
