"""``python -m simulations.benchmarks.exchange PART FILE WORDS…``: what `paceline bench exchange` starts per part."""

import sys
from functools import partial
from pathlib import Path

import torch

from simulations.benchmarks.exchange.campaign import measure
from simulations.benchmarks.exchange.parts import PARTS
from simulations.benchmarks.kept import Kept

if __name__ == "__main__":
    name, file, *only = sys.argv[1:]
    torch.set_num_threads(1)
    (asked,) = (part for part in PARTS if part.name == name)
    measure(asked, Kept(Path(file)), only, partial(print, file=sys.stderr, flush=True))
