"""What rows of a workload look like, before and after cutting into training examples."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from federation.errors import SchemaError


@dataclass(frozen=True)
class Column:
    """One column that a recording or table must have.

    `low` and `high` bound plausible values in `unit`; at least `outside` (a share) beyond them means wrong units.
    `hint` says what a value out of range usually means, such as "values near 1 suggest g instead of m/s²".
    """

    name: str
    unit: str
    low: float
    high: float
    hint: str = ""
    min_spread: float = 0.0
    """Smallest plausible standard deviation over a whole file; catches g for m/s² and degrees the other way."""


@dataclass(frozen=True)
class Target:
    """The column to predict: `classes` for a label (text or integer codes), empty for a number."""

    name: str
    unit: str
    classes: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Window:
    """How recordings are cut: `samples` long, every `hop` samples, at `rate_hz` (within `rate_tolerance`)."""

    samples: int
    hop: int
    rate_hz: float
    rate_tolerance: float = 0.02


@dataclass(frozen=True)
class History:
    """How lines of person, item and perhaps time become a row: all of a person's lines together, items being classes.

    The share `newest` of a person's different items is what came last, one of them at least. Whoever has fewer than
    `least` makes no row.
    """

    least: int
    newest: float


@dataclass(frozen=True)
class RowSchema:
    """Columns to read, target, and how one becomes a row.

    With a window a row's ``x`` is float32 (columns, samples); without one it is float32 (columns,).
    ``y`` is int64 () for classes, float32 () for a number.
    With a history there are no columns: ``x`` marks the items that came before, ``y`` those that came last, both
    float32 (classes,) of zeros and ones.
    """

    columns: tuple[Column, ...]
    target: Target
    window: Window | None = None
    history: History | None = None

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Shape of one row's ``x``."""
        if self.history:
            return (len(self.target.classes),)
        return (len(self.columns), self.window.samples) if self.window else (len(self.columns),)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Shape of one row's ``y``."""
        return (len(self.target.classes),) if self.history else ()

    @property
    def y_dtype(self) -> torch.dtype:
        """Type of ``y``."""
        return torch.int64 if self.target.classes and not self.history else torch.float32


@dataclass(frozen=True)
class Rows:
    """Training examples with their owners: `fields` tensors (rows, …), `person` int64 (rows,).

    ``repr`` shows sizes only: rows must not end up in logs.
    """

    fields: Mapping[str, torch.Tensor]
    person: torch.Tensor

    def __post_init__(self) -> None:
        sizes = {name: len(tensor) for name, tensor in self.fields.items()} | {"person": len(self.person)}
        if len(set(sizes.values())) != 1:
            raise SchemaError(f"fields of different length: {sizes}; expected one entry per row in each.")

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows)"

    def __len__(self) -> int:
        return len(self.person)

    def take(self, index: torch.Tensor) -> "Rows":
        """The rows at `index` (int64 or bool)."""
        return Rows({name: tensor[index] for name, tensor in self.fields.items()}, self.person[index])

    def of(self, people: torch.Tensor) -> "Rows":
        """The rows whose person is in `people` (int64)."""
        return self.take(torch.isin(self.person, people))


def concatenate(parts: list[Rows]) -> Rows:
    """All rows of `parts` in order; at least one part."""
    names = parts[0].fields.keys()
    return Rows(
        {name: torch.cat([part.fields[name] for part in parts]) for name in names},
        torch.cat([part.person for part in parts]),
    )


def check(rows: Rows, schema: RowSchema) -> None:
    """Raise `SchemaError` unless `rows` fit `schema`: names, shapes, types, finite values, known classes."""
    if set(rows.fields) != {"x", "y"}:
        raise SchemaError(f"found fields {sorted(rows.fields)}; expected x and y.")
    x, y = rows.fields["x"], rows.fields["y"]
    if x.dtype is not torch.float32 or tuple(x.shape[1:]) != schema.x_shape:
        raise SchemaError(f"x is {x.dtype} {tuple(x.shape[1:])}; expected float32 {schema.x_shape} per row.")
    if not torch.isfinite(x).all():
        raise SchemaError("x holds NaN or infinite values; expected finite numbers only.")
    if schema.history:
        _check_history(x, y, schema)
    elif schema.target.classes:
        if y.dtype is not torch.int64 or (
            len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(schema.target.classes)
        ):
            raise SchemaError(f"y must be int64 class numbers below {len(schema.target.classes)}.")
    elif y.dtype is not torch.float32 or not torch.isfinite(y).all():
        raise SchemaError("y must be finite float32 numbers.")


def _check_history(x: torch.Tensor, y: torch.Tensor, schema: RowSchema) -> None:
    """Raise `SchemaError` unless `x` and `y` mark different items, at least one each."""
    if y.dtype is not torch.float32 or tuple(y.shape[1:]) != schema.y_shape:
        raise SchemaError(f"y is {y.dtype} {tuple(y.shape[1:])}; expected float32 {schema.y_shape} per row.")
    if not (((x == 0) | (x == 1)) & ((y == 0) | (y == 1))).all():
        raise SchemaError("x and y must hold zeros and ones: whether an item is in a person's history.")
    if (x * y).any():
        raise SchemaError("an item is marked both in x (came before) and in y (came last); expected it in one of them.")
    if not (x.any(-1) & y.any(-1)).all():
        raise SchemaError("a row marks no item in x or none in y; a history needs items that came before and last.")
