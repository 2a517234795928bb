"""How fast the machine multiplies matrices, and how much multiplying a person's training takes at least."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from simulations.benchmarks.simulation.peers import work

SQUARE, RUNS = 1024, 12
PEOPLE = 12
SHAPES = {
    "convolution 1, forward": (1280, 30, 32),
    "convolution 1, its weights": (30, 1280, 32),
    "convolution 2, forward": (320, 160, 64),
    "convolution 2, its weights": (160, 320, 64),
    "convolution 2, its inputs": (320, 64, 160),
    "linear": (10, 256, 32),
}
"""(rows, inner, columns) of the products in one step of a person on the convolutional work."""


def rates(threads: int) -> dict[str, float]:
    """10⁹ floating-point operations per second: one large product, then each product of `PEOPLE` people in a step."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    left, right = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
    found = {f"one product of {SQUARE} × {SQUARE}": 2 * SQUARE**3 / _best_s(lambda: left @ right) / 1e9}
    for name, (rows, inner, columns) in SHAPES.items():
        one, other = torch.randn(PEOPLE, rows, inner), torch.randn(PEOPLE, inner, columns)
        seconds = _best_s(lambda one=one, other=other: torch.bmm(one, other))  # type: ignore[misc]
        found[name] = 2 * PEOPLE * rows * inner * columns / seconds / 1e9
    torch.set_num_threads(before)
    return {name: round(rate, 1) for name, rate in found.items()}


def operations(name: str) -> int:
    """Floating-point operations of one person's products, forward and backward, over all local steps."""
    about = work.WORKS[name]
    x = torch.randn(about.rows, *about.x_shape)
    y = torch.zeros(about.rows, dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter:
        work.train(work.module(name), about, x, y)
    return int(counter.get_total_flops())


def measured(threads: int) -> dict[str, Any]:
    """What the page says about the machine's limit."""
    return {"threads": threads, "gflop_per_s": rates(threads), "flop_per_person": operations("convolutional")}


def _best_s(product: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs: what the machine can do, not what it did on average."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
