"""Which shoulder exercise a person does, from 4 s of a wrist watch: a small convolution network as functions.

Rows are windows of 200 samples at 50 Hz with 6 axes, acceleration in g (as watches report it) and angular rate in
rad/s. Convolutions are written as matrix products over taps, which ``torch.func.vmap`` turns into batched products;
nothing is normalised over the batch and there are no buffers.
"""

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from federation.schema import Column, Rows, RowSchema, Target, Window
from federation.workload import Phase, Scores, Weights, Workload
from federation.workloads import invented_motion

CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
"""Pendulum, abduction, forward elevation, internal and external rotation, trapezius pull, row (Burns et al. 2018)."""

_G = "watches report g: values beyond ±8 suggest m/s², divide by 9.80665"
_RAD = "values beyond ±35 suggest degrees per second, multiply by π/180"
SCHEMA = RowSchema(
    columns=(
        *(Column(f"a{axis}", "g", -8.0, 8.0, _G, min_spread=0.03) for axis in "xyz"),
        *(Column(f"w{axis}", "rad/s", -35.0, 35.0, _RAD, min_spread=0.03) for axis in "xyz"),
    ),
    target=Target("exercise", "", classes=CLASSES),
    window=Window(samples=200, hop=100, rate_hz=50.0),
)
SCALE = (1.0, 1.0, 1.0, 2.5, 2.5, 2.5)
"""Public constants that bring the axes to order one: 1 g, 2.5 rad/s."""

LAYERS = (("conv1", 6, 24, 9, 4), ("conv2", 24, 32, 5, 2), ("conv3", 32, 32, 3, 1))
"""Name, channels in, channels out, taps, stride."""


def initial(seed: int) -> dict[str, torch.Tensor]:
    """He-scaled random convolutions, a small random head."""
    source = torch.Generator().manual_seed(seed)
    weights = {}
    for name, inputs, outputs, taps, _ in LAYERS:
        spread = math.sqrt(2 / (inputs * taps))
        weights[f"{name}.weight"] = spread * torch.randn(inputs * taps, outputs, generator=source)
        weights[f"{name}.bias"] = torch.zeros(outputs)
    width = 2 * LAYERS[-1][2]
    weights["head.weight"] = torch.randn(width, len(CLASSES), generator=source) / width
    weights["head.bias"] = torch.zeros(len(CLASSES))
    return weights


def _taps(signal: torch.Tensor, taps: int, stride: int) -> torch.Tensor:
    """(rows, time, channels) -> (rows, time / stride, taps × channels), zero-padded at both ends."""
    signal = functional.pad(signal, (0, 0, taps // 2, taps // 2))
    end = (signal.shape[-2] - taps) // stride * stride + 1
    return torch.cat([signal[..., tap : tap + end : stride, :] for tap in range(taps)], dim=-1)


def _features(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """(rows, 6, 200) -> (rows, 64): mean and maximum over time of the last convolution."""
    hidden = (x / x.new_tensor(SCALE)[:, None]).transpose(-1, -2)
    for name, _, _, taps, stride in LAYERS:
        hidden = functional.relu(_taps(hidden, taps, stride) @ weights[f"{name}.weight"] + weights[f"{name}.bias"])
    return torch.cat([hidden.mean(-2), hidden.amax(-2)], dim=-1)


def logits(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """(rows, 6, 200) -> (rows, 7)."""
    return _features(weights, x) @ weights["head.weight"] + weights["head.bias"]


def _loss(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Cross-entropy per row."""
    del seed
    return functional.cross_entropy(logits(weights, fields["x"]), fields["y"], reduction="none")


def scores(weights: Weights, rows: Rows) -> dict[str, float]:
    """Sums over rows: how many, how many correct, cross-entropy."""
    if not len(rows):
        return {"rows": 0.0, "correct": 0.0, "loss": 0.0}
    with torch.no_grad():
        found = logits(weights, rows.fields["x"])
        loss = functional.cross_entropy(found, rows.fields["y"], reduction="sum")
    return {
        "rows": float(len(rows)),
        "correct": float((found.argmax(-1) == rows.fields["y"]).sum()),
        "loss": float(loss),
    }


def summary(sums: Scores) -> dict[str, float]:
    """Accuracy; mean cross-entropy where it was told."""
    rows = max(sums.get("rows", 0.0), 1.0)
    figures = {"accuracy": sums.get("correct", 0.0) / rows}
    return figures | ({"loss": sums["loss"] / rows} if "loss" in sums else {})


WORKLOAD = Workload(
    name="exercise_recognition",
    version=1,
    title="Recognise seven shoulder exercises from a wrist watch",
    schema=SCHEMA,
    phases=(Phase("classify", reads_people=True, trains=("conv", "head."), loss=_loss),),
    initial=initial,
    scores=scores,
    person_scores=("correct",),
    summary=summary,
    headline="accuracy",
    higher_is_better=True,
    invent=invented_motion.invent,
)
