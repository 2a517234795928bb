"""Bounding what one person can change: sampling, clipping, summing (with Opacus).

Rows of `updates` are people (DESIGN §7): whatever a person's data made of their update, it moves the sum by at most
`clip` in L2 norm. How many people there were, and how many rows were zeroed or clipped, is told to nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass
from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from privacy.errors import BoundError, TermsError
from privacy.noise import RandomSource, uniform

LOWEST_CLIP: Final = 1e-9
HIGHEST_CLIP: Final = 1e9
_SEAL: Final = object()
_HIGHEST_PEAK: Final = 1e3
_BLOCK_VALUES: Final = 2**18  # 2 MB in float64: fits the cache, and needs no fresh pages from the system


@dataclass(frozen=True, eq=False)
class Bounded:
    """A sum of clipped updates, not yet noised: `vector` float64 (parameters,). It never leaves the process.

    Only `bound`, `empty` and `combine` make one. Its ``repr`` shows sizes only, and it can be neither copied nor
    pickled.
    """

    vector: npt.NDArray[np.float64]
    clip: float
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise BoundError("a Bounded value was made by hand; expected one made by privacy.person_level.bound().")
        self.vector.setflags(write=False)

    def __repr__(self) -> str:
        return f"Bounded({self.vector.size} parameters, clip {self.clip:g})"

    def __reduce__(self) -> NoReturn:
        raise BoundError("a Bounded value holds un-noised sums of people's updates; it is not copied or pickled.")


def sample(people: npt.NDArray[np.int64], rate: float, source: RandomSource) -> npt.NDArray[np.int64]:
    """Each of `people` with probability `rate`, independently (Poisson); none is left out to fill or cut a batch.

    Shuffling is no substitute: the accountant's amplification holds for independent draws only.
    """
    if people.ndim != 1 or people.dtype != np.int64:
        raise BoundError(f"found people of {people.dtype} {people.shape}; expected int64 person numbers in one row.")
    if np.unique(people).size != people.size:
        raise BoundError("a person stands twice in the list to sample from; expected each once. Pass unique numbers.")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
        raise TermsError(f"found sampling rate {rate!r}; expected a probability above 0 and at most 1.")
    return people[uniform(people.size, source) < rate]


def bound(updates: torch.Tensor, clip: float) -> Bounded:
    """The sum of the rows of `updates`, float (people, parameters), each scaled to an L2 norm of at most `clip`.

    A row with any value that is not finite counts as zero: otherwise a model could answer NaN exactly when some
    person takes part, and no noise hides a NaN. Done in float64 and in units of the clip, so that no norm overflows
    and rounding lifts none above the clip.
    """
    from opacus.optimizers import DPOptimizer  # here, because it takes as long as torch itself to import

    check_updates(updates)
    check_clip(clip)
    total = torch.nn.Parameter(torch.zeros(updates.shape[1], dtype=torch.float64))
    # Opacus sums what it clips; its own noise and step() stay unused, noise is privacy.noise's (DESIGN §7).
    optimizer = DPOptimizer(
        _holder_of(total),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=None,
        loss_reduction="sum",
    )
    for rows in _in_units_of(clip, updates, _BLOCK_VALUES // updates.shape[1]):
        total.grad_sample = rows  # type: ignore[attr-defined]
        optimizer.clip_and_accumulate()  # type: ignore[no-untyped-call]
    return Bounded(total.summed_grad.numpy() * clip, float(clip), _SEAL)  # type: ignore[attr-defined]


def _holder_of(total: torch.nn.Parameter) -> torch.optim.Optimizer:
    """An optimizer that only holds `total`: the constructor would import torch's compiler, 1.4 s of every process."""
    holder = torch.optim.SGD.__new__(torch.optim.SGD)
    holder.param_groups = [{"params": [total]}]
    return holder


def empty(parameters: int, clip: float) -> Bounded:
    """The sum over nobody: an empty sample is noised and sent like any other."""
    if isinstance(parameters, bool) or not isinstance(parameters, int) or parameters < 1:
        raise BoundError(f"found {parameters!r} parameters; expected a whole number of at least 1.")
    check_clip(clip)
    return Bounded(np.zeros(parameters), float(clip), _SEAL)


def combine(parts: Sequence[Bounded]) -> Bounded:
    """The sum of `parts`, which were bounded by one clip and hold different people: the caller's promise."""
    if not parts or any(not isinstance(part, Bounded) for part in parts):
        raise BoundError("found nothing, or values that are not Bounded; expected at least one Bounded value.")
    first = parts[0]
    if any(part.clip != first.clip or part.vector.shape != first.vector.shape for part in parts):
        raise BoundError(
            f"found sums of different kinds: {sorted({repr(part) for part in parts})}; expected one clip and one size. "
            "Bound all people of a round with the same terms."
        )
    return Bounded(np.sum([part.vector for part in parts], axis=0), first.clip, _SEAL)


def clipped(updates: torch.Tensor, clip: float, people_at_once: int) -> Iterator[npt.NDArray[np.float64]]:
    """What `bound` sums, row by row, in units of the clip: blocks of at most `people_at_once` rows of an L2 norm ≤ 1.

    For `privacy.fixed_point`, which rounds every person's vector before it sums; both arguments were checked.
    """
    for rows in _in_units_of(clip, updates, people_at_once):
        yield rows.div_(rows.norm(dim=1, keepdim=True).clamp_(min=1.0)).numpy()


def _in_units_of(clip: float, updates: torch.Tensor, people_at_once: int) -> Iterator[torch.Tensor]:
    """Blocks of rows over the clip, in float64; at least one block, even of nobody."""
    for rows in torch.split(updates.detach().cpu(), max(1, people_at_once)):
        peak = rows.abs().amax(dim=1).double()
        finite = torch.isfinite(peak)
        # A row that peaks above 1,000 clips is scaled to that first: its norm, squared on the way, cannot overflow,
        # and clipping it gives the same direction.
        scale = torch.where(finite, torch.clamp(_HIGHEST_PEAK / peak, max=1 / clip), 0.0)
        # Not `rows * scale`: NaN times zero is NaN.
        known = rows if bool(finite.all()) else torch.where(finite[:, None], rows, 0.0)
        yield known.to(torch.float64, copy=True).mul_(scale[:, None])


def check_updates(updates: torch.Tensor) -> None:
    """Raise `BoundError` unless `updates` is float (people, parameters)."""
    if not isinstance(updates, torch.Tensor) or updates.dtype not in {torch.float32, torch.float64}:
        kind = updates.dtype if isinstance(updates, torch.Tensor) else type(updates).__name__
        raise BoundError(f"found updates of type {kind}; expected a float32 or float64 tensor, one row per person.")
    if updates.ndim != 2 or updates.shape[1] == 0:
        raise BoundError(
            f"found updates of shape {tuple(updates.shape[1:])} per person; expected one flat vector each."
        )


def check_clip(clip: float) -> None:
    """Raise `TermsError` unless `clip` is a sensible norm."""
    if isinstance(clip, bool) or not isinstance(clip, int | float) or not LOWEST_CLIP <= clip <= HIGHEST_CLIP:
        raise TermsError(
            f"found clip C = {clip!r}; expected a number from {LOWEST_CLIP:g} to {HIGHEST_CLIP:g}. "
            "Write the largest L2 norm that one person's update may have, such as 1.0."
        )
