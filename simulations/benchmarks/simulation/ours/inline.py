"""The whole of a round under person-level privacy: consent, ledger, sampling, training, clipping, noise, records."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from federation.schema import Rows
from federation.workload import Workload
from simulations import engine
from simulations.benchmarks.simulation import models
from simulations.benchmarks.simulation.peers import clock, work
from simulations.dealing import deal
from simulations.founding import found
from simulations.loopback import Loopback
from simulations.population import Indices
from simulations.scenario import Data, Exchange, PartyTerms, Scenario
from simulations.scratch import scratch
from simulations.standing_in import standing_in

SEED = 1


@dataclass(frozen=True)
class Pool:
    """`count` registered people who share the rows of fewer in turn; implements `simulations.population.People`."""

    x: torch.Tensor
    y: torch.Tensor
    count: int

    def groups(self) -> tuple[str, ...]:
        """Nobody belongs to any."""
        return ()

    def rows(self, people: Indices, progress: float) -> Rows:
        """The rows of `people`, in one copy."""
        del progress
        places = torch.from_numpy(people) % len(self.x)
        owner = torch.arange(len(people)).repeat_interleave(self.x.shape[1])
        return Rows({"x": self.x[places].flatten(0, 1), "y": self.y[places].flatten()}, owner)


def main() -> None:
    """Run the question on the command line."""
    question = clock.asked()
    torch.set_num_threads(question.threads)
    workload = models.workload(question.work)
    with standing_in(workload), scratch() as folder:
        stage = staged(folder, scenario(question, workload), question)
        terms = stage.scenario
        link = Loopback(stage.federation.nodes, lambda node, blob: engine.seated_answer(node, blob, SEED, terms.rounds))
        watch = clock.Clock()
        engine.play(stage, link, lambda _: watch.lap())
    clock.tell(question, watch, {"paceline": version("paceline"), "torch": torch.__version__})


def scenario(question: clock.Question, workload: Workload) -> Scenario:
    """As many people per round as the question says, on average: each takes part by chance."""
    about = work.WORKS[question.work]
    return Scenario(
        name="bench",
        title=workload.title,
        workload=workload.name,
        rounds=question.rounds,
        evaluate_every=question.rounds,
        data=Data(people=question.registered, rows_per_person=about.rows, held_out=0.0),
        parties=PartyTerms(count=question.parties),
        privacy={
            "unit": "person",
            "sampling_rate": question.sampled / question.registered,
            "noise_multiplier": 1.0,
            "clip": 1.0,
            "rows_per_person": about.rows,
            "max_attempts": 2 * question.rounds,
            "delta": 1e-3,
        },
        training=models.terms(about),
        exchange=Exchange(min_parties=question.parties),
    )


def staged(path: Path, terms: Scenario, question: clock.Question) -> engine.Stage:
    """Parties that have agreed on the scenario, with people from the pool."""
    x, y = work.read(question.folder, work.WORKS[question.work])
    people = Pool(x, y, question.registered)
    dealt = deal(terms, people, SEED)
    federation, task = found(path, terms, dealt, people, SEED)
    return engine.Stage(terms, SEED, federation, task, people, dealt)


if __name__ == "__main__":
    main()
