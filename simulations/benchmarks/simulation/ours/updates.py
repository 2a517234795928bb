"""Local training alone: people are trained in chunks and their updates averaged; no parties, privacy or messages."""

import random
from importlib.metadata import version

import torch

from clients.training import person_updates
from federation.schema import Rows
from federation.workload import Weights, Workload, flatten, trained_names, unflatten
from simulations.benchmarks.simulation import models
from simulations.benchmarks.simulation.peers import clock, work


def main() -> None:
    """Run the question on the command line."""
    question = clock.asked()
    torch.set_num_threads(question.threads)
    about, draw = work.WORKS[question.work], random.Random(0)  # noqa: S311 - who takes part in a measurement
    pool = work.read(question.folder, about)
    workload = models.workload(question.work)
    weights: Weights = workload.initial(0)
    watch = clock.Clock()
    for number in range(question.rounds):
        people = draw.sample(range(question.registered), question.sampled)
        weights = averaged(workload, weights, drawn(pool, people), (about, number))
        watch.lap()
    clock.tell(question, watch, {"paceline": version("paceline"), "torch": torch.__version__})


def drawn(pool: tuple[torch.Tensor, torch.Tensor], people: list[int]) -> Rows:
    """The rows of `people`, who share the pool's in turn."""
    x, y = pool
    places = torch.tensor(people) % len(x)
    owner = torch.arange(len(people)).repeat_interleave(x.shape[1])
    return Rows({"x": x[places].flatten(0, 1), "y": y[places].flatten()}, owner)


def averaged(workload: Workload, weights: Weights, rows: Rows, terms: tuple[work.Work, int]) -> Weights:
    """The weights after a round of federated averaging over the people of `rows`."""
    about, seed = terms
    phase = workload.phases[0]
    names = trained_names(weights, phase)
    total = torch.zeros(sum(weights[name].numel() for name in names))
    people = 0
    training = models.terms(about)
    for who, updates in person_updates(workload, phase, weights, names, rows, training, about.rows, seed):
        total += updates.sum(0)
        people += len(who)
    return unflatten(flatten(weights, names) + (total / people).numpy(), weights, names)


if __name__ == "__main__":
    main()
