"""``python -m simulations.benchmarks``: every benchmark, one after the other, each in a process of its own."""

import subprocess
import sys

ALL = ("ledger", "person_level", "idle_round", "learning")


def main() -> int:
    """Run all of them; the exit code counts those that failed."""
    failed = 0
    for name in ALL:
        print(f"{name} …", flush=True)
        done = subprocess.run([sys.executable, "-m", f"simulations.benchmarks.{name}"], check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
