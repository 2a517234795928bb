"""Which pace a runner holds over ten miles, from age, sex and start position: a piecewise linear regression.

One row per person. All constants that bring numbers to order one are public and chosen beforehand, not measured on
anybody's rows.
"""

from collections.abc import Mapping

import torch
from torch.nn import functional

from federation.schema import Column, Rows, RowSchema, Target
from federation.workload import Phase, Scores, Weights, Workload

SCHEMA = RowSchema(
    columns=(
        Column("age", "years", 5.0, 110.0, "values above 110 suggest a year of birth", min_spread=1.0),
        Column("female", "0 or 1", 0.0, 1.0, "1 for women, 0 for men; other codes need a mapping"),
        Column("start_delay", "s", 0.0, 3600.0, "seconds from the gun to the runner's own start"),
    ),
    target=Target("pace", "s/km", low=120.0, high=1200.0),
)
AGE_KNOTS = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 75.0)
DELAY_KNOTS = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0, 600.0)
CENTRE_S_PER_KM, SPREAD_S_PER_KM = 345.0, 60.0
"""About 5:45 min/km, give or take a minute: what any running magazine prints for a popular race."""

ERROR_CAP_S_PER_KM = 240.0
"""Errors above count as this much in the clipped score of a person."""


def initial(seed: int) -> dict[str, torch.Tensor]:
    """All zero: everybody runs the centre pace. The problem is convex; `seed` changes nothing."""
    del seed
    return {"head.weight": torch.zeros(2 * len(AGE_KNOTS) + len(DELAY_KNOTS))}


def _hats(values: torch.Tensor, knots: tuple[float, ...]) -> torch.Tensor:
    """Weights of linear interpolation between `knots`, (rows,) -> (rows, knots); constant beyond the ends."""
    points = values.new_tensor(knots)
    inside = values.clamp(knots[0], knots[-1])[..., None]
    rising = (inside - points[:-1]) / (points[1:] - points[:-1])
    up = functional.pad(rising.clamp(0, 1), (1, 0), value=1.0)
    return up - functional.pad(up[..., 1:], (0, 1))


def predict(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Pace in s/km, (rows, 3) -> (rows,)."""
    age, female, delay = x.unbind(-1)
    ages = _hats(age, AGE_KNOTS)
    features = torch.cat(
        [ages * female[..., None], ages * (1 - female[..., None]), _hats(delay, DELAY_KNOTS)],
        dim=-1,
    )
    return CENTRE_S_PER_KM + SPREAD_S_PER_KM * (features @ weights["head.weight"])


def _loss(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Huber loss per row in units of the public spread: the absolute error, rounded near zero."""
    del seed
    error = (predict(weights, fields["x"]) - fields["y"]) / SPREAD_S_PER_KM
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.5)


def scores(weights: Weights, rows: Rows) -> dict[str, float]:
    """Sums over rows: how many, absolute and squared error in s/km, errors clipped to [0, 1] of the public cap."""
    with torch.no_grad():
        error = (predict(weights, rows.fields["x"]) - rows.fields["y"]).abs().double()
    return {
        "rows": float(len(rows)),
        "absolute_error": float(error.sum()),
        "squared_error": float(error.square().sum()),
        "clipped_error": float((error / ERROR_CAP_S_PER_KM).clamp(max=1).sum()),
    }


def summary(sums: Scores) -> dict[str, float]:
    """Mean absolute error in s/km, from clipped errors where nothing else was told; root mean squared error."""
    rows = max(sums.get("rows", 0.0), 1.0)
    clipped = ERROR_CAP_S_PER_KM * sums.get("clipped_error", 0.0)
    figures = {"mae_s_per_km": sums.get("absolute_error", clipped) / rows}
    return figures | ({"rmse_s_per_km": (sums["squared_error"] / rows) ** 0.5} if "squared_error" in sums else {})


def invent(seed: int, people: int, rows_per_person: int) -> Rows:
    """Synthetic runners: men faster than women, slower with age beyond 35 and towards the back of the start."""
    source = torch.Generator().manual_seed(seed)
    each = torch.stack([torch.rand(people, generator=source) for _ in range(3)])
    age = 16 + 60 * each[0] ** 1.5
    female = (each[1] < 0.5).float()
    talent = torch.randn(people, generator=source)
    delay = (240 + 150 * talent + 120 * each[2]).clamp(0, 1200)
    pace = 325 + 40 * female + 0.06 * (age - 35).clamp(min=0) ** 2 + 45 * talent
    repeat = torch.arange(people).repeat_interleave(rows_per_person)
    y = pace[repeat] + 10 * torch.randn(len(repeat), generator=source)
    x = torch.stack([age, female, delay], dim=-1)[repeat]
    return Rows({"x": x, "y": y.clamp(SCHEMA.target.low, SCHEMA.target.high)}, repeat)


WORKLOAD = Workload(
    name="running_pace",
    version=1,
    title="Predict a runner's pace over ten miles",
    schema=SCHEMA,
    phases=(Phase("regress", reads_people=True, trains=("head.",), loss=_loss),),
    initial=initial,
    scores=scores,
    person_scores=("clipped_error",),
    summary=summary,
    headline="mae_s_per_km",
    higher_is_better=False,
    invent=invent,
)
