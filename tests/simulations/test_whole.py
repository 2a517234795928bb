"""A file of results is whole or not there, also where the disk is full."""

import errno
import os

import pytest

from simulations import whole


def test_what_was_there_stays_until_all_of_the_new_is_written(tmp_path, monkeypatch):
    path = whole.write(tmp_path / "report.html", "first")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*report\.html"):
        whole.write(path, b"second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path], "nothing half written is left"


def test_nothing_is_left_where_somebody_interrupts_the_writing(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        whole.write(tmp_path / "report.html", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none/report\.html"):
        whole.write(tmp_path / "none" / "report.html", "text")
