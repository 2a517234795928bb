"""Local training: what a person's rows, or a party's rows, would change in the round's weights.

Nothing leaves these functions but update vectors. Random numbers are public (from the task's seed): they pick rows
for each person from that person's number alone, so that nobody's presence changes what is picked for others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch.func import vmap

from clients.parallel import in_order
from federation.errors import WorkloadError
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import Loss, Phase, Weights, Workload

CHUNK_BYTES = 64 * 2**20
"""About how much memory one chunk of people's updates may take."""

CHUNK_VALUES = 2**20
"""How many numbers of rows one step of a chunk may read; a row of few counts as 256, since a model widens it."""

CHUNK_WORK = 2**18
"""People × rows × parameters of a step below which a second thread costs more than it brings."""

Indices = npt.NDArray[np.int64]
Batch = tuple[dict[str, torch.Tensor], torch.Tensor]
"""What a step of a chunk reads: fields (people, rows, …), and the weight of each row in its person's loss."""
Losses = Callable[[Sequence[torch.Tensor], Mapping[str, torch.Tensor], int], torch.Tensor]
"""Of each person's own weights, rows and a seed: (people, rows)."""
Slopes = Callable[[Sequence[torch.Tensor], Mapping[str, torch.Tensor], torch.Tensor, int], Sequence[torch.Tensor]]


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

    A person takes `training.local_steps` gradient steps from the round's weights. The person's rows are all of them,
    or `rows_per_person` picked at random; a step reads them all, or `training.step_rows` of them in turn. An update
    is local minus round weights, `names` in sorted order. Nobody in `rows`: no chunk.

    As many chunks are trained at once as torch may use threads; they come in the order of the people.
    """
    _require_sendable(workload, phase, names)
    people, index, real = picked(rows.person.numpy(), rows_per_person, seed)
    names, threads = sorted(names), torch.get_num_threads()

    def trained(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        batches = _batches(rows.fields, index[part], real[part].sum(axis=1), training)
        return torch.from_numpy(people[part]), _updates(phase, weights, names, batches, training, seed)

    step = _step_rows(training, real.shape[1])
    size = min(_chunk(rows, step), _share(weights, names, step, -(-len(people) // threads)))
    parts = [slice(start, start + size) for start in range(0, len(people), size)]
    yield from in_order([partial(trained, part) for part in parts], threads)


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
    start = {name: weights[name].detach() for name in names}
    for person, index, real in zip(*picked(rows.person.numpy(), rows_per_person, seed), strict=True):
        own, local = index[real], dict(weights)
        size = _step_rows(training, len(own))
        for step in range(training.local_steps):
            turn = rows.take(torch.from_numpy(own[(step * training.step_rows + np.arange(size)) % len(own)]))
            local = _step(phase, local, start, turn.fields, training, seed + step)
        yield torch.tensor([person]), _difference(local, weights, names)[None]


def party_update(  # noqa: PLR0913, PLR0917 - same arguments as `person_updates`
    workload: Workload,
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    rows: Rows,
    training: TrainingTerms,
    seed: int,
    correction: torch.Tensor | None = None,
) -> torch.Tensor:
    """Classic federated averaging without privacy: `local_epochs` of SGD over the party's rows, (parameters,).

    Equal seeds give equal updates. No rows: no change. `correction` (parameters,) is added to every slope.
    """
    _require_sendable(workload, phase, names)
    order, local = torch.Generator().manual_seed(seed), dict(weights)
    start = {name: weights[name].detach() for name in names}
    shared = {} if correction is None else _as_weights(correction, start)
    for epoch in range(training.local_epochs):
        shuffled = torch.randperm(len(rows), generator=order)
        for first in range(0, len(rows), training.batch_rows):
            batch = shuffled[first : first + training.batch_rows]
            draw = (seed + 1_000_003 * (epoch * len(rows) + first)) % 2**31
            local = _step(phase, local, start, rows.take(batch).fields, training, draw)
            local |= {name: local[name] - training.learning_rate * part for name, part in shared.items()}
    return _difference(local, weights, names)


def party_steps(rows: int, training: TrainingTerms) -> int:
    """How many steps `party_update` takes over so many rows."""
    return training.local_epochs * -(-rows // training.batch_rows)


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
    """Stop an update of weights that the phase may not move: it would leave the node."""
    foreign = [name for name in names if not name.startswith(phase.trains)]
    if foreign:
        raise WorkloadError(
            f"phase {phase.name} of {workload.name} may not send {', '.join(foreign)}; "
            f"it trains {', '.join(phase.trains)}. Correct `trains` in the task."
        )


def _step_rows(training: TrainingTerms, rows: int) -> int:
    """How many of a person's `rows` one step reads."""
    return min(training.step_rows or rows, rows)


def _chunk(rows: Rows, step_rows: int) -> int:
    """How many people a chunk may hold for the rows that it reads."""
    values = sum(tensor[:1].numel() for tensor in rows.fields.values())
    return max(1, CHUNK_VALUES // (max(values, 256) * max(step_rows, 1)))


def _share(weights: Weights, names: Sequence[str], step_rows: int, equal: int) -> int:
    """How many people a chunk may hold for their parameters: an `equal` share for each thread if that is worth it."""
    parameters = sum(weights[name].numel() for name in names)
    worth = CHUNK_WORK // (max(step_rows, 1) * parameters)
    return max(1, min(CHUNK_BYTES // (4 * parameters), max(equal, worth)))


def _batches(
    fields: Mapping[str, torch.Tensor], index: Indices, counts: Indices, training: TrainingTerms
) -> Iterator[Batch]:
    """What each local step reads of a chunk's rows `index` (people, K), of which the first `counts` are real.

    A person with fewer rows than a step reads gives each once; what pads them weighs nothing.
    """
    place = np.arange(_step_rows(training, index.shape[1]))
    real = torch.from_numpy(place < counts[:, None])
    share = real / real.sum(dim=1, keepdim=True)
    own: dict[str, torch.Tensor] = {}
    for step in range(training.local_steps):
        if training.step_rows or not own:
            turn = np.take_along_axis(index, (step * training.step_rows + place) % counts[:, None], axis=1)
            own = {name: tensor[torch.from_numpy(turn)] for name, tensor in fields.items()}
        yield own, share


def _updates(
    phase: Phase,
    weights: Weights,
    names: Sequence[str],
    batches: Iterator[Batch],
    training: TrainingTerms,
    seed: int,
) -> torch.Tensor:
    """Updates of a chunk, (people, parameters), after a step on each of `batches`."""
    start = [weights[name].detach() for name in names]
    slopes = _slopes(phase, {name: tensor.detach() for name, tensor in weights.items() if name not in names}, names)
    moved: list[torch.Tensor] = []
    for step, (own, share) in enumerate(batches):
        if step == 0:
            local = [tensor.expand(len(share), *tensor.shape) for tensor in start]
            moved = [slope * -training.learning_rate for slope in slopes(local, own, share, seed)]
            continue
        local = [tensor + update for tensor, update in zip(start, moved, strict=True)]
        for update, slope in zip(moved, slopes(local, own, share, seed + step), strict=True):
            pulled = torch.add(slope, update, alpha=training.proximal) if training.proximal else slope
            update.add_(pulled, alpha=-training.learning_rate)
    return torch.cat([update.flatten(1) for update in moved], dim=1)


def _slopes(phase: Phase, fixed: Weights, names: Sequence[str]) -> Slopes:
    """A function of each person's own weights, rows, their shares and a seed: the gradients of their losses.

    Each person moves a copy of the weights, so the slope of the sum of their losses holds each one's own. The plain
    backward pass over the batched forward one is a quarter faster than vmap(grad), which adds up out of place.
    """

    losses = _together(phase.together, fixed, names) if phase.together else _vmapped(phase.loss, fixed, names)

    def slopes(
        local: Sequence[torch.Tensor], own: Mapping[str, torch.Tensor], share: torch.Tensor, seed: int
    ) -> Sequence[torch.Tensor]:
        leaves = [tensor.requires_grad_() for tensor in local]
        return torch.autograd.grad((losses(leaves, own, seed) * share).sum(), leaves)

    return slopes


def _vmapped(loss: Loss, fixed: Weights, names: Sequence[str]) -> Losses:
    """`loss` for many people whose `names` are their own and who share the `fixed` weights."""

    def one(moved: Sequence[torch.Tensor], own: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
        return loss({**fixed, **dict(zip(names, moved, strict=True))}, own, seed)

    vmapped: Losses = vmap(one, in_dims=(0, 0, None))
    return vmapped


def _together(loss: Loss, fixed: Weights, names: Sequence[str]) -> Losses:
    """The same where `loss` is written for many people: the `fixed` weights are seen by each, not copied."""

    def all_of_them(moved: Sequence[torch.Tensor], own: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
        people = len(moved[0])
        seen = {name: tensor.expand(people, *tensor.shape) for name, tensor in fixed.items()}
        return loss({**seen, **dict(zip(names, moved, strict=True))}, own, seed)

    return all_of_them


def _step(
    phase: Phase,
    weights: Weights,
    start: Weights,
    fields: Mapping[str, torch.Tensor],
    training: TrainingTerms,
    seed: int,
) -> dict[str, torch.Tensor]:
    """`weights` after one step of SGD on the mean loss of `fields`; those of `start`, the round's, move."""
    moved = {name: weights[name].detach().requires_grad_() for name in start}
    loss = phase.loss({**weights, **moved}, fields, seed).mean()
    slopes = torch.autograd.grad(loss, list(moved.values()))
    stepped = dict(weights)
    for (name, before), slope in zip(start.items(), slopes, strict=True):
        own = weights[name].detach()
        pull = training.proximal * (own - before) if training.proximal else 0.0
        stepped[name] = own - training.learning_rate * (slope + pull)
    return stepped


def _as_weights(vector: torch.Tensor, like: Weights) -> dict[str, torch.Tensor]:
    """`vector` (parameters,), names in sorted order, in the shapes of `like`."""
    names = sorted(like)
    parts = torch.split(vector, [like[name].numel() for name in names])
    return {name: part.view_as(like[name]).to(like[name]) for name, part in zip(names, parts, strict=True)}


def _difference(local: Weights, weights: Weights, names: Sequence[str]) -> torch.Tensor:
    """Local minus round weights, `names` in sorted order, (parameters,)."""
    return torch.cat([(local[name] - weights[name]).detach().flatten() for name in sorted(names)])
