"""A whole task over the loopback link: the same gates and rounds as deployed."""

from collections.abc import Callable

from server.rounds import run_task
from server.store import TaskState
from simulations.parties import Federation


def test_a_private_task_runs_to_its_release(federation: Federation, launch: Callable[..., str]) -> None:
    name = launch()
    run_task(federation.coordinator, federation.link, name)
    task = federation.coordinator.store.task(name)
    rounds = federation.coordinator.store.rounds(task.digest)
    assert task.state is TaskState.COMPLETED
    assert [row.round for row in rounds] == [0, 1, 2, 3]
    assert all(set(row.parties) == set(federation.nodes) for row in rounds[1:])
    assert [e.round for e in federation.coordinator.store.evaluations(task.digest)] == [1, 2, 3]
    assert federation.coordinator.store.release(task.digest) is not None


def test_an_unprotected_task_runs_where_the_policy_waives(federation: Federation, launch: Callable[..., str]) -> None:
    name = launch(name="plain", privacy={"unit": "none"})
    run_task(federation.coordinator, federation.link, name)
    assert federation.coordinator.store.task(name).state is TaskState.COMPLETED
