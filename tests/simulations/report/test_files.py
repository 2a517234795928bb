"""Results for machines: strict JSON, and one row per point, seed and round."""

import json
import math

import polars as pl

from simulations.report.files import FORMAT, write_json, write_parquet
from simulations.sweep import jobs


def test_json_holds_every_run_and_is_strict(tmp_path, scenario, outcome):
    broken = outcome(seed=2, people=(0.5, math.nan, math.inf))
    path = write_json(tmp_path, scenario(), [outcome(), broken], {"seed 3": "died"})
    found = json.loads(path.read_text(), parse_constant=lambda word: (_ for _ in ()).throw(AssertionError(word)))
    assert found["format"] == FORMAT
    assert found["stamp"] == "simulation: no privacy claim"
    assert found["scenario"]["name"] == "tiny"
    assert [run["seed"] for run in found["runs"]] == [1, 2]
    assert found["runs"][1]["people"] == [0.5, None, None]
    assert found["points"][0]["mean"] == 0.9
    assert found["failures"] == {"seed 3": "died"}


def test_parquet_has_a_row_per_point_seed_and_round(tmp_path, scenario, outcome):
    swept = scenario(sweep={"rounds": [2, 3], "parties.roles": [["trainer"], ["data-provider"]]}, seeds=[1, 2])
    path = write_parquet(tmp_path, [outcome(seed=job.seed, point=job.point) for job in jobs(swept)])
    table = pl.read_parquet(path)
    assert table.height == 4 * 2 * 3
    assert set(table.columns) >= {
        "rounds",
        "parties.roles",
        "seed",
        "round",
        "score_accuracy",
        "timing_nodes",
        "epsilon",
    }
    assert table.filter(pl.col("round") == 2)["score_accuracy"].null_count() == 8, "not evaluated"
    assert table["parties.roles"].unique().sort().to_list() == ['["data-provider"]', '["trainer"]']
