"""Rounds in the event files that TensorBoard reads."""

import sys
import time

import pytest

from federation.errors import UsageError
from simulations.sweep import jobs
from simulations.tracking.tensorboard import EventFiles


def values(folder):
    """Every scalar of the event files: {(tag, step): value}."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for file in folder.rglob("events.*"):
        data, place = file.read_bytes(), 0
        while place < len(data):
            size = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + size])
            place += 16 + size
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    return found


def test_every_round_is_on_disk_while_the_run_goes_on(tmp_path, scenario, outcome):
    pytest.importorskip("tensorboardX", reason="pip install 'paceline[tensorboard]'")
    (job,) = jobs(scenario())
    with EventFiles(tmp_path) as tracker:
        tracker.begin([job], [])
        tracker.round(job, outcome().rounds[0])
        end = time.monotonic() + 30
        while ("score/accuracy", 1) not in values(tmp_path) and time.monotonic() < end:
            time.sleep(0.05)
        assert values(tmp_path)["score/accuracy", 1] == pytest.approx(0.3)
        tracker.round(job, outcome().rounds[2])
        tracker.end(job, "")
    found = values(tmp_path)
    assert found["score/accuracy", 3] == pytest.approx(0.9)
    assert found["privacy/epsilon", 3] == pytest.approx(1.5)
    assert found["bytes/up", 1] == 2000


def test_an_interrupted_attempt_leaves_no_second_curve(tmp_path, scenario, outcome):
    pytest.importorskip("tensorboardX", reason="pip install 'paceline[tensorboard]'")
    (job,) = jobs(scenario())
    for last in (3, 1):
        with EventFiles(tmp_path) as tracker:
            for done in outcome().rounds[:last]:
                tracker.round(job, done)
    assert {step for _, step in values(tmp_path)} == {1}


def test_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UsageError, match=r"pip install 'paceline\[tensorboard\]'"):
        EventFiles(tmp_path)
