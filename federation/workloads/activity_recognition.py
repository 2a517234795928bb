"""What a person does in daily life, from 1 s of a wrist watch: sit, stand up, walk, turn, sit down.

The model is the one of `exercise_recognition`, whose convolutions and statistics fit windows of any length, with an
output for each activity. Rows are windows of 50 samples at 50 Hz with 6 axes, as there.
"""

import numpy as np
import numpy.typing as npt
import torch

from federation.schema import Rows, RowSchema, Target, Window
from federation.workload import Workload
from federation.workloads import exercise_recognition as exercise

CLASSES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
"""After the recordings of Matey-Sanz, Casteleyn and Granell 2023, "Dataset of inertial measurements of smartphones
and smartwatches for human activity recognition"."""

SAMPLES, RATE_HZ = 50, 50.0
SCHEMA = RowSchema(
    columns=exercise.SCHEMA.columns,
    target=Target("activity", "", classes=CLASSES),
    window=Window(samples=SAMPLES, hop=25, rate_hz=RATE_HZ),
)
OUTPUTS = ("cnn.out", "head")
SEATED, STANDING_UP, WALKING, TURNING, SITTING_DOWN = range(len(CLASSES))


def initial(seed: int) -> dict[str, torch.Tensor]:
    """The layers of `exercise_recognition`, with outputs of zero for these classes."""
    weights = exercise.initial(seed)
    for name in OUTPUTS:
        inputs = weights[f"{name}.weight"].shape[0]
        weights[f"{name}.weight"] = torch.zeros(inputs, len(CLASSES))
        weights[f"{name}.bias"] = torch.zeros(len(CLASSES))
    return weights


def invent(seed: int, people: int, rows_per_person: int) -> Rows:
    """Synthetic windows of people 0 … people-1, classes in equal shares, each person with a way of wearing a watch."""
    source = np.random.default_rng(seed)
    windows = np.zeros((people * rows_per_person, 6, SAMPLES), dtype=np.float32)
    labels = np.tile(np.arange(rows_per_person) % len(CLASSES), people)
    for person in range(people):
        worn, pace_hz = _turned(source.normal(0, 0.25, 3)), source.uniform(0.8, 1.1)
        for row in range(person * rows_per_person, (person + 1) * rows_per_person):
            windows[row] = _window(source, int(labels[row]), worn, pace_hz)
    fields = {"x": torch.from_numpy(windows.clip(-8, 8)), "y": torch.from_numpy(labels.astype(np.int64))}
    return Rows(fields, torch.arange(people).repeat_interleave(rows_per_person))


Array = npt.NDArray[np.float64]


def _window(source: np.random.Generator, activity: int, worn: Array, pace_hz: float) -> Array:
    """One synthetic window, (6, samples): what the arm feels and how it turns, seen from a watch that is `worn` so.

    Hanging, the watch's first axis points down; on the lap it lies level. Rising and sitting down lead from one to the
    other; walking swings the arm once in two steps and shakes with each; turning is a rate about the upright.
    """
    time_s = (np.arange(SAMPLES) - SAMPLES / 2) / RATE_HZ
    hanging = {SEATED: 0.0, WALKING: 1.0, TURNING: 1.0}.get(activity)
    slope = source.uniform(2.5, 5.0) * (1 if activity == STANDING_UP else -1)
    share = 1 / (1 + np.exp(-slope * (time_s - source.uniform(-0.3, 0.3)))) if hanging is None else hanging + 0 * time_s
    angle = share * np.pi / 2 + source.normal(0, 0.15)
    moving = hanging is None
    swing = source.uniform(0.3, 0.6) * np.sin(2 * np.pi * (pace_hz * time_s + source.uniform()))
    step = 0.25 * np.cos(4 * np.pi * (pace_hz * time_s + source.uniform()))
    walks, turns = float(activity == WALKING), float(activity == TURNING)
    lift = moving * source.uniform(0.1, 0.3) * np.gradient(share) * RATE_HZ
    down = 1 + walks * step + lift
    tilt = angle + walks * swing
    force = np.stack([-np.sin(tilt) * down, 0.1 * walks * step, -np.cos(tilt) * down])
    yaw = turns * source.choice([-1.0, 1.0]) * source.uniform(1.5, 3.0) * np.exp(-((time_s / 0.5) ** 2))
    rate = np.stack([yaw * np.sin(tilt), np.gradient(tilt) * RATE_HZ, yaw * np.cos(tilt)])
    grain = source.normal(0, 1, (6, SAMPLES)) * np.repeat([0.03, 0.08], 3)[:, None]
    felt: Array = np.concatenate([worn @ force, worn @ rate]) + grain
    return felt


def _turned(angles: Array) -> Array:
    """A rotation about each axis in turn, (3, 3)."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = [index for index in range(3) if index != axis]
        step = np.eye(3)
        step[one, one] = step[other, other] = np.cos(angle)
        step[one, other], step[other, one] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn


WORKLOAD = Workload(
    name="activity_recognition",
    version=1,
    title="Recognise five activities of daily life from a watch",
    schema=SCHEMA,
    phases=exercise.WORKLOAD.phases,
    initial=initial,
    scores=exercise.scores,
    person_scores=exercise.WORKLOAD.person_scores,
    summary=exercise.summary,
    headline="accuracy",
    higher_is_better=True,
    invent=invent,
)
