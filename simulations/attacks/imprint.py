"""Weights that a hostile coordinator sends so that one window can be read off the update of whoever trained on it.

The architecture is that of `exercise_recognition`, untouched; only the numbers are chosen (as in Fowl et al. 2022 and
Boenisch et al. 2023). The first convolution hands the signal on, four samples and six axes at a time. Each filter of
the second is a random direction whose maximum over time lies at one place, and its gradient is what lies there: 28
samples, exact. Places overlap by twelve samples, by which the pieces are put together.
"""

from collections.abc import Sequence

import numpy as np
import torch

from federation.workload import Vector, Weights, unflatten
from federation.workloads import exercise_recognition
from simulations.attacks.measures import Floats

AXES, STEP, PLACES = 6, 4, 13
PIECE, STRIDE, OVERLAP = 28, 16, 12
"""Samples that a filter of the second convolution sees, how far apart its places are, how much neighbours share."""

_LIFT, _ALWAYS_ON = 4.0, 8.0
_CONSTANT = AXES * STEP
_SPREAD, _LEAST_SPREAD = 0.15, 0.05
_ALIKE = 0.05
_Chain = list[Floats]


def weights(seed: int) -> dict[str, torch.Tensor]:
    """All weights of the model, those of the convolutions chosen."""
    source, made = torch.Generator().manual_seed(seed), exercise_recognition.initial(seed)
    (_, _, channels, taps, _), (_, _, filters, reach, _) = exercise_recognition.LAYERS
    first, lift = torch.zeros(taps, AXES, channels), torch.zeros(channels)
    for channel in range(_CONSTANT):
        first[taps // 2 + channel // AXES, channel % AXES, channel] = 1.0
    lift[:_CONSTANT], lift[_CONSTANT] = _LIFT, 1.0
    second = torch.zeros(reach, channels, filters)
    looks = _looks(torch.randn(reach * _CONSTANT, filters, generator=source), seed).reshape(reach, _CONSTANT, filters)
    second[:, :_CONSTANT] = looks - looks.mean(dim=1, keepdim=True)  # blind to the lift: padding is no maximum
    second[:, :_CONSTANT, :2] = 0.0
    second[0, _CONSTANT, 0] = second[-1, _CONSTANT, 1] = -1.0  # the first two filters look for the padding
    out = torch.zeros(2 * filters, len(exercise_recognition.CLASSES))
    out[filters:] = 0.1 * torch.randn(filters, out.shape[1], generator=source)  # of the maxima, not of the means
    chosen = {
        "cnn.1.weight": first.flatten(0, 1),
        "cnn.1.bias": lift,
        "cnn.2.weight": second.flatten(0, 1),
        "cnn.2.bias": torch.full((filters,), _ALWAYS_ON),
        "cnn.out.weight": out,
        "cnn.out.bias": -_ALWAYS_ON * out.sum(dim=0),
    }
    return made | chosen


def _looks(directions: torch.Tensor, seed: int) -> torch.Tensor:
    """Random `directions` (samples × axes, filters) in which made-up pieces spread alike, so that every place is some
    filter's maximum, and not only the places of large movements.
    """
    windows = exercise_recognition.invent(seed, 12, len(exercise_recognition.CLASSES)).fields["x"]
    scaled = windows / windows.new_tensor(exercise_recognition.SCALE)[:, None]
    pieces = scaled.unfold(2, PIECE, STRIDE).permute(0, 2, 3, 1).flatten(2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(torch.cov(pieces.T))
    looks: torch.Tensor = vectors @ (directions / (values.clamp(min=0) + _LEAST_SPREAD**2).sqrt()[:, None])
    return _SPREAD * looks


def read(update: Vector, sent: Weights, names: Sequence[str]) -> Floats:
    """The window in `update`, (6, 200) in the workload's units, as well as it can be read; no value is implausible."""
    first, last, *middle = _pieces(update, sent, names)
    chains = _chains([first, *_unlike(middle, [first, last]), last])
    ordered = _in_order(chains, first, last)
    limits = np.array([[column.low, column.high] for column in exercise_recognition.SCHEMA.columns])
    window = _laid_out(ordered) * np.array(exercise_recognition.SCALE)[:, None]
    plausible: Floats = np.clip(window, limits[:, :1], limits[:, 1:])
    return plausible


def _pieces(update: Vector, sent: Weights, names: Sequence[str]) -> Floats:
    """What each filter saw, (filters, 28, 6): its slope over the slope of its bias."""
    moved = unflatten(update.astype(np.float32), sent, names)
    slope, scale = moved["cnn.2.weight"].double().numpy(), moved["cnn.2.bias"].double().numpy()
    (_, _, channels, _, _), (_, _, filters, reach, _) = exercise_recognition.LAYERS
    seen = (slope / np.where(scale == 0, 1.0, scale)).reshape(reach, channels, filters)
    lifted = _LIFT * seen[:, _CONSTANT : _CONSTANT + 1]
    found: Floats = (seen[:, :_CONSTANT] - lifted).transpose(2, 0, 1).reshape(filters, PIECE, AXES)
    return found


def _unlike(pieces: Sequence[Floats], known: Sequence[Floats]) -> list[Floats]:
    """`pieces` without repetitions and without those that are `known`."""
    found: list[Floats] = []
    for piece in pieces:
        if not any(np.abs(piece - other).max() < _ALIKE for other in (*known, *found)):
            found.append(piece)
    return found


def _chains(pieces: Sequence[Floats]) -> list[_Chain]:
    """Pieces joined where the end of one is the beginning of another."""
    follows: dict[int, int] = {}
    for number, piece in enumerate(pieces):
        misfits = [np.abs(piece[STRIDE:] - other[:OVERLAP]).max() for other in pieces]
        misfits[number] = np.inf
        best = int(np.argmin(misfits))
        if misfits[best] < _ALIKE and best not in follows.values():
            follows[number] = best
    chains = []
    for head in set(range(len(pieces))) - set(follows.values()):
        chain = [head]
        while chain[-1] in follows and len(chain) < PLACES:
            chain.append(follows[chain[-1]])
        chains.append([pieces[number] for number in chain])
    return chains


def _in_order(chains: list[_Chain], first: Floats, last: Floats) -> list[_Chain]:
    """The chain of the `first` piece, then always the one that goes on most smoothly; that of the `last` one last."""
    ordered = [chain for chain in chains if chain[0] is first]
    rest = [chain for chain in chains if chain[0] is not first and chain[-1] is not last]
    while rest:
        end = ordered[-1][-1]
        going = end[-1] + (STEP + 1) * (end[-1] - end[-2])
        nearest = min(range(len(rest)), key=lambda number: float(np.abs(rest[number][0][0] - going).sum()))
        ordered.append(rest.pop(nearest))
    return ordered + [chain for chain in chains if chain[0] is not first and chain[-1] is last]


def _laid_out(chains: Sequence[_Chain]) -> Floats:
    """The pieces at their places, one place left out between chains; gaps are filled in straight lines, (6, 200).

    The last chain ends at the window's end.
    """
    samples = exercise_recognition.SAMPLES
    canvas, place = np.full((PLACES * STRIDE + PIECE, AXES), np.nan), 0
    for number, chain in enumerate(chains):
        if number and number == len(chains) - 1:
            place = PLACES - len(chain)
        for piece in chain[: max(0, PLACES - place)]:
            start = place * STRIDE  # the canvas begins OVERLAP samples before the window
            canvas[start : start + PIECE] = piece
            place += 1
        place += 1
    window = canvas[OVERLAP : OVERLAP + samples]
    grid, known = np.arange(samples), np.isfinite(window[:, 0])
    return np.stack([np.interp(grid, grid[known], window[known, axis]) for axis in range(AXES)])
