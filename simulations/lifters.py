"""Competition entries of real lifters, with the federation that each lifter calls home."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from federation.errors import SchemaError
from federation.schema import Rows
from federation.workloads import lift_weight
from simulations import settings

COLUMNS = {
    "Federation": "federation",
    "athlete": "person",
    "Sex": "female",
    "Age": "age",
    "BodyweightKg": "bodyweight",
    "Equipment": "equipment",
    "BestSquatKg": "squat",
    "BestBenchKg": "bench",
    "BestDeadliftKg": "deadlift",
}
"""OpenPowerlifting's names and ours."""

LIFTS = ("squat", "bench", "deadlift")


@dataclass(frozen=True)
class Lifters:
    """Entries with all three lifts as `lift_weight` asks for; `home` names each person's federation."""

    rows: Rows
    home: Mapping[int, str]

    def __repr__(self) -> str:
        return f"Lifters({len(self.home)} people, {len(self.rows)} entries)"

    def of(self, federations: frozenset[str]) -> Rows:
        """All entries of the people whose home is one of `federations`."""
        people = [person for person, name in self.home.items() if name in federations]
        return self.rows.of(torch.tensor(people, dtype=torch.int64))


def lifters() -> Lifters:
    """The lifters of the data folder, or `UsageError` that says where the file can be had."""
    return read(pl.read_parquet(settings.data_file(settings.LIFTERS.name)))


def read(table: pl.DataFrame) -> Lifters:
    """Entries whose three lifts succeeded and whose bodyweight is known; an unknown age is 0.

    Home is the federation of most of a person's entries: a person belongs to one party, so that a split by federation
    is a split by person too.
    """
    missing = sorted(COLUMNS.keys() - set(table.columns))
    if missing:
        raise SchemaError(
            f"the table of lifters has no {', '.join(missing)}; expected OpenPowerlifting's column names."
        )
    kinds = {name: place for place, name in enumerate(lift_weight.EQUIPMENT)}
    strange = sorted(set(table["Equipment"].cast(pl.String).drop_nulls()) - kinds.keys())
    if strange:
        raise SchemaError(
            f"the lifters wear {', '.join(strange)}; expected {', '.join(kinds)}. Leave these entries out."
        )
    entries = (
        table.select(pl.col(theirs).alias(ours) for theirs, ours in COLUMNS.items())
        .filter(pl.all_horizontal(pl.col(lift) > 0 for lift in LIFTS), pl.col("bodyweight") > 0)
        .with_columns(
            pl.col("federation").cast(pl.String),
            pl.col("female").cast(pl.String) == "F",
            pl.col("age").fill_null(0),
            pl.col("equipment").cast(pl.String).replace_strict(kinds, return_dtype=pl.Int64),
        )
    )
    return Lifters(_rows(entries), _homes(entries))


def _rows(entries: pl.DataFrame) -> Rows:
    columns = [_floats(entries[column.name]) for column in lift_weight.SCHEMA.columns]
    people = torch.from_numpy(entries["person"].to_numpy().astype(np.int64))
    fields = {"x": torch.from_numpy(np.stack(columns, axis=1)), "y": torch.from_numpy(_floats(entries["deadlift"]))}
    return Rows(fields, people)


def _floats(series: pl.Series) -> npt.NDArray[np.float32]:
    return series.cast(pl.Float32).to_numpy().copy()


def _homes(entries: pl.DataFrame) -> dict[int, str]:
    """The federation of most entries per person; the first by name where two have as many."""
    counted = entries.group_by("person", "federation").len().sort("len", "federation", descending=[True, False])
    first = counted.group_by("person", maintain_order=True).first().sort("person")
    return dict(zip(first["person"].to_list(), first["federation"].to_list(), strict=True))
