"""Watch recordings of 12 real people during five activities of daily life, cut into rows."""

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from federation.errors import SchemaError
from federation.schema import Rows
from federation.workloads import activity_recognition as activity
from simulations import settings

COLUMNS = ("x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro")
NEEDED = (*COLUMNS, "t_ms", "label", "subject", "execution", "device")
WATCH = "sw"
METRES_PER_S2_OF_G = 9.80665

Windows = npt.NDArray[np.float32]


def walkers() -> Rows:
    """The people of the data folder, or `UsageError` that says where the file can be had."""
    return read(pl.read_parquet(settings.data_file(settings.WALKERS.name)))


def read(table: pl.DataFrame) -> Rows:
    """Windows of the watch within one stretch of one activity, at `activity.RATE_HZ`; acceleration in g."""
    missing = sorted(set(NEEDED) - set(table.columns))
    if missing:
        raise SchemaError(f"the table of walkers has no {', '.join(missing)}; expected the columns of its publication.")
    watch = table.filter(pl.col("device").cast(pl.String) == WATCH).with_columns(pl.col("label").cast(pl.String))
    stretches = watch.with_columns(
        (pl.struct("subject", "execution", "label") != pl.struct("subject", "execution", "label").shift(1))
        .fill_null(value=True)
        .cum_sum()
        .alias("stretch")
    ).partition_by("stretch", maintain_order=True)
    windows, labels, people = [], [], []
    for stretch in stretches:
        cut = _cut(stretch)
        windows.append(cut)
        labels += [activity.CLASSES.index(stretch["label"][0])] * len(cut)
        people += [int(stretch["subject"][0])] * len(cut)
    order = np.argsort(people, kind="stable")
    fields = {
        "x": torch.from_numpy(np.concatenate(windows)[order]),
        "y": torch.tensor(labels, dtype=torch.int64)[torch.from_numpy(order)],
    }
    return Rows(fields, torch.tensor(people, dtype=torch.int64)[torch.from_numpy(order)])


def _cut(stretch: pl.DataFrame) -> Windows:
    """(windows, 6, samples) of one stretch, resampled by straight lines; none of one shorter than a window."""
    time_s = (stretch["t_ms"].to_numpy() - int(stretch["t_ms"][0])) / 1000
    grid = np.arange(0, time_s[-1], 1 / activity.RATE_HZ)
    unit = np.repeat([METRES_PER_S2_OF_G, 1.0], 3)
    axes = np.stack([np.interp(grid, time_s, stretch[name].to_numpy()) for name in COLUMNS]) / unit[:, None]
    window = activity.SCHEMA.window
    assert window is not None  # noqa: S101 - narrows the type; the schema has windows
    limits = np.array([[column.low, column.high] for column in activity.SCHEMA.columns])
    axes = axes.clip(limits[:, :1], limits[:, 1:])
    starts = range(0, len(grid) - window.samples + 1, window.hop)
    if not starts:
        return np.zeros((0, len(COLUMNS), window.samples), np.float32)
    return np.stack([axes[:, start : start + window.samples] for start in starts]).astype(np.float32)
