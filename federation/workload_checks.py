"""The contract that every installed workload keeps, as functions that raise `WorkloadError` where one does not.

``paceline workload check NAME`` runs them all; so does the test suite for the closed list.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch.func import grad, vmap

from federation import schema
from federation.errors import PacelineError, SchemaError, WorkloadError
from federation.schema import Rows
from federation.workload import Phase, Weights, Workload, flatten, merge, trained_names

Fields = Mapping[str, torch.Tensor]
SEED = 20_260_101
LEARNING_RATES = (0.3, 0.1, 0.03, 0.01, 0.001)


@dataclass(frozen=True)
class Verdict:
    """One line of the contract for one workload; `problem` is empty where it holds."""

    promise: str
    problem: str

    @property
    def holds(self) -> bool:
        """Whether the workload keeps this promise."""
        return not self.problem


def judge(workload: Workload) -> tuple[Verdict, ...]:
    """Every line of the contract with its verdict; never raises for a workload's fault."""
    return tuple(Verdict(promise, _problem(check, workload)) for promise, check in CONTRACT.items())


def require(workload: Workload) -> None:
    """Raise `WorkloadError` that lists every broken promise."""
    broken = [f"{verdict.promise}: {verdict.problem}" for verdict in judge(workload) if not verdict.holds]
    if broken:
        raise WorkloadError(f"workload {workload.name} breaks its contract:\n  " + "\n  ".join(broken))


def invented_rows_fit_the_schema(workload: Workload) -> None:
    """`invent` gives every person their rows, in the schema's shape and plausible range, the same for a seed."""
    rows = workload.invent(SEED, 5, 8)
    schema.check(rows, workload.schema)
    if torch.bincount(rows.person).tolist() != [8] * 5:
        raise WorkloadError("invent(seed, 5, 8) must give 8 rows to each of the people 0 to 4.")
    again = workload.invent(SEED, 5, 8)
    if any(not torch.equal(tensor, again.fields[name]) for name, tensor in rows.fields.items()):
        raise WorkloadError("invent gave other rows for the same seed; draw from a generator made from the seed.")
    _require_plausible(workload, rows)


def loss_of_a_row_depends_on_that_row_alone(workload: Workload) -> None:
    """The cross-row Jacobian is exactly zero, and other rows may be replaced without any change.

    The second check also sees what a Jacobian cannot: integers, ranks and detached statistics.
    """
    rows, weights = _typical(workload, people=6, rows_per_person=2)
    other = workload.invent(SEED + 1, 1, 1).take(torch.zeros(len(rows), dtype=torch.int64))
    for phase in workload.phases:
        losses = _losses(phase, weights, rows.fields)
        for name, tensor in rows.fields.items():
            if tensor.is_floating_point():
                _require_diagonal(phase, weights, rows.fields, name)
        for row in (0, len(rows) - 1):
            mixed = {name: _with_row(other.fields[name], tensor, row) for name, tensor in rows.fields.items()}
            if not torch.equal(_losses(phase, weights, mixed)[row], losses[row]):
                raise WorkloadError(f"phase {phase.name}: the loss of a row changes when other rows are replaced.")


def same_seed_gives_the_same_weights(workload: Workload) -> None:
    """`initial` is a function of its seed, bit by bit, and does not touch the global generator."""
    first = workload.initial(SEED)
    state = torch.get_rng_state()
    second = workload.initial(SEED)
    if first.keys() != second.keys() or any(not torch.equal(first[name], second[name]) for name in first):
        raise WorkloadError("initial gave other weights for the same seed.")
    if not torch.equal(state, torch.get_rng_state()):
        raise WorkloadError("initial draws from torch's global generator; make a torch.Generator from the seed.")


def weights_are_float32(workload: Workload) -> None:
    """Every weight is a finite float32 tensor, and every phase trains at least one."""
    weights = workload.initial(SEED)
    wrong = [name for name, tensor in weights.items() if tensor.dtype is not torch.float32]
    if wrong:
        raise WorkloadError(f"these weights are not float32: {', '.join(wrong)}.")
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise WorkloadError("initial gave weights that are not finite.")
    for phase in workload.phases:
        trained_names(weights, phase)


def phases_keep_apart(workload: Workload) -> None:
    """Phases have names of their own, one reads people, and what the others move is nothing that people's updates move.

    An update from nobody's rows is not clipped: on shared weights it would overrule people's.
    """
    names = [phase.name for phase in workload.phases]
    if len(set(names)) != len(names):
        raise WorkloadError(f"two phases have the same name: {', '.join(names)}.")
    if not any(phase.reads_people for phase in workload.phases):
        raise WorkloadError("no phase reads people's rows; there is nothing to learn together.")
    weights = workload.initial(SEED)
    moved = {phase: set(trained_names(weights, phase)) for phase in workload.phases}
    for own, other in product((p for p in moved if not p.reads_people), (p for p in moved if p.reads_people)):
        if both := sorted(moved[own] & moved[other]):
            raise WorkloadError(f"phases {own.name} and {other.name} both move {', '.join(both)}; only one may.")


def scores_merge_as_sums(workload: Workload) -> None:
    """Scores of all rows are the sums of the scores of parts, and hold ``rows`` and the headline."""
    rows, weights = _typical(workload, people=6, rows_per_person=5)
    whole = workload.scores(weights, rows)
    parts = merge([workload.scores(weights, rows.take(part)) for part in torch.arange(len(rows)).tensor_split(4)])
    if whole.get("rows") != float(len(rows)):
        raise WorkloadError(f"scores must hold rows = {len(rows)}, not {whole.get('rows')}.")
    apart = [key for key in whole if not math.isclose(whole[key], parts.get(key, math.nan), rel_tol=1e-4, abs_tol=1e-4)]
    if apart or set(whole) != set(parts):
        raise WorkloadError(f"scores are not sums over rows: {', '.join(apart) or 'keys differ'}.")
    if workload.headline not in workload.summary(whole):
        raise WorkloadError(f"summary does not hold the headline {workload.headline}.")


def person_scores_lie_between_zero_and_one(workload: Workload) -> None:
    """Each of `person_scores` over a person's rows lies in [0, 1], and the headline can be told from them alone."""
    rows, weights = _typical(workload, people=4, rows_per_person=3)
    if not workload.person_scores:
        raise WorkloadError("person_scores is empty: noised scores could not be released.")
    for person in range(4):
        own = workload.scores(weights, rows.of(torch.tensor([person])))
        for key in workload.person_scores:
            if not 0 <= own.get(key, math.nan) / own["rows"] <= 1:
                raise WorkloadError(f"person score {key} over rows is {own.get(key)} / {own['rows']}, not in [0, 1].")
    told = {"rows": 2.0} | dict.fromkeys(workload.person_scores, 1.0)
    if workload.headline not in workload.summary(told):
        raise WorkloadError(f"summary cannot tell {workload.headline} from rows and person_scores alone.")


def loss_falls_when_trained(workload: Workload) -> None:
    """Gradient steps on invented rows lower the mean loss of every phase, at one of a few learning rates."""
    rows, weights = _typical(workload, people=6, rows_per_person=7)
    for phase in workload.phases:
        before = float(_losses(phase, weights, rows.fields).mean())
        after = min(_trained_loss(phase, weights, rows.fields, rate) for rate in LEARNING_RATES)
        if not after < before - 1e-3 * abs(before):
            raise WorkloadError(f"phase {phase.name}: the loss went from {before:.4g} to {after:.4g}, it must fall.")


def gradients_can_be_taken_per_person(workload: Workload) -> None:
    """``vmap(grad(loss))`` over people gives what one person after the other gives."""
    people, own = 3, 4
    rows, weights = _typical(workload, people, own)
    stacked = {name: tensor.reshape(people, own, *tensor.shape[1:]) for name, tensor in rows.fields.items()}
    for phase in workload.phases:
        names = trained_names(weights, phase)
        slope = grad(_mean_loss(phase, weights))
        moved = {name: weights[name] for name in names}
        together = vmap(slope, in_dims=(None, 0))(moved, stacked)
        for person in range(people):
            alone = slope(moved, {name: tensor[person] for name, tensor in stacked.items()})
            if any(not torch.allclose(together[name][person], alone[name], rtol=1e-3, atol=1e-5) for name in names):
                raise WorkloadError(f"phase {phase.name}: gradients under vmap differ from those of one person.")


def people_trained_together_stay_apart(workload: Workload) -> None:
    """`together`, where a phase has one, is `loss` person by person; a person of nothing but NaN spoils nobody else.

    NaN outlives every sum and product, so whatever reached a neighbour would show.
    """
    people, own = 3, 4
    rows, weights = _typical(workload, people, own)
    fields = {name: tensor.reshape(people, own, *tensor.shape[1:]) for name, tensor in rows.fields.items()}
    stacked = {name: tensor.expand(people, *tensor.shape).clone() for name, tensor in weights.items()}
    for phase in (phase for phase in workload.phases if phase.together is not None):
        names = trained_names(weights, phase)
        spoilt = [_slopes_together(phase, _spoil(stacked, who), _spoil(fields, who), names) for who in (0, people - 1)]
        for person in range(people):
            alone = {name: tensor[person] for name, tensor in fields.items()}
            slopes = grad(_mean_loss(phase, weights))({name: weights[name] for name in names}, alone)
            found = spoilt[person == 0]  # the one in which another is spoilt
            if any(not torch.allclose(found[name][person], slopes[name], rtol=1e-3, atol=1e-5) for name in names):
                raise WorkloadError(
                    f"phase {phase.name}: `together` gives other slopes than `loss` for a person, or mixes people. "
                    "Leave it out, or keep the people's dimension apart in every operation."
                )


CONTRACT: dict[str, Callable[[Workload], None]] = {
    "invented rows fit the schema": invented_rows_fit_the_schema,
    "the loss of a row depends on that row alone": loss_of_a_row_depends_on_that_row_alone,
    "the same seed gives the same weights": same_seed_gives_the_same_weights,
    "weights are float32": weights_are_float32,
    "phases keep apart": phases_keep_apart,
    "scores merge as sums": scores_merge_as_sums,
    "person scores lie between 0 and 1": person_scores_lie_between_zero_and_one,
    "the loss falls when trained": loss_falls_when_trained,
    "gradients can be taken per person": gradients_can_be_taken_per_person,
    "people trained together stay apart": people_trained_together_stay_apart,
}
"""Every promise with the check of it, in the order in which they are shown."""


def _problem(check: Callable[[Workload], None], workload: Workload) -> str:
    """What `check` complains of, or nothing. Any exception is a workload's fault here: it runs foreign code."""
    try:
        check(workload)
    except PacelineError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _typical(workload: Workload, people: int, rows_per_person: int) -> tuple[Rows, dict[str, torch.Tensor]]:
    """Invented rows, and weights a little away from the initial ones (a head of zeros hides dependences)."""
    source = torch.Generator().manual_seed(SEED)
    weights = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=source)
        for name, tensor in workload.initial(SEED).items()
    }
    return workload.invent(SEED, people, rows_per_person), weights


def _losses(phase: Phase, weights: Weights, fields: Fields) -> torch.Tensor:
    """Loss per row, after checking that it is float32 (rows,)."""
    losses = phase.loss(weights, fields, SEED)
    rows = len(next(iter(fields.values())))
    if losses.shape != (rows,) or losses.dtype is not torch.float32:
        raise WorkloadError(f"phase {phase.name}: loss is {losses.dtype} {tuple(losses.shape)}, not float32 ({rows},).")
    return losses


def _require_diagonal(phase: Phase, weights: Weights, fields: Fields, name: str) -> None:
    """The Jacobian of losses by `fields[name]` is exactly zero between different rows."""

    def losses(values: torch.Tensor) -> torch.Tensor:
        return phase.loss(weights, {**fields, name: values}, SEED)

    jacobian = torch.autograd.functional.jacobian(losses, fields[name])  # type: ignore[no-untyped-call]
    strength = jacobian.abs().flatten(2).sum(-1) if jacobian.dim() > 2 else jacobian.abs()
    if (strength - torch.diag(strength.diagonal())).any():
        raise WorkloadError(
            f"phase {phase.name}: the loss of a row depends on {name} of other rows. "
            "Use nothing that is computed over the batch (no batch normalisation, no batch means)."
        )


def _with_row(others: torch.Tensor, own: torch.Tensor, row: int) -> torch.Tensor:
    """`others` with the row at `row` taken from `own`."""
    mixed = others.clone()
    mixed[row] = own[row]
    return mixed


def _mean_loss(phase: Phase, weights: Weights) -> Callable[[Weights, Fields], torch.Tensor]:
    """Mean loss as a function of the moved weights."""
    return lambda moved, fields: phase.loss({**weights, **moved}, fields, SEED).mean()


def _spoil(parts: Mapping[str, torch.Tensor], person: int) -> dict[str, torch.Tensor]:
    """A copy of `parts`, each (people, …), in which all numbers of one person are NaN."""
    spoilt = {name: tensor.clone() for name, tensor in parts.items()}
    for tensor in spoilt.values():
        if tensor.is_floating_point():
            tensor[person] = math.nan
    return spoilt


def _slopes_together(phase: Phase, stacked: Weights, fields: Fields, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """What `phase.together` says of the slope of everybody's mean loss by their own weights."""
    assert phase.together is not None  # noqa: S101 - narrows the type; the caller looked
    leaves = {name: stacked[name].requires_grad_() for name in names}
    losses = phase.together({**stacked, **leaves}, fields, SEED)
    return dict(zip(names, torch.autograd.grad(losses.mean(1).sum(), list(leaves.values())), strict=True))


def _trained_loss(phase: Phase, weights: Weights, fields: Fields, learning_rate: float) -> float:
    """Mean loss after twenty plain gradient steps; infinity where they diverged."""
    names = trained_names(weights, phase)
    moved, slope = {name: weights[name] for name in names}, grad(_mean_loss(phase, weights))
    for _ in range(20):
        slopes = slope(moved, fields)
        moved = {name: moved[name] - learning_rate * slopes[name] for name in names}
    loss = float(_losses(phase, {**weights, **moved}, fields).mean())
    finite = math.isfinite(loss) and bool(torch.isfinite(torch.from_numpy(flatten(moved, names))).all())
    return loss if finite else math.inf


def _require_plausible(workload: Workload, rows: Rows) -> None:
    """Invented values lie in the ranges that the schema calls plausible."""
    x = rows.fields["x"]
    for place, column in enumerate(workload.schema.columns):
        low, high = float(x[:, place].min()), float(x[:, place].max())
        if low < column.low or high > column.high:
            raise SchemaError(
                f"invented {column.name} spans {low:.4g} to {high:.4g} {column.unit}, "
                f"but the schema calls {column.low:g} to {column.high:g} plausible."
            )
