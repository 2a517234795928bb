"""Writes each party's recordings as that party might have them: its own format, column names and units."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars
import tomli_w

from simulations import datasets
from simulations.demo.cast import CAST, PEOPLE, Party

STANDARD_GRAVITY = 9.80665
RATE_HZ = 50.0
WATCH, PACE = "exercise_recognition", "running_pace"
WORDS = {
    "pendulum": "PEN",
    "abduction": "ABD",
    "forward elevation": "FEL",
    "internal rotation": "IR",
    "external rotation": "ER",
    "trapezius pull": "TRAP",
    "row": "ROW",
}
"""How the service provider's app calls the exercises."""

Table = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Delivery:
    """One file of one party, with its mapping file and the people who are in it."""

    party: Party
    workload: str
    held_out: bool
    file: Path
    mapping: Path
    people: tuple[str, ...]


def deliver(folder: Path) -> list[Delivery]:
    """Write all files of all parties under `folder`, one folder per party."""
    return [*_watch_deliveries(folder), *_runner_deliveries(folder)]


def _watch_deliveries(folder: Path) -> Iterable[Delivery]:
    recordings = datasets.watch_recordings()
    for party in PEOPLE:
        for held_out, numbers in ((False, party.watch), (True, party.watch_held_out)):
            people = tuple(f"watch-{number:02d}" for number in numbers)
            if people:
                own = [recording for recording in recordings if recording.person in people]
                write = WATCH_WRITERS[party.suffix]
                yield _write(folder, _Plan(party, WATCH, held_out, people), *write(own))


def _runner_deliveries(folder: Path) -> Iterable[Delivery]:
    named = {state for party in CAST for state in (*party.states, *party.states_held_out)}
    runners = datasets.ten_mile_runners()
    for party in PEOPLE:
        for held_out, states in ((False, party.states), (True, party.states_held_out)):
            own = [
                runner for runner in runners if runner.state in states or ("*" in states and runner.state not in named)
            ]
            if own:
                people = tuple(runner.person for runner in own)
                yield _write(folder, _Plan(party, PACE, held_out, people), *_runner_table(own))


@dataclass(frozen=True)
class _Plan:
    party: Party
    workload: str
    held_out: bool
    people: tuple[str, ...]


def _write(folder: Path, plan: _Plan, table: Table, mapping: Mapping[str, Any]) -> Delivery:
    place = folder / plan.party.party
    place.mkdir(parents=True, exist_ok=True)
    name = plan.workload + ("-held-out" if plan.held_out else "")
    file = place / f"{name}{plan.party.suffix}"
    WRITERS[plan.party.suffix](file, table)
    mapping_file = place / f"{name}-columns.toml"
    mapping_file.write_text(tomli_w.dumps(mapping), encoding="utf-8")
    return Delivery(plan.party, plan.workload, plan.held_out, file, mapping_file, plan.people)


def _long(recordings: Sequence[datasets.Recording]) -> tuple[npt.NDArray[np.float64], dict[str, npt.NDArray[Any]]]:
    """All samples (n, 6) under one another, with the person, recording and label of each sample."""
    sizes = [len(recording.samples) for recording in recordings]
    texts = {
        "person": np.repeat([recording.person for recording in recordings], sizes),
        "recording": np.repeat([recording.name for recording in recordings], sizes),
        "label": np.repeat([recording.label for recording in recordings], sizes),
        "seconds": np.concatenate([np.arange(size) / RATE_HZ for size in sizes]),
    }
    return np.ascontiguousarray(np.concatenate([recording.samples for recording in recordings])), texts


def _laboratory(recordings: Sequence[datasets.Recording]) -> tuple[Table, Mapping[str, Any]]:
    """Arrays as a laboratory saves them: one table of samples, in g and rad/s, at a known rate."""
    samples, texts = _long(recordings)
    table = {"X": samples, "subject": texts["person"], "trial": texts["recording"], "y": texts["label"]}
    axes = dict(zip(("ax", "ay", "az", "wx", "wy", "wz"), (f"X[{axis}]" for axis in range(6)), strict=True))
    return table, {"person": "subject", "target": "y", "recording": "trial", "rate_hz": RATE_HZ, "columns": axes}


def _archive(recordings: Sequence[datasets.Recording]) -> tuple[Table, Mapping[str, Any]]:
    """A columnar archive with time stamps in milliseconds."""
    samples, texts = _long(recordings)
    names = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")
    table = {
        "athlete": texts["person"],
        "recording": texts["recording"],
        "exercise": texts["label"],
        "t_ms": texts["seconds"] * 1000,
    }
    columns = dict(zip(("ax", "ay", "az", "wx", "wy", "wz"), names, strict=True))
    mapping = {"person": "athlete", "target": "exercise", "recording": "recording", "time": "t_ms", "time_unit": "ms"}
    return table | dict(zip(names, samples.T, strict=True)), {**mapping, "columns": columns}


def _app_export(recordings: Sequence[datasets.Recording]) -> tuple[Table, Mapping[str, Any]]:
    """A spreadsheet of an app: m/s² instead of g, and its own words for the exercises."""
    samples, texts = _long(recordings)
    words = {label: word for word, label in WORDS.items()}
    table = {
        "user": texts["person"],
        "session": texts["recording"],
        "exercise": np.array([words[label] for label in texts["label"]]),
        "seconds": texts["seconds"],
    }
    names = ("accel_x", "accel_y", "accel_z", "rot_x", "rot_y", "rot_z")
    factors = np.array([STANDARD_GRAVITY] * 3 + [1.0] * 3)
    columns = dict(zip(("ax", "ay", "az", "wx", "wy", "wz"), names, strict=True))
    mapping: dict[str, Any] = {"person": "user", "target": "exercise", "recording": "session", "time": "seconds"}
    mapping |= {"columns": columns, "classes": WORDS}
    mapping["scale"] = dict.fromkeys(("ax", "ay", "az"), 1 / STANDARD_GRAVITY)
    return table | dict(zip(names, (samples * factors).T, strict=True)), mapping


def _runner_table(runners: Sequence[datasets.Runner]) -> tuple[Table, Mapping[str, Any]]:
    table = {
        "runner": np.array([runner.person for runner in runners]),
        "age": np.array([runner.age for runner in runners]),
        "female": np.array([runner.female for runner in runners]),
        "start_delay": np.array([runner.start_delay for runner in runners]),
        "pace_s_per_km": np.array([runner.pace for runner in runners]),
    }
    return table, {"person": "runner", "target": "pace_s_per_km"}


def _csv(path: Path, table: Table) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))


def _parquet(path: Path, table: Table) -> None:
    polars.DataFrame(dict(table)).write_parquet(path)


def _npz(path: Path, table: Table) -> None:
    arrays: dict[str, Any] = dict(table)
    np.savez_compressed(path, **arrays)


WRITERS: Mapping[str, Callable[[Path, Table], None]] = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
WATCH_WRITERS: Mapping[str, Callable[[Sequence[datasets.Recording]], tuple[Table, Mapping[str, Any]]]] = {
    ".npz": _laboratory,
    ".parquet": _archive,
    ".csv": _app_export,
}
