"""Federated averaging by Flower's simulation engine: one virtual node per person, on Ray actors of one core each."""

import random
import time
from importlib.metadata import version

import torch
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.server import Grid
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from simulations.benchmarks.simulation.peers import clock, work


def client(question: clock.Question) -> ClientApp:
    """What a virtual node does: load the weights, train on its person's rows, send the weights back."""
    app = ClientApp()
    about = work.WORKS[question.work]

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        x, y = work.read(question.folder, about)
        person = int(context.node_config["partition-id"]) % len(x)
        model = work.module(question.work)
        model.load_state_dict(message.content.array_records["weights"].to_torch_state_dict())
        work.train(model, about, x[person], y[person])
        return Message(RecordDict({"weights": ArrayRecord(model.state_dict())}), reply_to=message)

    return app


def server(question: clock.Question) -> ServerApp:
    """Ask a sample of the nodes, take the mean of what they send, round by round."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        torch.manual_seed(0)
        model, draw = work.module(question.work), random.Random(0)  # noqa: S311 - who takes part in a measurement
        while len(nodes := list(grid.get_node_ids())) < question.registered:
            time.sleep(0.2)
        watch = clock.Clock()
        for _ in range(question.rounds):
            content = RecordDict({"weights": ArrayRecord(model.state_dict())})
            chosen = draw.sample(nodes, question.sampled)
            answers = list(grid.send_and_receive([Message(content, node, "train") for node in chosen]))
            lost = [answer.error for answer in answers if answer.has_error()]
            if lost or len(answers) < question.sampled:
                raise SystemExit(f"error: {len(answers)} of {question.sampled} answered; {lost[:1]}")
            states = [answer.content.array_records["weights"].to_torch_state_dict() for answer in answers]
            model.load_state_dict({key: torch.stack([state[key] for state in states]).mean(0) for key in states[0]})
            watch.lap()
        clock.tell(question, watch, {"flwr": version("flwr"), "ray": version("ray"), "torch": torch.__version__})

    return app


if __name__ == "__main__":
    asked = clock.asked()
    run_simulation(
        server(asked),
        client(asked),
        num_supernodes=asked.registered,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
