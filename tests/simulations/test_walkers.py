"""Recordings of walkers become rows: of the watch only, within one activity, at one rate, in our units."""

import numpy as np
import polars as pl
import pytest
import torch

from federation.errors import SchemaError
from federation.workloads import activity_recognition as activity
from simulations import settings
from simulations.walkers import COLUMNS, METRES_PER_S2_OF_G, read, walkers

HERE = pytest.mark.skipif(not settings.has(settings.WALKERS.name), reason="needs the walkers in $PACELINE_DATA")


def recording(subject, label, seconds, device="sw", rate_hz=100.0):
    time_s = np.arange(0, seconds, 1 / rate_hz)
    axes = {name: np.full(len(time_s), METRES_PER_S2_OF_G if "acc" in name else 0.5, np.float32) for name in COLUMNS}
    same = {"label": label, "subject": subject, "execution": 1, "device": device}
    return pl.DataFrame({**axes, "t_ms": (1000 * time_s).astype(np.int64)}).with_columns(
        pl.lit(value).alias(name) for name, value in same.items()
    )


def test_windows_lie_within_one_activity_of_one_person_and_come_from_the_watch():
    table = pl.concat(
        [
            recording(2, "WALKING", 3.1),
            recording(2, "TURNING", 0.7),
            recording(1, "SEATED", 1.6),
            recording(1, "SEATED", 60, device="sp"),
        ]
    )
    rows = read(table)
    assert rows.person.tolist() == [1, 1, 2, 2, 2, 2, 2]
    assert [activity.CLASSES[label] for label in rows.fields["y"]] == ["SEATED"] * 2 + ["WALKING"] * 5
    assert rows.fields["x"].shape == (7, 6, activity.SAMPLES)
    assert torch.allclose(rows.fields["x"][:, :3], torch.tensor(1.0))
    assert torch.allclose(rows.fields["x"][:, 3:], torch.tensor(0.5))


@pytest.mark.parametrize("rate_hz", [50.0, 104.0, 200.0])
def test_recordings_of_any_rate_give_as_many_windows(rate_hz):
    assert len(read(recording(1, "WALKING", 5.05, rate_hz=rate_hz))) == 9


def test_another_table_is_refused_by_its_missing_columns():
    with pytest.raises(SchemaError, match="has no execution, t_ms"):
        read(recording(1, "WALKING", 2).drop("t_ms", "execution"))


@HERE
def test_the_public_file_holds_twelve_people_and_all_activities():
    rows = walkers()
    assert rows.person.unique().tolist() == list(range(1, 13))
    assert torch.bincount(rows.fields["y"]).tolist() == [87, 119, 775, 178, 186]
