"""Chunks of work on several processor cores at once."""

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


def _side_by_side(tasks: Sequence[Callable[[], T]], threads: int) -> Iterator[T]:
    waiting: deque[Future[T]] = deque()
    # torch keeps the number of threads per thread: each of the pool's says again that it is to take one core.
    with ThreadPoolExecutor(threads, "chunk", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
