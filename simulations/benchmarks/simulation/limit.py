"""How fast the machine multiplies matrices, and how much multiplying a person's training takes at least."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from simulations.benchmarks.simulation.peers import work

SQUARE, RUNS = 1024, 12
PEOPLE = 12
SHAPES = {
    "convolution 1, forward": (1280, 30, 32),
    "convolution 1, its weights": (30, 1280, 32),
    "convolution 2 as a product, forward": (320, 160, 64),
    "linear": (10, 256, 32),
}
"""(rows, inner, columns) of products in one step of a person on the convolutional work."""

CONVOLUTION = (10, 32, 64, 32, 5)
"""Rows, channels in and out, instants and taps of the second convolution, which torch's own code computes."""


def rates(threads: int) -> dict[str, float]:
    """10⁹ floating-point operations per second: one large product, then what `PEOPLE` people compute in a step."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    left, right = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
    found = {f"one product of {SQUARE} × {SQUARE}": 2 * SQUARE**3 / _best_s(lambda: left @ right) / 1e9}
    for name, (rows, inner, columns) in SHAPES.items():
        one, other = torch.randn(PEOPLE, rows, inner), torch.randn(PEOPLE, inner, columns)
        seconds = _best_s(lambda one=one, other=other: torch.bmm(one, other))  # type: ignore[misc]
        found[name] = 2 * PEOPLE * rows * inner * columns / seconds / 1e9
    found |= _convolution()
    torch.set_num_threads(before)
    return {name: round(rate, 1) for name, rate in found.items()}


def _convolution() -> dict[str, float]:
    """The second convolution of `PEOPLE` people with weights of their own, a group for each, both ways."""
    rows, inputs, outputs, time_, taps = CONVOLUTION
    signal = torch.randn(rows, PEOPLE * inputs, time_, requires_grad=True)
    kernel = torch.randn(PEOPLE * outputs, inputs, taps, requires_grad=True)

    def forward() -> torch.Tensor:
        return functional.conv1d(signal, kernel, padding=taps // 2, groups=PEOPLE)

    result = forward()
    slope = torch.ones_like(result)
    work_done = 2 * PEOPLE * rows * inputs * outputs * time_ * taps / 1e9
    return {
        "convolution 2, forward": work_done / _best_s(forward),
        "convolution 2, its weights and inputs": 2
        * work_done
        / _best_s(lambda: torch.autograd.grad(result, (signal, kernel), slope, retain_graph=True)),
    }


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
