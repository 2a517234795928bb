"""Competition entries become rows: failed attempts stay out, everybody has one home, a node imports the same."""

import polars as pl
import pytest
import torch

from clients.data.columns import ColumnMap
from clients.data.importing import Order, run_import
from clients.data.shelf import load
from clients.settings import NodeFolder
from clients.store import open_store
from federation import schema
from federation.errors import SchemaError
from federation.workloads import lift_weight
from simulations import settings
from simulations.lifters import lifters, read

ENTRIES = {
    "Federation": ["upa", "upa", "rps", "rps", "apf", "ipf", "ipf", "apf"],
    "athlete": [1, 1, 1, 2, 3, 3, 4, 1],
    "Sex": ["M", "M", "M", "F", "M", "M", "F", "M"],
    "Age": [30.0, 31.0, None, None, 55.0, 56.0, 20.0, 29.0],
    "BodyweightKg": [90.0, 91.0, 90.5, 60.0, 82.0, 82.5, None, 89.0],
    "Equipment": ["Raw", "Wraps", "Single-ply", "Multi-ply", "Raw", "Raw", "Raw", "Raw"],
    "BestSquatKg": [200.0, 205.0, -210.0, 120.0, 150.0, 155.0, 90.0, 195.0],
    "BestBenchKg": [130.0, 135.0, 130.0, 60.0, 100.0, 101.0, 50.0, 125.0],
    "BestDeadliftKg": [230.0, 235.0, 240.0, 140.0, 180.0, 182.0, 110.0, 225.0],
}
MAPPING = ColumnMap(
    person="athlete",
    target="BestDeadliftKg",
    columns={
        "female": "Sex",
        "age": "Age",
        "bodyweight": "BodyweightKg",
        "equipment": "Equipment",
        "squat": "BestSquatKg",
        "bench": "BestBenchKg",
    },
    codes={"female": {"F": 1, "M": 0}, "equipment": {name: i for i, name in enumerate(lift_weight.EQUIPMENT)}},
    empty={"age": 0},
)
HERE = pytest.mark.skipif(not settings.has(settings.LIFTERS.name), reason="needs the lifters in $PACELINE_DATA")


def table():
    kinds = pl.col("Federation", "Sex", "Equipment").cast(pl.Categorical)
    return pl.DataFrame(ENTRIES).with_columns(kinds, pl.col("athlete").cast(pl.Int32))


def test_failed_attempts_and_unknown_bodyweights_stay_out_and_an_unknown_age_is_zero():
    found = read(table())
    schema.check(found.rows, lift_weight.SCHEMA)
    assert found.rows.person.tolist() == [1, 1, 2, 3, 3, 1]
    assert found.rows.fields["x"][2].tolist() == [1.0, 0.0, 60.0, 3.0, 120.0, 60.0]
    assert found.rows.fields["y"].tolist() == [230.0, 235.0, 140.0, 180.0, 182.0, 225.0]


def test_home_is_the_federation_of_most_entries_and_takes_all_entries_along():
    found = read(table())
    assert found.home == {1: "upa", 2: "rps", 3: "apf"}
    assert found.of(frozenset({"apf", "rps"})).person.tolist() == [2, 3, 3]


def test_table_of_another_shape_is_refused_with_the_columns_it_lacks():
    with pytest.raises(SchemaError, match="has no Age, Equipment"):
        read(table().drop("Age", "Equipment"))


def test_equipment_that_the_workload_does_not_know_is_named():
    worn = pl.when(pl.col("athlete") == 2).then(pl.lit("Straps")).otherwise(pl.col("Equipment").cast(pl.String))
    with pytest.raises(SchemaError, match="wear Straps; expected Raw, Wraps, Single-ply, Multi-ply"):
        read(table().with_columns(Equipment=worn))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_node_imports_the_same_rows_from_a_federations_own_file(tmp_path, kind):
    good = table().filter(pl.col("BestSquatKg") > 0, pl.col("BodyweightKg") > 0)
    path = tmp_path / f"meets.{kind}"
    good.write_csv(path) if kind == "csv" else good.write_parquet(path)
    folder = NodeFolder(tmp_path / "node")
    folder.path.mkdir()
    with open_store(folder) as store:
        report = run_import(folder, store, Order([path], MAPPING, lift_weight.WORKLOAD), lambda _: None)
        rows = load(folder, store, "lift_weight", held_out=False)
    expected = read(table()).rows
    assert (report.rows, report.people) == (6, 3)
    assert all(torch.equal(rows.fields[name], expected.fields[name]) for name in ("x", "y"))


@HERE
def test_lifters_of_the_data_folder_are_enough_and_fit_the_schema():
    found = lifters()
    schema.check(found.rows, lift_weight.SCHEMA)
    assert len(found.home) == 31_624
    assert len(found.rows) == 66_060
    for place, column in enumerate(lift_weight.SCHEMA.columns):
        values = found.rows.fields["x"][:, place]
        assert column.low <= float(values.min()) <= float(values.max()) <= column.high
