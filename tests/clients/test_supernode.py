"""What we change in Flower's SuperNode."""

import pytest
from flwr.supercore.run import RunNotRunningException

from clients.supernode import _ordinary


def test_the_end_of_a_run_is_an_error_that_flower_clears_up_after():
    def ended(*_: object) -> bytes:
        raise RunNotRunningException

    assert not issubclass(RunNotRunningException, Exception)  # otherwise ours can go
    with pytest.raises(RuntimeError, match="the run has ended"):
        _ordinary(ended)(1, "object")


def test_what_is_not_the_end_of_a_run_passes_through():
    assert _ordinary(lambda run, part: f"{run} {part}")(1, "object") == "1 object"
