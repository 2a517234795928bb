"""Public data are opened only when they are the files that were pinned."""

from dataclasses import replace

import pytest
import torch

from federation import schema
from federation.errors import SchemaError
from federation.workloads import exercise_recognition, running_pace
from simulations import datasets


def test_watch_recordings_are_ten_people_with_both_arms_and_fit_the_schema():
    recordings = datasets.watch_recordings()
    assert len(recordings) == len({recording.name for recording in recordings}) == 140
    rows = datasets.exercise_rows(recordings)
    schema.check(rows, exercise_recognition.SCHEMA)
    assert torch.unique(rows.person).tolist() == list(range(1, 11))


def test_watch_recordings_in_other_units_leave_the_plausible_range_in_every_file_of_a_person():
    for person in range(1, 11):
        own = [r.samples for r in datasets.watch_recordings() if r.person == f"watch-{person:02d}"]
        limits = [(column.low, column.high) for column in exercise_recognition.SCHEMA.columns]
        for factors in ((9.80665, 1), (1, 57.29578)):
            scaled = [samples * ([factors[0]] * 3 + [factors[1]] * 3) for samples in own]
            assert any(
                (s[:, i] < low).any() or (s[:, i] > high).any() for s in scaled for i, (low, high) in enumerate(limits)
            )


def test_ten_mile_runners_are_one_row_per_person_and_fit_the_schema():
    runners = datasets.ten_mile_runners()
    assert len({runner.person for runner in runners}) == 8636
    rows = datasets.pace_rows(runners)
    schema.check(rows, running_pace.SCHEMA)
    for place, column in enumerate(running_pace.SCHEMA.columns):
        values = rows.fields["x"][:, place]
        assert column.low <= float(values.min()) <= float(values.max()) <= column.high
    assert running_pace.SCHEMA.target.low < float(rows.fields["y"].min())
    assert float(rows.fields["y"].max()) < running_pace.SCHEMA.target.high


def test_file_with_another_hash_is_not_opened():
    with pytest.raises(SchemaError, match="It was not opened"):
        datasets.checked_bytes(replace(datasets.WATCH, sha256="0" * 64))


def test_missing_package_is_said_with_the_command_to_run():
    with pytest.raises(SchemaError, match=r"pip install 'paceline\[demo\]', which brings nothing-here 1"):
        datasets.checked_bytes(datasets.Source("nothing-here", "1", "x.npy", "0" * 64))
