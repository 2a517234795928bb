"""Federated averaging as anybody would write it first: one person after the other in a plain PyTorch loop."""

import random

import torch

from simulations.benchmarks.simulation.peers import clock, work


def main() -> None:
    """Run the question on the command line."""
    question = clock.asked()
    torch.set_num_threads(question.threads)
    torch.manual_seed(0)
    about, draw = work.WORKS[question.work], random.Random(0)  # noqa: S311 - who takes part in a measurement
    x, y = work.read(question.folder, about)
    model = work.module(question.work)
    weights = [tensor.detach().clone() for tensor in model.parameters()]
    watch = clock.Clock()
    for _ in range(question.rounds):
        moved = [torch.zeros_like(tensor) for tensor in weights]
        for person in draw.sample(range(question.registered), question.sampled):
            _copy(weights, model)
            work.train(model, about, x[person % len(x)], y[person % len(x)])
            with torch.no_grad():
                for number, (local, start) in enumerate(zip(model.parameters(), weights, strict=True)):
                    moved[number] += local - start
        weights = [start + total / question.sampled for start, total in zip(weights, moved, strict=True)]
        watch.lap()
    clock.tell(question, watch, {"torch": torch.__version__})


def _copy(weights: list[torch.Tensor], model: torch.nn.Module) -> None:
    """The round's weights, into the model."""
    with torch.no_grad():
        for local, start in zip(model.parameters(), weights, strict=True):
            local.copy_(start)


if __name__ == "__main__":
    main()
