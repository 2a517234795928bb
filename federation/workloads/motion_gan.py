"""Windows of a wrist watch that nobody wore: a small class-conditional GAN of shoulder exercises.

Two phases take turns. ``discriminator`` reads people's windows and learns to tell them from windows of the round's
generator; it is the only phase that costs anybody privacy. ``generator`` reads labels and random numbers of invented
rows and learns to pass for real; what it learns of people it learns from the discriminator alone, so under person-level
privacy it is post-processing (Augenstein et al. 2020, Alg. 1; Xie et al. 2018, DPGAN, §3).

Least-squares loss (Mao et al. 2017, eq. 9): bounded targets keep both players calm and no slope of a slope is needed,
as Wasserstein penalties would. The discriminator is linear in public features: 57 statistics of a window (``plain``)
and 96 fixed random waves over them (``bent``; Rahimi & Recht 2008), so that few numbers are trained on people and a
task may narrow them further (`trains = ["critic.plain", "generator."]`: 406 numbers drown in less noise than 1,078).

`scores` judges by TSTR (Esteban et al. 2017): a ridge classifier is fitted to generated windows and tested on people's.
"""

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from federation.schema import Rows
from federation.workload import Phase, Scores, Weights, Workload
from federation.workloads.exercise_recognition import CLASSES, SCALE, SCHEMA, invent, statistics

SAMPLES, AXES = 200, 6
NOISES, HIDDEN, CURVES = 16, 64, 32
"""Of the generator: random numbers per window, hidden units, cosines per axis (0 to 4 Hz)."""

BANDS = ((1, 3), (3, 5), (5, 9), (9, 17), (17, 33))
"""Of the statistics: cosines that are counted together, 0.125 Hz each."""

PLAIN, BENT = 57, 96
FAKE_SEED, FAKE_PER_CLASS, RIDGE = 20_170_801, 100, 0.3
"""Of the judging classifier: where its windows come from, how many, how much it is held back."""

_STEPS = torch.arange(SAMPLES) + 0.5
BASIS = torch.stack([torch.cos(math.pi * k * _STEPS / SAMPLES) for k in range(BANDS[-1][1])])
BASIS = BASIS * torch.tensor([1.0] + [math.sqrt(2)] * (len(BASIS) - 1))[:, None] / math.sqrt(SAMPLES)
"""Orthonormal slow cosines (DCT-II), (33, samples)."""

ENVELOPE = 0.4 * math.sqrt(SAMPLES) / (1 + torch.arange(CURVES) / 4)
"""How large each cosine of a movement is by order of magnitude."""

PAIRS = torch.triu_indices(AXES, AXES, 1)


def initial(seed: int) -> dict[str, torch.Tensor]:
    """Random curves and features; a discriminator that finds everything equally likely."""
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source)

    return {
        "generator.noise": normal(len(CLASSES), NOISES, HIDDEN) / math.sqrt(NOISES),
        "generator.noise_bias": normal(len(CLASSES), HIDDEN) / 2,
        "generator.curves": normal(HIDDEN, AXES * CURVES) / math.sqrt(HIDDEN),
        "generator.curves_bias": torch.zeros(len(CLASSES), AXES * CURVES),
        "generator.grain": torch.full((len(CLASSES), AXES), -3.0),
        "waves.weight": 1.5 * normal(PLAIN, BENT) / math.sqrt(PLAIN),
        "waves.bias": normal(BENT) / 2,
        "critic.plain": torch.zeros(len(CLASSES), PLAIN + 1),
        "critic.bent": torch.zeros(len(CLASSES), BENT),
    }


def generate(weights: Weights, y: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Windows (rows, 6, 200) of classes `y` (rows,) from uniform `noise` (rows, NOISES + 6 × 200) in [0, 1).

    Slow cosines from a network with a first layer for each class, and white grain of a learned size on each axis.
    """
    label, centred = _one_hot(y), math.sqrt(12) * (noise - 0.5)
    first = (label @ weights["generator.noise"].flatten(1)).reshape(*y.shape, NOISES, HIDDEN)
    hidden = (centred[..., None, :NOISES] @ first)[..., 0, :] + label @ weights["generator.noise_bias"]
    curves = functional.relu(hidden) @ weights["generator.curves"] + label @ weights["generator.curves_bias"]
    shaped = curves.reshape(*y.shape, AXES, CURVES) * ENVELOPE.to(y.device)
    white = centred[..., NOISES:].reshape(*y.shape, AXES, SAMPLES)
    grain = (label @ weights["generator.grain"]).exp()[..., None] * white
    return (shaped @ BASIS[:CURVES].to(y.device) + grain) * _scale(y)


def told(weights: Weights, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How real windows `x` of classes `y` look to the discriminator, (rows,): 1 is real, -1 is generated."""
    plain, label = features(x), _one_hot(y)
    bent = torch.tanh(plain @ weights["waves.weight"] + weights["waves.bias"])
    with_one = functional.pad(plain, (0, 1), value=1.0)
    seen = (with_one * (label @ weights["critic.plain"])).sum(-1) + (bent * (label @ weights["critic.bent"])).sum(-1)
    return seen / 3  # features have a squared length of about 100: steps of order 0.1 then neither crawl nor jump


def features(x: torch.Tensor) -> torch.Tensor:
    """57 public formulas of a window, brought to order one: posture, strength by band of time, how axes go together."""
    scaled = x / _scale(x)
    curves = scaled @ BASIS.T.to(x.device)
    energy = curves.square()
    bands = [energy[..., low:high].sum(-1) for low, high in BANDS]
    rest = (scaled.square().sum(-1) - energy.sum(-1)).clamp(min=0)
    strength = torch.stack([(band / SAMPLES + 1e-6).sqrt() for band in (*bands, rest)], dim=-1)
    moving = curves[..., 1:] / (energy[..., 1:].sum(-1, keepdim=True) + 0.1).sqrt()
    together = (moving[..., PAIRS[0], :] * moving[..., PAIRS[1], :]).sum(-1)
    posture = 2 * (curves[..., 0] / math.sqrt(SAMPLES)).clamp(-2, 2)
    return torch.cat([posture, ((strength + 0.2).log() + 1.5).flatten(-2), 1.5 * together], dim=-1)


def _discriminate(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Per row: how far its window is from being told as real, and one generated for it from being told as generated."""
    x, y = fields["x"], fields["y"]
    fake = generate(weights, y, _noise(x, seed)).detach()
    return ((told(weights, x, y) - 1).square() + (told(weights, fake, y) + 1).square()) / 2


def _deceive(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Per row: how far a window generated for its label is from being told as real."""
    y = fields["y"]
    return (told(weights, generate(weights, y, _noise(fields["x"], seed)), y) - 1).square() / 2


def _noise(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Uniform numbers for each row, (rows, NOISES + 6 × 200): a hash of the seed and three of the row's own values.

    No row depends on another, and nothing is summed, so that batches of any shape draw the same.
    """
    places = torch.arange(1, 1 + NOISES + AXES * SAMPLES, device=x.device, dtype=torch.float64)
    salt = ((places * 12.9898 + seed % 8191) % (2 * math.pi)).float()
    key = x[..., 0, 0] + 1.7 * x[..., 3, 77] + 2.3 * x[..., 5, 151]
    return torch.frac((key.detach()[..., None] * 78.233 + salt).sin().abs() * 43758.5453)


def _one_hot(y: torch.Tensor) -> torch.Tensor:
    return (y[..., None] == torch.arange(len(CLASSES), device=y.device)).float()


def _scale(like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(SCALE, device=like.device)[:, None]


def sample(weights: Weights, per_class: int, seed: int) -> Rows:
    """Generated windows, `per_class` of each class, as rows of one person who does not exist."""
    source = torch.Generator().manual_seed(seed)
    y = torch.arange(len(CLASSES)).repeat(per_class)
    noise = torch.rand(len(y), NOISES + AXES * SAMPLES, generator=source)
    with torch.no_grad():
        own = {name: tensor.cpu() for name, tensor in weights.items() if name.startswith("generator.")}
        return Rows({"x": generate(own, y, noise), "y": y}, torch.zeros(len(y), dtype=torch.int64))


def scores(weights: Weights, rows: Rows) -> dict[str, float]:
    """Sums over rows: how many, and how many a classifier fitted to generated windows names rightly (TSTR)."""
    correct = named_rightly(sample(weights, FAKE_PER_CLASS, FAKE_SEED), rows)
    return {"rows": float(len(rows)), "correct": float(correct)}


def named_rightly(shown: Rows, judged: Rows) -> int:
    """How many of `judged` a ridge classifier names rightly that was fitted to `shown`."""
    with torch.no_grad():
        found = functional.pad(statistics(judged.fields["x"].cpu()), (0, 1), value=1.0) @ _ridge(shown)
    return int((found.argmax(-1) == judged.fields["y"].cpu()).sum())


def _ridge(rows: Rows) -> torch.Tensor:
    """Weights (16, classes) of ridge regression from the 15 statistics of `exercise_recognition` and a one."""
    seen = functional.pad(statistics(rows.fields["x"]), (0, 1), value=1.0).double()
    gram = seen.T @ seen / len(rows) + RIDGE * torch.eye(seen.shape[1], dtype=torch.float64)
    target = _one_hot(rows.fields["y"]).double() - 1 / len(CLASSES)
    fitted: torch.Tensor = torch.linalg.solve(gram, seen.T @ target / len(rows))
    return fitted.float()


def summary(sums: Scores) -> dict[str, float]:
    """Accuracy on people of a classifier that saw generated windows only."""
    return {"tstr_accuracy": sums.get("correct", 0.0) / max(sums.get("rows", 0.0), 1.0)}


WORKLOAD = Workload(
    name="motion_gan",
    version=1,
    title="Generate wrist-watch windows of seven shoulder exercises",
    schema=SCHEMA,
    phases=(
        Phase("discriminator", reads_people=True, trains=("critic.",), loss=_discriminate),
        Phase("generator", reads_people=False, trains=("generator.",), loss=_deceive),
    ),
    initial=initial,
    scores=scores,
    person_scores=("correct",),
    summary=summary,
    headline="tstr_accuracy",
    higher_is_better=True,
    invent=invent,
)
