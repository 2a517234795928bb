"""``python -m simulations.benchmarks.privacy_utility``: measures, then writes the page, its figures and its plots."""

import argparse
import sys
from pathlib import Path

import torch

from simulations.benchmarks.kept import Kept
from simulations.benchmarks.privacy_utility.report import write
from simulations.benchmarks.privacy_utility.study import QUICK, Size, run


def main(arguments: list[str]) -> None:
    """Write ``privacy_utility.md``, ``.json`` and plots; run again after an interruption, it goes on."""
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks.privacy_utility", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="a few people and two rounds, to see that it runs")
    asked = parser.parse_args(arguments)
    kept = Kept(asked.out / "privacy_utility.parts.jsonl")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = run(QUICK if asked.quick else Size(), kept)
    finally:
        torch.set_num_threads(before)
    write(asked.out, figures)
    kept.forget(kept.parts())


if __name__ == "__main__":
    main(sys.argv[1:])
