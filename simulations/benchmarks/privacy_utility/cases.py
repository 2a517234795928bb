"""Whom the study trains on: synthetic people with a watch, real runners, real lifters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from clients.algorithm_provider import initial_weights, public_rows
from federation import workloads
from federation.codecs import lane
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import Phase, Weights, Workload, trained_names
from federation.workloads import exercise_recognition
from privacy.accounting import noise_for
from privacy.levels import ample_levels
from simulations.benchmarks.arithmetic import Privacy, Task
from simulations.benchmarks.learning import read
from simulations.benchmarks.shares import Shares
from simulations.datasets import pace_rows, ten_mile_runners
from simulations.lifters import lifters
from simulations.population import Invented
from simulations.scenario import Data

PARTIES = 5
SHARES = (0.40, 0.25, 0.15, 0.12, 0.08)
"""What part of the synthetic people each of the five parties has."""

COLLUDING = 1
"""Parties whose shares of the noise may be known to the coordinator."""

WORN = {"rotation_deg": 60.0, "gain": 0.2, "quantity_skew": 0.5}
"""Everybody wears the watch another way and trains another amount; see `simulations.scenario.Data`."""

ROWS_PER_PERSON = 8
TRAINED, JUDGED, PRETRAINED = 11, 12, 13
"""Seeds of the people who train, who judge, and of the algorithm provider's."""

JUDGES = 400
OTHER_WATCH_DEG = 40.0
"""How much the watch of the algorithm provider's synthetic people is turned about its dial axis."""

PORTION = 400
STATES = ("VA", "MD", "DC", "PA", "NY")


@dataclass(frozen=True)
class Terms:
    """What stays the same at every ε: the steps, and the numbers of a [privacy] table except ε, δ and the noise."""

    rounds: int
    training: TrainingTerms
    clip: float
    rows_per_person: int
    sampling_rate: float = 1.0


@dataclass(frozen=True)
class Case:
    """Parties, the people who judge, and how to train with privacy (from `first`) and without (from `plain_first`)."""

    name: str
    workload: Workload
    parties: Sequence[Rows]
    judges: Rows
    private: Terms
    plain_rounds: int
    plain: TrainingTerms
    plain_first: Weights
    first: Weights
    public: Rows

    @property
    def people(self) -> int:
        """How many people train."""
        return sum(len(torch.unique(rows.person)) for rows in self.parties)

    @property
    def delta(self) -> float:
        """The largest power of ten that is at most 1 / (10 × people)."""
        return float(10.0 ** np.floor(np.log10(1 / (10 * self.people)) + 1e-9))

    @property
    def parameters(self) -> int:
        """How many numbers a round trains."""
        names = trained_names(self.first, self.workload.phases[0], self.private.training.trains)
        return sum(self.first[name].numel() for name in names)

    @property
    def shares(self) -> Shares:
        """Who adds shares of the noise where it is shared; a sum holds all parties with people."""
        contributors = len(self.parties) + (self.private.training.public_weight > 0)
        return Shares(contributors, len(self.parties), COLLUDING)

    def noise(self, epsilon: float, shared: bool) -> float:
        """σ of the contract: Skellam noise of as many levels as the model's size asks for, or Gaussian."""
        levels = ample_levels(lane.coordinates(self.parameters)) if shared else 0
        return noise_for(epsilon, self.private.sampling_rate, self.private.rounds, self.delta, levels)

    def without_privacy(self) -> Task:
        """Federated averaging, weighted by rows."""
        return Task(self.name, self.workload, self.plain_rounds, self.plain, None, self.plain_first, self.public)

    def at(self, epsilon: float, shared: bool) -> Task:
        """Person-level DP-FedAvg at `epsilon` for all rounds together; `shared`: as Gaussian noise of that variance."""
        terms, noise = self.private, self.noise(epsilon, shared)
        if shared:
            noise = self.shares.multiplier(noise, lane.coordinates(self.parameters))
        privacy = Privacy(
            terms.sampling_rate, noise, terms.clip, terms.rows_per_person, epsilon, self.delta, shared=shared
        )
        return Task(self.name, self.workload, terms.rounds, terms.training, privacy, self.first, self.public)


HEAD = Terms(
    rounds=24,
    training=TrainingTerms(
        trains=("head.",),
        local_steps=4,
        learning_rate=0.5,
        server_learning_rate=0.3,
        server_optimizer="adam",
        server_tau=0.01,
    ),
    clip=0.5,
    rows_per_person=ROWS_PER_PERSON,
)
HEAD_PLAIN = TrainingTerms(trains=("head.",), learning_rate=0.3, batch_rows=32)
WHOLE_PLAIN = TrainingTerms(learning_rate=0.05, local_epochs=3, batch_rows=32)
"""Chosen on other synthetic people (seeds 1 and 2), one set of terms for all sizes and all ε."""


def people_with_watches(count: int, seed: int) -> Rows:
    """Synthetic recordings of `count` people."""
    data = Data(people=count, rows_per_person=ROWS_PER_PERSON, **WORN)
    return Invented(workloads.find("exercise_recognition"), data, seed).rows(np.arange(count), 0.0)


def other_watches(count: int) -> Rows:
    """The algorithm provider's synthetic people: other people, all with the same watch, turned about its dial axis."""
    rows = exercise_recognition.invent(PRETRAINED, count, ROWS_PER_PERSON)
    angle = np.radians(OTHER_WATCH_DEG)
    turn = torch.tensor([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]).float()
    x = rows.fields["x"]
    return replace(rows, fields={**rows.fields, "x": torch.cat([turn @ x[:, :3], turn @ x[:, 3:]], dim=1)})


def statistics_of(rows: Rows) -> Rows:
    """`rows` as the head alone sees them: 15 fixed statistics per window, computed once."""
    parts = [exercise_recognition.statistics(part) for part in torch.split(rows.fields["x"], 1024)]
    return replace(rows, fields={**rows.fields, "x": torch.cat(parts)})


def head_alone() -> Workload:
    """`exercise_recognition` on statistics that were computed before.

    The same head, loss and scores, but training does not turn the windows at random, which would need them whole.
    """
    whole = workloads.find("exercise_recognition")

    def logits(weights: Weights, x: torch.Tensor) -> torch.Tensor:
        return x @ weights["head.weight"] + weights["head.bias"]

    def loss(weights: Weights, fields: Any, seed: int) -> torch.Tensor:
        del seed
        return functional.cross_entropy(logits(weights, fields["x"]), fields["y"], reduction="none")

    def together(weights: Weights, fields: Any, seed: int) -> torch.Tensor:
        del seed
        found = torch.baddbmm(weights["head.bias"][:, None], fields["x"], weights["head.weight"])
        labels = fields["y"]
        return functional.cross_entropy(found.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)

    def scores(weights: Weights, rows: Rows) -> dict[str, float]:
        with torch.no_grad():
            correct = (logits(weights, rows.fields["x"]).argmax(-1) == rows.fields["y"]).sum()
        return {"rows": float(len(rows)), "correct": float(correct)}

    return replace(whole, phases=(Phase("classify", True, ("head.",), loss, together),), scores=scores)


def statistics_of_people(count: int, seed: int) -> Rows:
    """`statistics_of` synthetic people, some at a time: the windows of thousands would fill the memory."""
    data = Data(people=count, rows_per_person=ROWS_PER_PERSON, **WORN)
    everybody = Invented(workloads.find("exercise_recognition"), data, seed)
    parts = []
    for start in range(0, count, PORTION):
        rows = statistics_of(everybody.rows(np.arange(start, min(start + PORTION, count)), 0.0))
        parts.append(Rows(rows.fields, rows.person + start))
    fields = {name: torch.cat([part.fields[name] for part in parts]) for name in ("x", "y")}
    return Rows(fields, torch.cat([part.person for part in parts]))


def dealt(rows: Rows, count: int, shares: Sequence[float] = SHARES) -> list[Rows]:
    """The first `count` people of `rows`, dealt to parties by `shares`."""
    ends = np.round(np.cumsum(shares) * count).astype(int)
    starts = [0, *ends[:-1]]
    return [rows.of(torch.arange(int(start), int(end))) for start, end in zip(starts, ends, strict=True)]


def watches(rows: Rows, judges: Rows, count: int, shares: Sequence[float] = SHARES) -> Case:
    """`count` synthetic people; `rows` and `judges`: statistics."""
    first = exercise_recognition.initial(0)
    return Case(
        name=f"{count:,} people with a watch",
        workload=head_alone(),
        parties=dealt(rows, count, shares),
        judges=judges,
        private=HEAD,
        plain_rounds=HEAD.rounds,
        plain=HEAD_PLAIN,
        plain_first=first,
        first=first,
        public=judges.take(_NOBODY),
    )


def runners() -> Case:
    """Real runners: five parties by home state, with the demo's terms; runners of all other states judge."""
    finishers = ten_mile_runners()
    parties = [pace_rows([runner for runner in finishers if runner.state == state]) for state in STATES]
    judges = pace_rows([runner for runner in finishers if runner.state not in STATES])
    private, plain = read("runners-private"), read("runners")
    assert private.privacy is not None  # noqa: S101 - narrows the type
    terms = Terms(private.rounds, private.training, private.privacy.clip, private.privacy.rows_per_person)
    return Case(
        name="runners",
        workload=private.workload,
        parties=parties,
        judges=judges,
        private=terms,
        plain_rounds=plain.rounds,
        plain=plain.training,
        plain_first=plain.first,
        first=private.first,
        public=private.public,
    )


LIFTERS = Terms(
    rounds=24,
    training=TrainingTerms(
        local_steps=4,
        learning_rate=0.03,
        server_learning_rate=12.0,
        public_people=200,
        pretrain_epochs=10,
        seed=1,
    ),
    clip=0.2,
    rows_per_person=4,
)
LIFTERS_PLAIN, LIFTERS_PLAIN_ROUNDS = TrainingTerms(learning_rate=0.1, batch_rows=64), 10


def lifting() -> Case:
    """Real lifters: the five federations that most people call home; lifters of all other federations judge."""
    found, workload = lifters(), workloads.find("lift_weight")
    homes = Counter(found.home.values())
    largest = [name for name, _ in homes.most_common(PARTIES)]
    parties = [found.of(frozenset({name})) for name in largest]
    judges = found.of(frozenset(homes) - frozenset(largest))
    first, public = initial_weights(workload, LIFTERS.training), public_rows(workload, LIFTERS.training)
    return Case(
        name="lifters",
        workload=workload,
        parties=parties,
        judges=judges,
        private=LIFTERS,
        plain_rounds=LIFTERS_PLAIN_ROUNDS,
        plain=LIFTERS_PLAIN,
        plain_first=workload.initial(0),
        first=first,
        public=public,
    )


_NOBODY = torch.zeros(0, dtype=torch.int64)
