"""When Python looks for garbage: neither while modules are imported, nor in what was there before the first round."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """No search inside, and none later in what is there at the end.

    Imports make a million things that stay. Looking through them over and over takes a fifth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def settled() -> Iterator[None]:
    """What is there by now stays: searching it would take as long as a round, once in ten rounds."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
