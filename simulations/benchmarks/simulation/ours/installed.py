"""Whole rounds of an installed workload on invented people, by the engine that is asked for."""

from importlib.metadata import version

import torch

from simulations import engine
from simulations.benchmarks.simulation.peers import clock
from simulations.scenario import Scenario, read_words

SEED, ROWS, STEPS = 1, 50, 5


def main() -> None:
    """Run the question on the command line."""
    question = clock.asked()
    torch.set_num_threads(question.threads)
    watch = clock.Clock()
    engine.run(scenario(question), SEED, lambda _: watch.lap())
    clock.tell(question, watch, {"paceline": version("paceline"), "torch": torch.__version__})


def scenario(question: clock.Question) -> Scenario:
    """Person-level privacy on the workload that the question names; as many steps as the comparison's works."""
    return read_words(
        {
            "name": "bench",
            "title": "Two engines compared",
            "workload": question.work,
            "rounds": question.rounds,
            "engine": question.engine,
            "evaluate_every": question.rounds,
            "data": {"people": question.registered, "rows_per_person": ROWS, "held_out": 0.0},
            "parties": {"count": question.parties},
            "privacy": {
                "unit": "person",
                "sampling_rate": question.sampled / question.registered,
                "noise_multiplier": 1.0,
                "clip": 1.0,
                "rows_per_person": ROWS,
                "max_attempts": 2 * question.rounds,
                "delta": 1e-3,
            },
            "training": {"learning_rate": 0.05, "local_steps": STEPS, "step_rows": ROWS // STEPS},
            "exchange": {"min_parties": question.parties},
        }
    )


if __name__ == "__main__":
    main()
