"""Ctrl-C that waits for a moment at which nothing is half made."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def finishing() -> Iterator[None]:
    """Ctrl-C takes effect when the block has ended; pressed a second time, at once.

    For what others count on as soon as it has begun, such as a token that the coordinator marks as used.
    Signals reach the main thread only, so in another one there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
