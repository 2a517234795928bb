"""Ctrl-C in the middle of something that must be whole."""

import os
import signal
import threading

import pytest

from federation.interrupts import finishing


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(times: int, done: list[str]) -> None:
    with finishing():
        for _ in range(times):
            press()
        done.append("finished")


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(1, done := [])
    assert done == ["finished"]


def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(2, done := [])
    assert done == []


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with finishing():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_held_back() -> None:
    done = []

    def work() -> None:
        with finishing():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]
