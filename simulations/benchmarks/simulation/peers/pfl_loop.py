"""Federated averaging by Apple's pfl (Granqvist et al. 2024), with its PyTorch backend and its own training loop."""

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByUser
from pfl.algorithm import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel

from simulations.benchmarks.simulation.peers import clock, work


class Judged(torch.nn.Module):
    """A model with the two functions that pfl asks for."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def loss(self, x: torch.Tensor, y: torch.Tensor, eval: bool = False) -> torch.Tensor:
        """Mean cross-entropy."""
        self.train(not eval)
        return torch.nn.functional.cross_entropy(self.inner(x), y)

    @torch.no_grad()
    def metrics(self, x: torch.Tensor, y: torch.Tensor, eval: bool = True) -> dict[str, Any]:
        """Nothing is evaluated here."""
        del eval
        return {"loss": Weighted(torch.nn.functional.cross_entropy(self.inner(x), y).item(), 1)}


class Laps(TrainingProcessCallback):  # type: ignore[misc] # pfl is not installed where types are checked
    """A lap per round."""

    def __init__(self, watch: clock.Clock) -> None:
        self.watch = watch

    def after_central_iteration(self, *_: Any, **__: Any) -> tuple[bool, Any]:
        """A round has ended; go on."""
        self.watch.lap()
        return False, Metrics()


def main() -> None:
    """Run the question on the command line."""
    question = clock.asked()
    torch.set_num_threads(question.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    about = work.WORKS[question.work]
    x, y = work.read(question.folder, about)
    people = list(range(question.registered))
    rows = FederatedDataset(
        lambda person: Dataset([x[person % len(x)], y[person % len(x)]], user_id=str(person)),
        get_user_sampler("random", people),
    )
    judged = Judged(work.module(question.work))
    optimizer = torch.optim.SGD(judged.parameters(), 1.0)
    model = PyTorchModel(model=judged, local_optimizer_create=torch.optim.SGD, central_optimizer=optimizer)
    rounds = NNAlgorithmParams(
        central_num_iterations=question.rounds,
        evaluation_frequency=10**9,
        train_cohort_size=question.sampled,
        val_cohort_size=0,
    )
    steps = NNTrainHyperParams(local_num_epochs=1, local_learning_rate=work.LEARNING_RATE, local_batch_size=about.batch)
    watch = clock.Clock()
    FederatedAveraging().run(
        algorithm_params=rounds,
        backend=SimulatedBackend(training_data=rows, val_data=rows, postprocessors=[WeightByUser()]),
        model=model,
        model_train_params=steps,
        model_eval_params=NNEvalHyperParams(local_batch_size=1000),
        callbacks=[Laps(watch)],
    )
    clock.tell(question, watch, {"pfl": version("pfl"), "torch": torch.__version__})


if __name__ == "__main__":
    main()
