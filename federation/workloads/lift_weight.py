"""Which weight a lifter pulls in the deadlift, from squat, bench press and build: a small log-quadratic regression.

One row per competition entry; a lifter may have many. Strength is multiplicative, so the model adds up logarithms:
25 numbers on products of four fixed quantities. All constants are public round figures that a coach would name, not
measured on anybody's rows.
"""

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from federation.schema import Column, Rows, RowSchema, Target
from federation.workload import Phase, Scores, Weights, Workload

EQUIPMENT = ("Raw", "Wraps", "Single-ply", "Multi-ply")
"""What supports the lifter, from nothing to a suit of several layers; a row holds the place in this list."""

_FAILED = "negative values are failed attempts: leave such entries out"
SCHEMA = RowSchema(
    columns=(
        Column("female", "0 or 1", 0.0, 1.0, "1 for women, 0 for men; other codes need a mapping"),
        Column("age", "years, 0: not told", 0.0, 100.0, "values above 100 suggest a year of birth"),
        Column("bodyweight", "kg", 20.0, 300.0, min_spread=1.0),
        Column("equipment", "0 to 3", 0.0, 3.0, "0 raw, 1 wraps, 2 single-ply, 3 multi-ply; words need a mapping"),
        Column("squat", "kg", 5.0, 600.0, _FAILED, min_spread=1.0),
        Column("bench", "kg", 5.0, 500.0, _FAILED, min_spread=1.0),
    ),
    target=Target("deadlift", "kg", low=5.0, high=550.0),
)
LOG_CENTRE, LOG_SPREAD, SPREAD_KG = 5.3, 0.3, 60.0
"""A deadlift of 200 kg, give or take a third: what the middle of any competition's list looks like."""

ERROR_CAP_KG = 100.0
"""Errors above count as this much in the clipped score of a person."""

NUMBERS = 25


def initial(seed: int) -> dict[str, torch.Tensor]:
    """All zero: everybody pulls 200 kg. `seed` changes nothing."""
    del seed
    return {"head.weight": torch.zeros(NUMBERS)}


def features(x: torch.Tensor) -> torch.Tensor:
    """(rows, 6) -> (rows, 25), each of order one: per equipment 3, squares and products 7, sex 4, age 2."""
    female, age, bodyweight, equipment, squat, bench = x.unbind(-1)
    strength, lean, heavy = _build(bodyweight, squat, bench)
    worn = (equipment.round()[..., None] == x.new_tensor(range(len(EQUIPMENT)))).to(x.dtype)
    per_equipment = [worn * part[..., None] for part in (torch.ones_like(strength), strength, lean)]
    squares = [(part * part - 1) / 1.4 for part in (strength, lean, heavy)]
    products = [strength * lean, strength * heavy, lean * heavy]
    sex = 2 * female - 0.5
    told = (age > 0).to(x.dtype)
    ages = [told * ((23 - age) / 9).clamp(0, 1), told * ((age - 40) / 30).clamp(0, 1)]
    others = [heavy, *squares, *products, sex, sex * strength, sex * lean, sex * heavy, *ages]
    return torch.cat([*per_equipment, torch.stack(others, dim=-1)], dim=-1)


def _build(
    bodyweight: torch.Tensor, squat: torch.Tensor, bench: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How strong, how much more in the squat than on the bench, how heavy for that strength: three numbers near 0."""
    squat_log, bench_log = squat.clamp(min=1).log(), bench.clamp(min=1).log()
    strength = (squat_log + bench_log) / 2 - 5.0
    heavy = bodyweight.clamp(min=1).log() - 4.4 - 0.35 * strength
    parts = (strength / 0.4, (squat_log - bench_log - 0.4) / 0.2, heavy / 0.2)
    return parts[0].clamp(-3, 3), parts[1].clamp(-3, 3), parts[2].clamp(-3, 3)


def predict(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Deadlift in kg, (rows, 6) -> (rows,); between 7 and 1,100 kg whatever the weights."""
    return (LOG_CENTRE + LOG_SPREAD * (features(x) @ weights["head.weight"])).clamp(2, 7).exp()


def _loss(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Huber loss per row in units of the public spread: the absolute error, rounded near zero."""
    del seed
    error = (predict(weights, fields["x"]) - fields["y"]) / SPREAD_KG
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.3)


def scores(weights: Weights, rows: Rows) -> dict[str, float]:
    """Sums over rows: how many, absolute and squared error in kg, what R² needs, errors clipped to the public cap."""
    target = rows.fields["y"].double()
    with torch.no_grad():
        error = (predict(weights, rows.fields["x"]).double() - target).abs()
    return {
        "rows": float(len(rows)),
        "absolute_error": float(error.sum()),
        "squared_error": float(error.square().sum()),
        "target": float(target.sum()),
        "squared_target": float(target.square().sum()),
        "clipped_error": float((error / ERROR_CAP_KG).clamp(max=1).sum()),
    }


def summary(sums: Scores) -> dict[str, float]:
    """Mean absolute error in kg, from clipped errors where nothing else was told; R² where the rows differ."""
    rows = max(sums.get("rows", 0.0), 1.0)
    clipped = ERROR_CAP_KG * sums.get("clipped_error", 0.0)
    figures = {"mae_kg": sums.get("absolute_error", clipped) / rows}
    spread = sums.get("squared_target", 0.0) - sums.get("target", 0.0) ** 2 / rows
    return figures | ({"r2": 1 - sums["squared_error"] / spread} if spread > 1e-6 * rows else {})


def invent(seed: int, people: int, rows_per_person: int) -> Rows:
    """Synthetic lifters from rules of thumb: a man of 82 kg squats 135, benches 95 and pulls 165 kg without support.

    Women lift about two thirds of that, suits lend most on the bench, and a lifter has good and bad days.
    """
    source = torch.Generator().manual_seed(seed)
    female = (torch.rand(people, generator=source) < 0.3).float()
    bodyweight = (82 - 18 * female) * (0.22 * torch.randn(people, generator=source)).exp()
    told = (torch.rand(people, generator=source) < 0.5).float()
    age = told * (15 + 45 * torch.rand(people, generator=source) ** 1.5)
    equipment = torch.randint(0, len(EQUIPMENT), (people,), generator=source)
    talent = 0.18 + 0.22 * torch.randn(people, generator=source) + 0.6 * (bodyweight / (82 - 18 * female)).log()
    lifts = torch.tensor([135.0, 95.0, 165.0]).log() + talent[:, None] + 0.08 * torch.randn(people, 3, generator=source)
    lifts = lifts + female[:, None] * torch.tensor([0.64, 0.54, 0.68]).log() + _SUPPORT[equipment]
    repeat = torch.arange(people).repeat_interleave(rows_per_person)
    days = lifts[repeat] + 0.04 * torch.randn(len(repeat), 3, generator=source)
    squat, bench, deadlift = days.clamp(math.log(6), math.log(490)).exp().unbind(-1)
    others = [part[repeat] for part in (female, age, bodyweight.clamp(21, 290), equipment.float())]
    return Rows({"x": torch.stack([*others, squat, bench], dim=-1), "y": deadlift}, repeat)


_SUPPORT = torch.tensor([[1.0, 1.0, 1.0], [1.08, 1.0, 1.0], [1.2, 1.2, 1.06], [1.4, 1.4, 1.1]]).log()
"""How much of squat, bench and deadlift each kind of equipment lends, (equipment, 3)."""

WORKLOAD = Workload(
    name="lift_weight",
    version=1,
    title="Predict a lifter's deadlift from the other lifts",
    schema=SCHEMA,
    phases=(Phase("regress", reads_people=True, trains=("head.",), loss=_loss),),
    initial=initial,
    scores=scores,
    person_scores=("clipped_error",),
    summary=summary,
    headline="mae_kg",
    higher_is_better=False,
    invent=invent,
)
