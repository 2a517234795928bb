"""Local training: what a person's rows, or a party's rows, would change in the round's weights.

Nothing leaves these functions but update vectors. Random numbers are public (from the task's seed): they pick rows
for each person from that person's number alone, so that nobody's presence changes what is picked for others.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.func import vmap

from federation.errors import WorkloadError
from federation.manifest import TrainingTerms
from federation.schema import Rows
from federation.workload import Phase, Weights, Workload

CHUNK_BYTES = 64 * 2**20
"""About how much memory one chunk of people's updates may take."""

CHUNK_ROWS = 1024
"""How many rows one chunk may hold."""

Indices = npt.NDArray[np.int64]


def person_updates(  # noqa: PLR0913, PLR0917 - the whole of a local step, plain values only
    workload: Workload,
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    rows: Rows,
    training: TrainingTerms,
    rows_per_person: int,
    seed: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One update per person of `rows`, in chunks: people int64 (n,), updates float32 (n, parameters).

    A person takes `training.local_steps` gradient steps from the round's weights, each over the same rows: all of
    the person's, or `rows_per_person` picked at random. An update is local minus round weights, `names` in sorted
    order. Nobody in `rows`: no chunk.
    """
    _require_sendable(workload, phase, names)
    people, index, real = picked(rows.person.numpy(), rows_per_person, seed)
    names = sorted(names)
    chunk = _chunk(weights, names, real.shape[1])
    for start in range(0, len(people), chunk):
        part = slice(start, start + chunk)
        fields = {name: tensor[torch.from_numpy(index[part])] for name, tensor in rows.fields.items()}
        mask = torch.from_numpy(real[part])
        yield torch.from_numpy(people[part]), _updates(phase, weights, names, fields, mask, (training, seed))


def person_updates_plain(  # noqa: PLR0913, PLR0917 - same arguments as `person_updates`
    workload: Workload,
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    rows: Rows,
    training: TrainingTerms,
    rows_per_person: int,
    seed: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What `person_updates` means, person by person; the reference in tests."""
    _require_sendable(workload, phase, names)
    for person, index, real in zip(*picked(rows.person.numpy(), rows_per_person, seed), strict=True):
        own = rows.take(torch.from_numpy(index[real]))
        local = dict(weights)
        for step in range(training.local_steps):
            local = _step(phase, local, names, own.fields, training.learning_rate, seed + step)
        yield torch.tensor([person]), _difference(local, weights, names)[None]


def party_update(  # noqa: PLR0913, PLR0917 - same arguments as `person_updates`
    workload: Workload,
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    rows: Rows,
    training: TrainingTerms,
    seed: int,
) -> torch.Tensor:
    """Classic federated averaging without privacy: `local_epochs` of SGD over the party's rows, (parameters,).

    Equal seeds give equal updates. No rows: no change.
    """
    _require_sendable(workload, phase, names)
    order, local = torch.Generator().manual_seed(seed), dict(weights)
    for epoch in range(training.local_epochs):
        shuffled = torch.randperm(len(rows), generator=order)
        for start in range(0, len(rows), training.batch_rows):
            batch = shuffled[start : start + training.batch_rows]
            draw = (seed + 1_000_003 * (epoch * len(rows) + start)) % 2**31
            local = _step(phase, local, names, rows.take(batch).fields, training.learning_rate, draw)
    return _difference(local, weights, names)


def picked(person: Indices, rows_per_person: int, seed: int) -> tuple[Indices, Indices, npt.NDArray[np.bool_]]:
    """People (n,), the rows picked for each (n, K), and which of these are real rather than padding (n, K).

    Each row gets a pseudo-random key from (seed, person, its place among the person's rows); the smallest keys win.
    K is the largest number of rows that anybody here has, at most `rows_per_person`; padding repeats an own row.
    """
    people, owner, counts = np.unique(person, return_inverse=True, return_counts=True)
    order = np.argsort(owner, kind="stable")
    starts = np.cumsum(counts) - counts
    place = np.arange(len(person)) - np.repeat(starts, counts)
    order = order[np.lexsort((_keys(person[order], place, seed), owner[order]))]
    width = min(rows_per_person, int(counts.max(initial=0)))
    real = np.arange(width)[None, :] < counts[:, None]
    return people, order[starts[:, None] + np.where(real, np.arange(width)[None, :], 0)], real


def _keys(person: Indices, place: Indices, seed: int) -> npt.NDArray[np.uint64]:
    """Pseudo-random numbers from (seed, person, place): SplitMix64's finaliser (Steele et al. 2014), chained."""
    state = np.full(len(person), seed % 2**64, dtype=np.uint64)
    for word in (person, place):
        state = state + word.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def _require_sendable(workload: Workload, phase: Phase, names: Sequence[str]) -> None:
    """Stop an update of weights that the phase may not move, or that stay home: it would leave the node."""
    foreign = [name for name in names if not name.startswith(phase.trains) or name.startswith(workload.stays_home)]
    if foreign:
        raise WorkloadError(
            f"phase {phase.name} of {workload.name} may not send {', '.join(foreign)}; "
            f"it trains {', '.join(phase.trains)}. Correct `trains` in the task."
        )


def _chunk(weights: Weights, names: Sequence[str], rows: int) -> int:
    """How many people of `rows` rows each are trained at once."""
    parameters = sum(weights[name].numel() for name in names)
    return max(1, min(CHUNK_BYTES // (4 * parameters), CHUNK_ROWS // max(rows, 1)))


def _updates(
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    fields: Mapping[str, torch.Tensor],
    real: torch.Tensor,
    terms: tuple[TrainingTerms, int],
) -> torch.Tensor:
    """Updates of a chunk, (people, parameters), from fields (people, K, …) and the mask `real` (people, K)."""
    training, seed = terms
    fixed = {name: tensor.detach() for name, tensor in weights.items() if name not in names}
    share = real / real.sum(dim=1, keepdim=True)

    def loss(moved: Weights, own: Mapping[str, torch.Tensor], share: torch.Tensor, seed: int) -> torch.Tensor:
        return (phase.loss({**fixed, **moved}, own, seed) * share).sum()

    # Each person moves a copy of the weights, so the slope of the sum of their losses holds each one's own. The plain
    # backward pass over the batched forward one is a quarter faster than vmap(grad), which adds up out of place.
    losses = vmap(loss, in_dims=(0, 0, 0, None))

    def moves(local: dict[str, torch.Tensor], step: int) -> torch.Tensor:
        leaves = [tensor.requires_grad_() for tensor in local.values()]
        slopes = torch.autograd.grad(losses(local, fields, share, seed + step).sum(), leaves)
        return torch.cat([slope.flatten(1) for slope in slopes], dim=1).mul_(-training.learning_rate)

    start = {name: weights[name].detach() for name in names}
    updates = moves({name: tensor.expand(len(real), *tensor.shape) for name, tensor in start.items()}, 0)
    for step in range(1, training.local_steps):
        parts = torch.split(updates, [tensor.numel() for tensor in start.values()], dim=1)
        moved = zip(start.items(), parts, strict=True)
        updates += moves({name: tensor + part.view(-1, *tensor.shape) for (name, tensor), part in moved}, step)
    return updates


def _step(
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    fields: Mapping[str, torch.Tensor],
    learning_rate: float,
    seed: int,
) -> dict[str, torch.Tensor]:
    """`weights` after one step of SGD on the mean loss of `fields`."""
    moved = {name: weights[name].detach().requires_grad_() for name in names}
    loss = phase.loss({**weights, **moved}, fields, seed).mean()
    slopes = torch.autograd.grad(loss, list(moved.values()))
    steps = zip(names, slopes, strict=True)
    return {**weights, **{name: weights[name].detach() - learning_rate * slope for name, slope in steps}}


def _difference(local: Weights, weights: Weights, names: Sequence[str]) -> torch.Tensor:
    """Local minus round weights, `names` in sorted order, (parameters,)."""
    return torch.cat([(local[name] - weights[name]).detach().flatten() for name in sorted(names)])
