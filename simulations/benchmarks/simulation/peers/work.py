"""The work of the comparison for programs that know no paceline: models as torch modules, people's rows, local terms.

Runs inside of each peer's own environment; imports torch and numpy only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

HIDDEN, PATCH, WIDTH, HEADS = 32, 8, 32, 2
CLASSES, LEARNING_RATE = 6, 0.05


@dataclass(frozen=True)
class Work:
    """What each sampled person computes: `steps` SGD steps of `batch` rows each, over own rows of shape `x_shape`."""

    name: str
    x_shape: tuple[int, ...]
    classes: int
    steps: int
    batch: int

    @property
    def rows(self) -> int:
        """Rows of each person."""
        return self.steps * self.batch


WORKS = {
    work.name: work
    for work in (
        Work("convolutional", (6, 128), CLASSES, steps=5, batch=10),
        Work("recurrent", (6, 128), CLASSES, steps=5, batch=10),
        Work("attentive", (6, 128), CLASSES, steps=5, batch=10),
        Work("trivial", (4,), 2, steps=1, batch=10),
    )
}


class Recurrent(nn.Module):
    """A GRU over time whose last state is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, 6, 128) -> (rows, 6)."""
        logits: torch.Tensor = self.out(self.gru(x.transpose(1, 2))[0][:, -1])
        return logits


class Attentive(nn.Module):
    """One pre-norm transformer block over patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Linear(6 * PATCH, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(128 // PATCH, WIDTH))
        self.block = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, 0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, 6, 128) -> (rows, 6)."""
        patches = x.reshape(len(x), x.shape[1], -1, PATCH).transpose(1, 2).flatten(2)
        logits: torch.Tensor = self.out(self.block(self.patch(patches) + self.place).mean(1))
        return logits


def module(name: str) -> nn.Module:
    """The model called `name`, freshly initialised from torch's own generator."""
    if name == "convolutional":
        first = [nn.Conv1d(6, 32, 5, padding=2), nn.ReLU(), nn.MaxPool1d(4)]
        second = [nn.Conv1d(32, 64, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten()]
        return nn.Sequential(*first, *second, nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    if name == "trivial":
        return nn.Linear(4, 2)
    return Recurrent() if name == "recurrent" else Attentive()


def write(folder: Path, work: Work, people: int) -> None:
    """Save the rows of `people` different people for `read`; the same bytes every time."""
    source = np.random.default_rng(7)
    y = source.integers(0, work.classes, (people, work.rows))
    x = source.standard_normal((people, work.rows, *work.x_shape), dtype=np.float32)
    x += 0.3 * y.reshape(people, work.rows, *[1] * len(work.x_shape)).astype(np.float32)
    np.save(folder / f"{work.name}-x.npy", x)
    np.save(folder / f"{work.name}-y.npy", y)


def read(folder: Path, work: Work) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (people, rows, …) and labels (people, rows) of the different people; registered ones share them in turn."""
    x, y = (np.load(folder / f"{work.name}-{part}.npy", mmap_mode="c") for part in ("x", "y"))
    return torch.from_numpy(x), torch.from_numpy(y)


def train(model: nn.Module, work: Work, x: torch.Tensor, y: torch.Tensor) -> None:
    """One person's local training: SGD over own rows in order, as every program of the comparison does it."""
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    for first in range(0, work.rows, work.batch):
        batch = slice(first, first + work.batch)
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(x[batch]), y[batch]))
        optimizer.step()
