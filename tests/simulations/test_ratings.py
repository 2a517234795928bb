"""The film ratings that pip installs, and where the catalogue comes from."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.errors import SchemaError
from federation.schema import Rows, check
from federation.workloads import session_recommendation as sessions
from simulations import sources
from simulations.datasets import checked_bytes
from simulations.ratings import FILMS, RATINGS, catalogue, history_rows, ratings
from simulations.scenario import Data


@pytest.fixture(scope="module")
def rows() -> Rows:
    return history_rows(ratings())


def test_histories_fit_the_schema_and_nobody_has_two(rows: Rows) -> None:
    check(rows, sessions.SCHEMA)
    assert len(rows) == len(torch.unique(rows.person)) == 660
    assert int(sum(rows.fields[name].sum() for name in "xy")) > 39_000


def test_what_came_last_is_not_older_than_what_came_before(rows: Rows) -> None:
    lines = ratings()
    times = dict(zip(zip(lines.person.tolist(), lines.film.tolist(), strict=True), lines.time.tolist(), strict=True))
    names = np.array(sessions.SCHEMA.target.classes)
    for place in range(0, len(rows), 50):
        person = int(rows.person[place])
        before, last = ([times[person, name] for name in names[rows.fields[key][place] > 0].tolist()] for key in "xy")
        assert max(before) <= min(last)


def test_the_catalogue_is_what_its_public_sources_say() -> None:
    assert tuple(catalogue()) == sessions.ITEMS


@pytest.mark.parametrize("source", [RATINGS, FILMS])
def test_another_file_is_not_opened(source) -> None:
    assert hashlib.sha256(checked_bytes(source)).hexdigest() == source.sha256
    with pytest.raises(SchemaError, match="It was not opened"):
        checked_bytes(replace(source, sha256="0" * 64))


def marks(rows: Rows) -> list[list[float]]:
    """Every history as a line of 0 (never), 1 (before) and 2 (last), in an order that does not depend on people's."""
    return sorted((rows.fields["x"] + 2 * rows.fields["y"]).tolist())


def test_the_same_lines_in_a_file_are_imported_as_the_same_histories(rows: Rows, tmp_path: Path) -> None:
    lines, file, mapping = ratings(), tmp_path / "ratings.csv", tmp_path / "columns.toml"
    by_person = [place for place in np.argsort(lines.person, kind="stable") if lines.person[place] <= 40]
    told = (f"{lines.person[n]},{lines.film[n]},{lines.time[n]:.0f}\n" for n in by_person)
    file.write_text("userId,movieId,timestamp\n" + "".join(told))
    mapping.write_text('person = "userId"\ntarget = "movieId"\ntime = "timestamp"\n')
    imported = sources.people(Data(source="files", files=(file,), mapping=mapping), sessions.WORKLOAD, 1)
    found = imported.rows(np.arange(imported.count), 0.0)
    assert marks(found) == marks(rows.of(torch.arange(41)))
    assert len(found) > 30
