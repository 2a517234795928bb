"""The convolutional model of the comparison: for one person, and in one pass for many with weights of their own.

Both are the same function; the second is three quarters of the processor's time of the first under ``vmap``. It spares
what ``vmap`` adds to each operation, and the slope of ``amax``, which turns truth values into integers and those into
numbers and takes as long as a convolution.
"""

from collections.abc import Mapping

import torch
from torch.nn import functional

from federation.workload import Weights

TAPS, POOLED, AVERAGED = 5, 4, 8
"""Instants under a tap of both convolutions, under a maximum after the first, under a mean after the second."""


def convolutional(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Two convolutions over time, (rows, 6, 128) -> (rows, 6); 19,718 numbers.

    The first, of few channels and many instants, is one product over its taps, channels last. Its bias and ReLU come
    after the maximum, which gives the same (both are monotonic) on a quarter of the numbers.
    """
    hidden = _taps(x) @ weights["1.weight"]
    hidden = functional.relu(
        hidden.reshape(len(x), -1, POOLED, hidden.shape[-1]).amax(-2) + weights["1.bias"]
    ).transpose(-1, -2)
    hidden = functional.relu(functional.conv1d(hidden, weights["2.weight"], weights["2.bias"], padding=TAPS // 2))
    hidden = functional.avg_pool1d(hidden, AVERAGED).flatten(-2)
    hidden = functional.relu(hidden @ weights["3.weight"] + weights["3.bias"])
    return hidden @ weights["4.weight"] + weights["4.bias"]


def together(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Cross-entropy of `convolutional` for many people, (people, rows); see `federation.workload.Phase`.

    The second convolution has a group per person, so its channels are (rows, people × channels, time).
    """
    del seed
    x = fields["x"]
    people, rows = x.shape[:2]
    hidden = torch.bmm(_taps(x).flatten(1, 2), weights["1.weight"])
    hidden = _largest(hidden.view(people, rows, -1, POOLED, hidden.shape[-1]))
    hidden = hidden.permute(1, 0, 3, 2).contiguous()
    hidden = functional.relu(hidden + weights["1.bias"][:, :, None]).flatten(1, 2)
    kernel, bias = weights["2.weight"].flatten(0, 1), weights["2.bias"].flatten()
    hidden = functional.relu(functional.conv1d(hidden, kernel, bias, padding=TAPS // 2, groups=people))
    # A mean as a product with a constant: both ways it takes a third of the time of torch's pooling.
    hidden = hidden.reshape(rows, people, -1, AVERAGED) @ hidden.new_full((AVERAGED, 1), 1 / AVERAGED)
    hidden = hidden.reshape(rows, people, -1).transpose(0, 1)
    hidden = functional.relu(torch.baddbmm(weights["3.bias"][:, None], hidden, weights["3.weight"]))
    logits = torch.baddbmm(weights["4.bias"][:, None], hidden, weights["4.weight"])
    return functional.cross_entropy(logits.flatten(0, 1), fields["y"].flatten(), reduction="none").view(people, rows)


def _taps(x: torch.Tensor) -> torch.Tensor:
    """(…, channels, time) -> (…, time, taps × channels), zero-padded at both ends, in one copy."""
    padded = functional.pad(x.transpose(-1, -2), (0, 0, TAPS // 2, TAPS // 2)).flatten(-2)
    return padded.unfold(-1, TAPS * x.shape[-2], x.shape[-2]).contiguous()


def _largest(values: torch.Tensor) -> torch.Tensor:
    """(…, group, channels) -> (…, channels)."""
    maxima: torch.Tensor = _Largest.apply(values)  # type: ignore[no-untyped-call]
    return maxima


class _Largest(torch.autograd.Function):
    """``amax(-2)`` with its slope, which equally large ones share, in few passes over the memory."""

    @staticmethod
    def forward(ctx, values):  # type: ignore[no-untyped-def]
        maxima = values.amax(-2, keepdim=True)
        ctx.save_for_backward(values, maxima)
        return maxima.squeeze(-2)

    @staticmethod
    def backward(ctx, slope):  # type: ignore[no-untyped-def]
        values, maxima = ctx.saved_tensors
        share = (values - maxima).sign_().add_(1.0)  # 1 where it is the largest, else 0
        return share.mul_((slope.contiguous() / share.sum(-2)).unsqueeze(-2))
