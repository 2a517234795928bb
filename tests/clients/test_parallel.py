"""Chunks side by side: in order, a few at a time, and the number of threads is left as it was."""

import threading

import pytest
import torch

from clients.parallel import in_order


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("threads_used", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count, threads_used):
    torch.set_num_threads(threads_used)
    assert list(in_order([lambda number=number: number for number in range(count)], threads_used)) == list(range(count))
    assert torch.get_num_threads() == threads_used
    torch.set_num_threads(2)


def test_two_tasks_run_at_once_each_on_one_core():
    meeting = threading.Barrier(2, timeout=20)

    def task():
        meeting.wait()  # breaks unless another task is there at the same time
        return torch.get_num_threads()

    assert list(in_order([task, task], 2)) == [1, 1]


def test_few_tasks_start_before_their_results_are_wanted():
    started = []
    results = in_order([lambda number=number: started.append(number) or number for number in range(50)], 2)
    for wanted in range(10):
        assert next(results) == wanted
        assert len(started) <= wanted + 4
    results.close()
    assert len(started) < 20


def test_the_error_of_a_task_is_that_of_the_caller():
    def broken():
        raise ValueError("a chunk failed")

    with pytest.raises(ValueError, match="a chunk failed"):
        list(in_order([lambda: 1, broken, lambda: 2], 2))
