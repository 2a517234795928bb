"""Synthetic wrist recordings of shoulder exercises, from the geometry of a moving forearm.

Written from textbook descriptions of the exercises, not fitted to anybody's recordings. The body's axes are forward,
left, up; the watch's are along the forearm, across it, out of the dial. A left arm is the mirror image of a right one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from federation.schema import Rows

Array = npt.NDArray[np.float64]
SAMPLES, RATE_HZ = 200, 50.0


@dataclass(frozen=True)
class Exercise:
    """One repetition: the forearm's direction at both ends (forward, left, up) and how the dial is turned.

    `dial`: where the dial points at rest. `circle`: degrees of a circular swing instead of a sweep.
    `lift_m`: how far the wrist travels along the forearm. `period_s`: seconds of one repetition.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    dial: tuple[float, float, float]
    circle: float = 0.0
    lift_m: float = 0.0
    period_s: tuple[float, float] = (1.8, 3.5)


EXERCISES = (
    Exercise((0.0, 0.0, -1.0), (0.1, -0.1, -1.0), (0.2, -1.0, 0.0), circle=18.0, period_s=(1.2, 2.2)),
    Exercise((0.0, -0.1, -1.0), (0.1, -1.0, 0.4), (0.0, -1.0, 0.1)),
    Exercise((0.0, -0.1, -1.0), (1.0, -0.1, 0.6), (0.3, -1.0, 0.0)),
    Exercise((1.0, -0.7, 0.0), (0.4, 1.0, 0.0), (0.0, -1.0, 0.3)),
    Exercise((0.6, 0.9, 0.0), (0.8, -0.9, 0.0), (0.3, -0.7, 0.3)),
    Exercise((1.0, -0.1, 0.2), (0.1, -0.3, -1.0), (0.0, -0.4, 1.0)),
    Exercise((0.1, 0.0, -1.0), (0.4, -0.1, -1.0), (0.1, -1.0, 0.0), lift_m=0.3),
)
"""In the order of the workload's classes."""


def _unit(vectors: Array) -> Array:
    """Vectors scaled to length one along the last axis."""
    length: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    shortest = 1e-9
    result: Array = vectors / np.maximum(length, shortest)
    return result


def _progress(source: np.random.Generator, exercise: Exercise) -> Array:
    """Phase angle of the repetitions over time, (samples,), with a tempo of its own."""
    period = source.uniform(*exercise.period_s)
    return 2 * np.pi * (np.arange(SAMPLES + 1) / RATE_HZ / period + source.uniform())


def _forearm(source: np.random.Generator, exercise: Exercise, style: Array) -> Array:
    """Direction of the forearm over time, (samples + 1, 3)."""
    angle = _progress(source, exercise)
    start, end = (_unit(np.array(point) + style) for point in (exercise.start, exercise.end))
    if exercise.circle:
        size = np.tan(np.radians(exercise.circle)) * source.uniform(0.6, 1.4)
        return _unit(start + size * np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1))
    reach = (1 - np.cos(angle))[:, None] / 2 * source.uniform(0.8, 1.1)
    middle = _unit(start + end)
    return _unit((1 - reach) ** 2 * start + 2 * reach * (1 - reach) * middle + reach**2 * end)


def _frames(forearm: Array, dial: Array) -> Array:
    """Rotation from body to watch over time, (samples + 1, 3, 3): rows along, across, out of the dial."""
    out = _unit(dial - (forearm @ dial)[:, None] * forearm)
    return np.stack([forearm, np.cross(out, forearm), out], axis=1)


def _watch(frames: Array, lift: Array) -> Array:
    """What the watch feels, (6, samples): gravity and the wrist's acceleration in g, angular rate in rad/s."""
    position = 0.5 * frames[:, 0] + lift[:, None] * np.array([0.2, 0.0, 1.0])
    moving = np.gradient(np.gradient(position, axis=0), axis=0) * RATE_HZ**2 / 9.80665
    felt = np.einsum("tij,tj->ti", frames, np.array([0.0, 0.0, -1.0]) - moving)[:-1]
    turn = np.einsum("tij,tkj->tik", frames[:-1], frames[1:]) * RATE_HZ
    rate = np.stack([turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], 1)
    return np.concatenate([felt, rate / 2], axis=1).T


def _window(source: np.random.Generator, label: int, style: Array) -> Array:
    """One synthetic window of class `label`, (6, samples)."""
    exercise = EXERCISES[label]
    left = source.uniform() < 0.5
    forearm = _forearm(source, exercise, style[label] + source.normal(0, 0.08, 3))
    frames = _frames(forearm, np.array(exercise.dial) + style[-1] + source.normal(0, 0.1, 3))
    lift = exercise.lift_m * (1 - np.cos(_progress(source, exercise))) / 2
    signal = _watch(frames, lift)
    if left:
        signal = signal * np.array([1, -1, 1, -1, 1, -1])[:, None]
    return signal + source.normal(0, 1, signal.shape) * np.repeat([0.03, 0.06], 3)[:, None]


def invent(seed: int, people: int, rows_per_person: int) -> Rows:
    """Synthetic windows of people 0 … people-1, classes in equal shares, each person with a style of their own."""
    source = np.random.default_rng(seed)
    windows, labels = [], []
    for _ in range(people):
        style = source.normal(0, 0.15, (len(EXERCISES) + 1, 3))
        for row in range(rows_per_person):
            labels.append(row % len(EXERCISES))
            windows.append(_window(source, labels[-1], style))
    x = np.array(windows, dtype=np.float32).reshape(-1, 6, SAMPLES)
    x = x.clip(np.repeat([-8, -35], 3)[:, None], np.repeat([8, 35], 3)[:, None])
    return Rows(
        {"x": torch.from_numpy(x.astype(np.float32)), "y": torch.tensor(labels, dtype=torch.int64)},
        torch.arange(people).repeat_interleave(rows_per_person),
    )
