"""``python -m simulations.benchmarks.privacy_utility``: measures, then writes the page, its figures and its plots."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from simulations.benchmarks.kept import Kept, picked
from simulations.benchmarks.privacy_utility.report import FIGURES, write
from simulations.benchmarks.privacy_utility.study import QUICK, Size, plan


def main(arguments: list[str]) -> None:
    """Write ``privacy_utility.md``, ``.json`` and plots; run again after an interruption, it goes on."""
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks.privacy_utility", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="a few people and two rounds, to see that it runs")
    parser.add_argument(
        "--again",
        nargs="*",
        metavar="WORD",
        help="keep the parts that privacy_utility.json holds, but for those whose names hold one of these words",
    )
    asked = parser.parse_args(arguments)
    parts = plan(QUICK if asked.quick else Size())
    kept = Kept(asked.out / f"privacy_utility.{'quick' if asked.quick else 'parts'}.jsonl")
    if asked.again is not None:
        _restore(kept, asked.out / FIGURES, parts, asked.again)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, measure in parts.items():
            kept.part(name, measure)
    finally:
        torch.set_num_threads(before)
    write(asked.out, [kept.parts()[name] for name in parts])
    kept.forget(kept.parts())


def _restore(kept: Kept, figures: Path, names: Iterable[str], again: Sequence[str]) -> None:
    """Keep what a finished study measured of the parts `names`, except those that are asked for `again`."""
    stale = picked(names, [",".join(again)]) if again else []
    done = json.loads(figures.read_text("utf-8"))["parts"]
    kept.restore(part for part in done if part["name"] not in stale)


if __name__ == "__main__":
    main(sys.argv[1:])
