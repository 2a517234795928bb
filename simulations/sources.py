"""The closed list of where a scenario's people come from."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from clients.data.columns import read_mapping
from clients.data.shelf import load
from clients.settings import NodeFolder
from clients.store import open_store
from federation.errors import UsageError
from federation.workload import Workload
from simulations.population import Given, Invented, People
from simulations.scenario import Data, Source

Loader = Callable[[], Given]


def people(data: Data, workload: Workload, seed: int) -> People:
    """Everybody whom `data` describes, or `UsageError`."""
    if data.source == "invented":
        return Invented(workload, data, seed)
    if data.source == "files":
        return from_files(data, workload)
    fitting, load_people = SOURCES[data.source]
    if workload.name not in fitting:
        raise UsageError(
            f"data.source = {data.source!r} has rows for {', '.join(fitting)}, not for {workload.name}. "
            "Change workload or data.source."
        )
    return load_people()


def watch() -> Given:
    """10 people with a wrist watch; each is a group, ``watch-01`` …"""
    from simulations.datasets import exercise_rows, watch_recordings

    rows = exercise_rows(watch_recordings())
    return Given(rows, [f"watch-{person:02d}" for person in torch.unique(rows.person).tolist()])


def walkers() -> Given:
    """12 people with a watch during five activities of daily life; each is a group, ``walker-01`` …"""
    from simulations.walkers import walkers as read

    rows = read()
    return Given(rows, [f"walker-{person:02d}" for person in torch.unique(rows.person).tolist()])


def runners() -> Given:
    """8,636 finishers of a ten-mile race, by state."""
    from simulations.datasets import pace_rows, ten_mile_runners

    finishers = ten_mile_runners()
    return Given(pace_rows(finishers), [runner.state or "unknown" for runner in finishers])


def lifters() -> Given:
    """Powerlifters, by federation."""
    from simulations.lifters import lifters as read

    found = read()
    return Given(found.rows, [found.home[person] for person in torch.unique(found.rows.person).tolist()])


def ratings() -> Given:
    """660 people's film ratings as histories; each is a group."""
    from simulations.ratings import history_rows
    from simulations.ratings import ratings as read

    rows = history_rows(read())
    return Given(rows, [f"rater-{person:03d}" for person in torch.unique(rows.person).tolist()])


def from_files(data: Data, workload: Workload) -> Given:
    """Rows of files that `paceline node import` can read, cut by the same code; a group is a person."""
    if data.mapping is None:
        raise UsageError('source = "files" needs mapping = "FILE.toml", which says what column is what; see the docs.')
    from clients.data.importing import import_files  # its library for tables takes its time

    with tempfile.TemporaryDirectory(prefix="paceline-files-") as scratch:
        folder = NodeFolder(Path(scratch))
        folder.data.mkdir(parents=True)
        with open_store(folder) as store:
            import_files(folder, store, data.files, read_mapping(data.mapping), workload, held_out=False)
            rows = load(folder, store, workload.name, held_out=False)
    return Given(rows, [f"person-{number}" for number in torch.unique(rows.person).tolist()])


SOURCES: dict[Source, tuple[tuple[str, ...], Loader]] = {
    "watch": (("exercise_recognition", "motion_gan"), watch),
    "walkers": (("activity_recognition",), walkers),
    "runners": (("running_pace",), runners),
    "lifters": (("lift_weight",), lifters),
    "ratings": (("session_recommendation",), ratings),
}
"""By name: the workloads that the rows fit, and how to read them."""
