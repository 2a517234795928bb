"""Chunks of work on several processor cores at once."""

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def in_order(tasks: Sequence[Callable[[], T]], threads: int) -> Iterator[T]:
    """The results of `tasks` in their order, `threads` of them running at once, each on one core.

    Whole chunks side by side beat threads inside of each product: those wait for one another after every operation.
    At most `threads` + 1 results wait to be taken, so memory does not grow with the number of tasks.
    """
    try:
        torch.set_num_threads(1)
        yield from _side_by_side(tasks, threads) if min(threads, len(tasks)) > 1 else (task() for task in tasks)
    finally:
        torch.set_num_threads(threads)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_BYTES = 2**28, 2**25
"""What a thread keeps of freed memory, and the largest piece that is kept: the most that mallopt(3) takes."""


def _side_by_side(tasks: Sequence[Callable[[], T]], threads: int) -> Iterator[T]:
    _keep_memory()
    waiting: deque[Future[T]] = deque()
    # torch keeps the number of threads per thread: each of the pool's says again that it is to take one core.
    with ThreadPoolExecutor(threads, "chunk", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _keep_memory() -> None:
    """Tell glibc to keep what is freed; other C libraries are left as they are.

    By default it goes back to the kernel after almost every operation of a chunk, and threads wait for one another
    while pages come and go: a fifth of the processor's time, measured with two threads.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "mallopt"):
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES)
