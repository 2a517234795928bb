"""Which shoulder exercise a person does, from 4 s of a wrist watch.

Rows are windows of 200 samples at 50 Hz with 6 axes, acceleration in g (as watches report it) and angular rate in
rad/s. Two branches add up to the logits: ``cnn.``, two convolutions for tasks that may learn much, and ``head.``, a
linear layer on 15 fixed statistics of a window for tasks that must learn little (`trains = ["head."]`: 112 numbers
drown in less noise than 14,000). ``cnn.`` begins with an output of zero, so that the head can be trained alone.

Convolutions are matrix products over taps, which ``torch.func.vmap`` turns into batched products. Nothing is
normalised over the batch, nothing is measured on anybody's rows, there are no buffers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from federation.schema import Column, Rows, RowSchema, Target, Window
from federation.workload import Phase, Scores, Weights, Workload

CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
"""Pendulum, abduction, forward elevation, internal and external rotation, trapezius pull, row (Burns et al. 2018)."""

_G = "watches report g: values beyond ±8 suggest m/s², divide by 9.80665"
_RAD = "values beyond ±35 suggest degrees per second, multiply by π/180"
SCHEMA = RowSchema(
    columns=(
        *(Column(f"a{axis}", "g", -8.0, 8.0, _G, min_spread=0.02) for axis in "xyz"),
        *(Column(f"w{axis}", "rad/s", -35.0, 35.0, _RAD, min_spread=0.02) for axis in "xyz"),
    ),
    target=Target("exercise", "", classes=CLASSES),
    window=Window(samples=200, hop=50, rate_hz=50.0),
)
SCALE = (1.0, 1.0, 1.0, 2.5, 2.5, 2.5)
"""Public constants that bring the axes to order one: 1 g, 2.5 rad/s."""

LAYERS = (("cnn.1", 6, 32, 13, 4), ("cnn.2", 32, 48, 7, 4))
"""Name, channels in, channels out, taps, stride."""

STATISTICS = 15
TURN_RAD, STRETCH = 0.26, 0.17
"""How far training turns the watch on the wrist and stretches the speed: half-widths, per row at random."""


def initial(seed: int) -> dict[str, torch.Tensor]:
    """He-scaled random convolutions; both branches' outputs are zero."""
    source = torch.Generator().manual_seed(seed)
    weights = {}
    for name, inputs, outputs, taps, _ in LAYERS:
        spread = math.sqrt(2 / (inputs * taps))
        weights[f"{name}.weight"] = spread * torch.randn(inputs * taps, outputs, generator=source)
        weights[f"{name}.bias"] = torch.zeros(outputs)
    for name, width in (("cnn.out", 2 * LAYERS[-1][2]), ("head", STATISTICS)):
        weights[f"{name}.weight"] = torch.zeros(width, len(CLASSES))
        weights[f"{name}.bias"] = torch.zeros(len(CLASSES))
    return weights


def logits(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """(rows, 6, 200) -> (rows, 7)."""
    learned = _convolved(weights, x) @ weights["cnn.out.weight"] + weights["cnn.out.bias"]
    return learned + statistics(x) @ weights["head.weight"] + weights["head.bias"]


def _convolved(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """(rows, 6, 200) -> (rows, 96): mean and maximum over time of the last convolution."""
    hidden = (x / x.new_tensor(SCALE)[:, None]).transpose(-1, -2)
    for name, _, _, taps, stride in LAYERS:
        hidden = functional.relu(_taps(hidden, taps, stride) @ weights[f"{name}.weight"] + weights[f"{name}.bias"])
    return torch.cat([hidden.mean(-2), hidden.amax(-2)], dim=-1)


def _taps(signal: torch.Tensor, taps: int, stride: int) -> torch.Tensor:
    """(rows, time, channels) -> (rows, time / stride, taps × channels), zero-padded at both ends."""
    signal = functional.pad(signal, (0, 0, taps // 2, taps // 2))
    end = (signal.shape[-2] - taps) // stride * stride + 1
    return torch.cat([signal[..., tap : tap + end : stride, :] for tap in range(taps)], dim=-1)


def statistics(x: torch.Tensor) -> torch.Tensor:
    """What a physiotherapist would note of a window, (rows, 6, 200) -> (rows, 15), brought to order one.

    Posture, how much each axis moves, how the axes move together, how jerky. On the other wrist the watch's first
    axis points to the elbow; turning by its sign makes both wrists alike.
    """
    side = torch.tanh(4 * x[..., :1, :].mean(-1, keepdim=True))
    force = torch.cat([x[..., :1, :] * side, x[..., 1:3, :]], dim=-2)
    rate = torch.cat([x[..., 3:4, :], x[..., 4:, :] * side], dim=-2)
    force_spread, jerk = _spread(force), _spread(force.diff(dim=-1))
    shape = (force - force.mean(-1, keepdim=True)) / (force_spread + 0.05)[..., None]
    together = torch.stack([(shape[..., i, :] * shape[..., j, :]).mean(-1) for i, j in ((0, 1), (0, 2), (1, 2))], -1)
    moves = [(force_spread + 0.02).log() + 1.5, (_spread(rate) + 0.05).log(), (jerk + 0.005).log() + 3.5]
    return torch.cat([2 * force.mean(-1), *(part / 0.8 for part in moves), 2 * together], dim=-1).clamp(-3, 3)


def _spread(signal: torch.Tensor) -> torch.Tensor:
    """Standard deviation over time, smooth at zero."""
    variance = (signal - signal.mean(-1, keepdim=True)).square().mean(-1)
    return torch.sqrt(variance + 1e-8)


def _loss(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Cross-entropy per row, of a window as another wearer might have recorded it."""
    return functional.cross_entropy(logits(weights, _varied(fields["x"], seed)), fields["y"], reduction="none")


def _varied(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Each window turned about a small random angle and sped up or down a little, (rows, 6, 200).

    The random numbers are a hash of the seed and the row's own values: no row depends on another.
    """
    key = x.detach().sum((-1, -2))[..., None]
    salt = torch.arange(1, 5, device=x.device) * 12.9898 + seed % 8191
    draw = 2 * torch.frac((key * 78.233 + salt).sin().abs() * 43758.5453) - 1
    angle = TURN_RAD * draw[..., :3, None]
    turned = [
        part + _about(angle, part) + _about(angle, _about(angle, part)) / 2 for part in (x[..., :3, :], x[..., 3:, :])
    ]
    return torch.cat([turned[0], turned[1] * (STRETCH * draw[..., 3:, None]).exp()], dim=-2)


def _about(axis: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Cross product along the axes' dimension; twice applied, a rotation to second order."""
    product: torch.Tensor = torch.linalg.cross(axis.expand_as(vectors), vectors, dim=-2)
    return product


def scores(weights: Weights, rows: Rows) -> dict[str, float]:
    """Sums over rows: how many, how many correct, cross-entropy."""
    with torch.no_grad():
        found = logits(weights, rows.fields["x"])
        loss = functional.cross_entropy(found, rows.fields["y"], reduction="sum")
    correct = (found.argmax(-1) == rows.fields["y"]).sum()
    return {"rows": float(len(rows)), "correct": float(correct), "loss": float(loss)}


def summary(sums: Scores) -> dict[str, float]:
    """Accuracy; mean cross-entropy where it was told."""
    rows = max(sums.get("rows", 0.0), 1.0)
    figures = {"accuracy": sums.get("correct", 0.0) / rows}
    return figures | ({"loss": sums["loss"] / rows} if "loss" in sums else {})


Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]
SAMPLES, RATE_HZ = 200, 50.0


@dataclass(frozen=True)
class Exercise:
    """A repetition of a left arm: where the forearm and the dial point (forward, left, up) at both ends.

    `circle_deg`: half angle of a circular swing instead of a sweep. `pull_m`: how the elbow travels.
    """

    forearm: tuple[Point, Point]
    dial: tuple[Point, Point]
    circle_deg: float = 0.0
    pull_m: Point = (0.0, 0.0, 0.0)
    period_s: tuple[float, float] = (1.6, 3.2)


EXERCISES = (
    Exercise(((0, 0.1, -1), (0, 0.1, -1)), ((0.5, 1, 0), (0.5, 1, 0)), circle_deg=20, period_s=(1.2, 2.4)),
    Exercise(((0, 0.15, -1), (0.1, 1, 0.8)), ((0.2, 1, 0.1), (-0.8, -0.4, 0.6))),
    Exercise(((0.1, 0.1, -1), (0.8, 0.1, 0.9)), ((1, 0.4, 0.1), (-0.7, 0.1, 0.8))),
    Exercise(((0.8, 0.75, 0), (0.6, -0.8, 0)), ((-0.7, 0.8, 0), (0.8, 0.6, 0))),
    Exercise(((0.6, -0.8, 0), (0.8, 0.75, 0)), ((0.8, 0.6, 0), (-0.7, 0.8, 0))),
    Exercise(((0.7, 0.1, -0.7), (-0.2, 0.2, -1)), ((0.4, 1, 0.3), (0.2, 1, 0.1)), pull_m=(0.1, 0, 0.1)),
    Exercise(
        ((0.1, 0.05, -1), (0.3, 0.15, -1)), ((0.1, 1, 0), (0.1, 1, 0.1)), pull_m=(0, 0, 0.35), period_s=(1.2, 2.6)
    ),
)
"""In the order of `CLASSES`, from textbook descriptions of the exercises, not fitted to anybody's recordings."""


def invent(seed: int, people: int, rows_per_person: int) -> Rows:
    """Synthetic windows of people 0 … people-1, classes in equal shares, each person with a style of their own."""
    source = np.random.default_rng(seed)
    windows = np.zeros((people * rows_per_person, 6, SAMPLES), dtype=np.float32)
    labels = np.tile(np.arange(rows_per_person) % len(CLASSES), people)
    for person in range(people):
        style = source.normal(0, 0.15, (len(CLASSES) + 1, 3))
        for row in range(person * rows_per_person, (person + 1) * rows_per_person):
            windows[row] = _window(source, EXERCISES[labels[row]], style[labels[row]], style[-1])
    limit = np.repeat([8.0, 35.0], 3).astype(np.float32)[:, None]
    fields = {"x": torch.from_numpy(windows.clip(-limit, limit)), "y": torch.from_numpy(labels.astype(np.int64))}
    return Rows(fields, torch.arange(people).repeat_interleave(rows_per_person))


def _window(source: np.random.Generator, exercise: Exercise, bend: Array, turn: Array) -> Array:
    """One synthetic window, (6, samples); `bend` and `turn`: the person's habit for forearm and dial."""
    time_s = np.arange(SAMPLES + 1) / RATE_HZ
    repetition = time_s / source.uniform(*exercise.period_s) + source.uniform()
    reach = _reach(source, repetition) * source.uniform(0.7, 1.1)
    ends = [_unit(np.array(end) + bend + source.normal(0, 0.08, 3)) for end in exercise.forearm]
    forearm = ends[0] * (1 - reach) + ends[1] * reach + 0.5 * reach * (1 - reach) * _unit(ends[0] + ends[1])
    if exercise.circle_deg:
        forearm = ends[0] + math.tan(math.radians(exercise.circle_deg)) * _circle(source, repetition)
    dials = [_unit(np.array(end) + turn + source.normal(0, 0.1, 3)) for end in exercise.dial]
    frames = _frames(_unit(forearm), dials[0] * (1 - reach) + dials[1] * reach)
    elbow = reach * np.array(exercise.pull_m) * source.uniform(0.6, 1.2)
    signal = _felt(frames, elbow + (0.6 if exercise.circle_deg else 0.3) * frames[:, 0])
    # On the right arm everything is mirrored, and the watch's first axis points to the elbow.
    mirror = [1, 1, 1, 1, 1, 1] if source.uniform() < 0.5 else [-1, 1, 1, 1, -1, -1]
    tremble = _smooth(source.normal(0, 1, (6, SAMPLES + 20)), 21) * np.repeat([0.04, 0.15], 3)[:, None]
    grain = source.normal(0, 1, (6, SAMPLES)) * np.repeat([0.02, 0.04], 3)[:, None]
    heard: Array = signal * np.array(mirror)[:, None] + tremble + grain
    return heard


def _reach(source: np.random.Generator, repetition: Array) -> Array:
    """How far along the movement, 0 to 1, with a tempo and a pause of its own, (samples + 1, 1)."""
    turn, pause, place = source.uniform(0.35, 0.65), source.uniform(0, 0.4), repetition % 1
    line = np.where(place < turn, place / turn, (1 - place) / (1 - turn)) * (1 + pause)
    eased = (1 - np.cos(np.pi * line.clip(0, 1))) / 2
    window = np.hanning(9) / np.hanning(9).sum()
    smooth: Array = np.convolve(np.pad(eased, 4, mode="edge"), window, "valid")
    return smooth[:, None]


def _circle(source: np.random.Generator, repetition: Array) -> Array:
    """A flat ellipse around the origin, (samples + 1, 3)."""
    angle, narrow, lag = 2 * np.pi * repetition, source.uniform(-1, 1), source.uniform()
    path = np.stack([np.cos(angle), narrow * np.sin(angle + lag), 0 * angle], axis=-1)
    size = float(source.uniform(0.5, 1.5))
    bent: Array = size * path
    return bent


def _frames(forearm: Array, dial: Array) -> Array:
    """Rotation from body to watch over time, (samples + 1, 3, 3): rows along, across, out of the dial."""
    out = _unit(dial - (forearm * dial).sum(-1, keepdims=True) * forearm)
    return np.stack([forearm, np.cross(out, forearm), out], axis=1)


def _felt(frames: Array, wrist_m: Array) -> Array:
    """What the watch reports, (6, samples): gravity less the wrist's acceleration in g, angular rate in rad/s."""
    moving = np.gradient(np.gradient(wrist_m, axis=0), axis=0) * RATE_HZ**2 / 9.80665
    force = np.einsum("tij,tj->ti", frames, np.array([0.0, 0.0, -1.0]) - moving)[:-1]
    turn = np.einsum("tij,tkj->tik", frames[:-1], frames[1:]) * RATE_HZ / 2
    rate = np.stack([turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], 1)
    return np.concatenate([force, rate], axis=1).T


def _unit(vectors: Array) -> Array:
    """Vectors scaled to length one along the last axis."""
    length: Array = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return vectors / length


def _smooth(noise: Array, width: int) -> Array:
    """White noise made slow, still of variance one, (axes, samples + width - 1) -> (axes, samples)."""
    window = np.hanning(width) / np.sqrt(np.square(np.hanning(width)).sum())
    return np.stack([np.convolve(axis, window, "valid") for axis in noise])


WORKLOAD = Workload(
    name="exercise_recognition",
    version=1,
    title="Recognise seven shoulder exercises from a wrist watch",
    schema=SCHEMA,
    phases=(Phase("classify", reads_people=True, trains=("cnn.", "head."), loss=_loss),),
    initial=initial,
    scores=scores,
    person_scores=("correct",),
    summary=summary,
    headline="accuracy",
    higher_is_better=True,
    invent=invent,
)
