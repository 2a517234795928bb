"""The terms of a task: its privacy, its training, how models travel, how scores are told.

They are public constants. Terms that contradict one another cannot be constructed.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federation import codecs
from federation.codecs import lane
from federation.errors import TermsError, WireError

if TYPE_CHECKING:
    from privacy.accounting import Charge, SampledGaussian

SLUG = r"^[a-z0-9][a-z0-9-]{0,39}$"
HEX64 = r"^[0-9a-f]{64}$"
PRINTABLE = r"^[^\p{C}\p{Zl}\p{Zp}]*$"
"""Text that others chose and a person reads: no control characters, line breaks or changes of direction, with which a
contract could be made to look like another one on a terminal."""
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PhaseName = Annotated[str, Field(min_length=1, max_length=40, pattern=PRINTABLE)]


class Part(BaseModel):
    """A frozen piece of a manifest; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _require_epsilon(declared: float, cost: Callable[[], "Charge"], charges: int, delta: float) -> None:
    """Raise `ValueError` unless `declared` is what the other terms cost a person, at most 5 % above."""
    from privacy import accounting

    try:
        term = cost()
        actual = accounting.epsilon(term, charges, delta)
    except TermsError as error:
        raise ValueError(str(error)) from error
    if not actual <= declared <= actual * 1.05 + 1e-3:
        raise ValueError(
            f"epsilon = {declared:g} contradicts the other terms, which cost ε = {actual:.4f} per person "
            f"(q = {term.sampling_rate:g}, σ = {term.noise_multiplier:g}, {charges} charges, δ = {delta:g}). "
            f"Write epsilon = {math.ceil(actual * 1000) / 1000:g}, or change the terms"
        )


def later(default: Any, **limits: Any) -> Any:
    """A term that a later version added: absent from the bytes where it has its default, which means what older tasks
    meant. So they keep their digest.
    """
    return Field(default=default, exclude_if=lambda value: bool(value == default), **limits)


class PersonTerms(Part):
    """Person-level DP-FedAvg (DESIGN §7): the whole influence of one person on a round has L2 norm ≤ `clip`.

    `unit` = ``record`` clips every row instead; people are then charged by group privacy for `rows_per_person` rows.
    `epsilon` is for `max_attempts` charges at `delta` under add/remove of one person, by RDP; it is recomputed.
    `max_attempts` counts all attempts of the task that read people's rows: one for each such round, plus spare ones
    for rounds that fail. A node counts them in its own ledger.

    `noise`: every ``node`` adds all of it, or it is ``shared``: each adds a part, and only the sum under masks holds
    enough. Shared noise is in whole numbers, of which a person's have an L2 norm of at most `levels`; it is sized for
    sums in which `colluding` of the fewest parties side with the coordinator and tell it their part.
    """

    unit: Literal["person", "record"] = "person"
    sampling_rate: Probability
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1000)]
    clip: Annotated[float, Field(gt=0, le=1e6)]
    rows_per_person: Annotated[int, Field(ge=1, le=100_000)]
    max_attempts: Annotated[int, Field(ge=1, le=100_000)]
    delta: Annotated[float, Field(gt=0, lt=0.1)]
    epsilon: Annotated[float, Field(gt=0, le=100)]
    noise: Literal["node", "shared"] = later("node")
    levels: int = later(0, ge=0, le=2**20)
    colluding: int = later(0, ge=0, le=100)

    @model_validator(mode="after")
    def _shared_noise_is_in_whole_numbers(self) -> Self:
        shared = self.noise == "shared"
        if shared and self.unit != "person":
            raise ValueError('noise = "shared" protects people; write unit = "person", or noise = "node"')
        if shared != bool(self.levels):
            raise ValueError(
                f'noise = "{self.noise}" with levels = {self.levels}: '
                + ("write levels = 512 or more, the L2 norm of a person's whole numbers" if shared else "leave it out")
            )
        if self.colluding and not shared:
            raise ValueError("colluding is about noise that parties share; leave it out where each node adds its own")
        return self

    @model_validator(mode="after")
    def _epsilon_is_what_the_numbers_say(self) -> Self:
        _require_epsilon(self.epsilon, self.person_cost, self.max_attempts, self.delta)
        return self

    def mechanism(self) -> "Charge":
        """What one attempt draws and adds, for one unit."""
        from privacy.accounting import charge

        return charge(self.sampling_rate, self.noise_multiplier, self.levels)

    def person_cost(self) -> "Charge":
        """What one attempt costs a person.

        For unit ``record`` it is the charge of a group of `rows_per_person` rows (`privacy.accounting.of_group`).
        """
        from privacy.accounting import of_group

        return self.mechanism() if self.unit == "person" else of_group(self.mechanism(), self.rows_per_person)


class Unprotected(Part):
    """No differential privacy: every node must have waived it in its own policy, in words."""

    unit: Literal["none"]


class TrainingTerms(Part):
    """Local and central steps. Under `PersonTerms` each person takes `local_steps` SGD steps from the round's weights
    over at most `rows_per_person` rows; without DP each party takes `local_epochs` epochs over its rows.

    `step_rows` are the rows of each of a person's steps, taken from the person's rows in turn; 0: all in every step.
    `proximal` is μ of FedProx (Li et al. 2020, eq. 2): local steps are pulled back to the round's weights.

    The mean update moves the model by `server_learning_rate` as it is (``sgd``: FedAvg), or by FedAdam or FedYogi with
    `server_beta1`, `server_beta2` and `server_tau` (`server.optimisers`).

    `scaffold` corrects each party's steps by control variates (Karimireddy et al. 2020, Algorithm 1, option II): a
    second vector that travels in both directions, for tasks without privacy terms only.

    `aggregation`: how the updates of rounds on people become one (`server.robust`); `byzantine`: how many parties may
    send anything, which a rule other than the mean withstands. `norm_limit`: the L2 norm to which a longer update is
    cut, 0 for none; for tasks without privacy terms, which name such a limit themselves.

    `phases` names the workload's phases in the order in which rounds train them, over and over (`federation.phases`);
    one that stands there twice comes twice as often. Empty: the workload has one phase.
    """

    trains: tuple[str, ...] = ()
    phases: tuple[PhaseName, ...] = later((), max_length=100)
    local_steps: Annotated[int, Field(ge=1, le=1000)] = 1
    step_rows: int = later(0, ge=0, le=100_000)
    local_epochs: Annotated[int, Field(ge=1, le=100)] = 1
    batch_rows: Annotated[int, Field(ge=1, le=100_000)] = 32
    learning_rate: Positive
    proximal: float = later(0.0, ge=0, le=1e6)
    server_learning_rate: Positive = 1.0
    server_optimizer: Literal["sgd", "adam", "yogi"] = later("sgd")
    server_beta1: float = later(0.9, ge=0, lt=1)
    server_beta2: float = later(0.99, ge=0, lt=1)
    server_tau: float = later(1e-3, gt=0, le=1e6)
    scaffold: bool = later(False)
    aggregation: Literal["mean", "median", "trimmed-mean", "multi-krum"] = later("mean")
    byzantine: int = later(0, ge=0, le=1000)
    norm_limit: float = later(0.0, ge=0, le=1e9)
    public_weight: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    public_people: Annotated[int, Field(ge=0, le=100_000)] = 0
    pretrain_epochs: Annotated[int, Field(ge=0, le=1000)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @property
    def vectors(self) -> int:
        """How many numbers travel per trained parameter: two under SCAFFOLD, whose variates have its shape."""
        return 2 if self.scaffold else 1

    @property
    def sees_updates(self) -> bool:
        """Whether the coordinator treats each party's update by itself, beyond adding it up."""
        return self.aggregation != "mean" or self.norm_limit > 0

    @property
    def quorum(self) -> int:
        """The fewest updates of which `aggregation` withstands `byzantine` (Yin et al. 2018; Blanchard et al. 2017)."""
        return {"mean": 0, "multi-krum": 2 * self.byzantine + 3}.get(self.aggregation, 2 * self.byzantine + 1)

    @model_validator(mode="after")
    def _one_answer_to_drift(self) -> Self:
        if self.scaffold and self.proximal:
            raise ValueError(
                "scaffold and proximal both hold local steps back, and a control variate would count the pull as a "
                "slope of the rows. Write proximal = 0 or scaffold = false"
            )
        if self.scaffold and self.phases:
            raise ValueError("scaffold corrects tasks of one phase; write scaffold = false, or name no phases")
        return self

    @model_validator(mode="after")
    def _rule_knows_whom_it_withstands(self) -> Self:
        if self.aggregation == "mean" and self.byzantine:
            raise ValueError(
                f"byzantine = {self.byzantine}, but a mean withstands no hostile party. Write aggregation = "
                '"trimmed-mean", "median" or "multi-krum", or leave byzantine out'
            )
        if self.aggregation in {"trimmed-mean", "multi-krum"} and not self.byzantine:
            raise ValueError(
                f'aggregation = "{self.aggregation}" leaves out as many updates as parties may be hostile, but '
                "byzantine is 0. Write byzantine = 1 or more"
            )
        if self.scaffold and self.sees_updates:
            raise ValueError(
                "scaffold sums control variates that stay with the parties, from which none can be left out or cut. "
                'Write scaffold = false, or aggregation = "mean" without norm_limit'
            )
        return self

    @model_validator(mode="after")
    def _pull_does_not_overshoot(self) -> Self:
        if self.proximal * self.learning_rate > 1:
            raise ValueError(
                f"proximal = {self.proximal:g} times learning_rate = {self.learning_rate:g} is more than 1, so that a "
                f"step would jump past the round's weights. Write proximal = {1 / self.learning_rate:g} or less"
            )
        return self


class Ways(Part):
    """How models and updates travel (`federation.codecs`): `up_bits` and `down_bits` per value where a codec has a
    budget, else 0.

    `secure`: updates are summed under masks, in lanes of `up_bits` whole bits. `clip` is then the public bound on the
    L2 norm of one party's whole update, where no noise shared between parties says what it is.
    """

    up: Literal["raw32", "raw16", "int8_block", "urq", "lane"] = "raw32"
    up_bits: float = later(0.0, ge=0, le=lane.LARGEST_BITS)
    down: Literal["raw32", "raw16", "int8_block", "ecq"] = "raw32"
    down_bits: float = later(0.0, ge=0, le=codecs.LARGEST_BITS)
    secure: bool = False
    clip: float = later(0.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _budgets_belong_to_the_codecs(self) -> Self:
        require_budget("up", self.up, self.up_bits)
        require_budget("down", self.down, self.down_bits)
        return self

    @model_validator(mode="after")
    def _lanes_are_summed_under_masks(self) -> Self:
        if self.secure != (self.up == "lane"):
            raise ValueError(
                f"secure = {str(self.secure).lower()} with up = {self.up}: sums under masks travel in lanes, and lanes "
                f'in nothing else. Write up = "lane" and up_bits = 8 with secure = true, or another codec with '
                "secure = false"
            )
        return self


class ExchangeTerms(Ways):
    """How models and updates travel in a task, and from how many parties with people at least."""

    min_parties: Annotated[int, Field(ge=1, le=1000)]


def require_budget(way: str, codec: str, bits: float) -> None:
    """Raise `ValueError` unless `codec` takes a budget of `bits` per value; 0 stands for none. `way`: up or down."""
    try:
        if codec == "lane":
            lane.require_bits(bits)
        else:
            codecs.find(codec, bits)
    except WireError as error:
        raise ValueError(f"{way} = {codec} with {way}_bits = {bits:g}: {error}") from error


class PublishedScores(Part):
    """Exact scores, of held-out people whose consent covers `Purpose.PUBLISH_SCORES` only."""

    disclosure: Literal["published"]
    every_rounds: Annotated[int, Field(ge=1, le=100_000)] = 1


class NoisedScores(Part):
    """Scores of held-out people as a noised sum: each person's score vector is clipped to L2 norm 1; charged."""

    disclosure: Literal["noised"]
    every_rounds: Annotated[int, Field(ge=1, le=100_000)] = 1
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1000)]
    max_evaluations: Annotated[int, Field(ge=1, le=100_000)]
    delta: Annotated[float, Field(gt=0, lt=0.1)]
    epsilon: Annotated[float, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _epsilon_is_what_the_numbers_say(self) -> Self:
        _require_epsilon(self.epsilon, self.person_cost, self.max_evaluations, self.delta)
        return self

    def person_cost(self) -> "SampledGaussian":
        """What one evaluation costs a held-out person."""
        from privacy.accounting import SampledGaussian

        return SampledGaussian(1.0, self.noise_multiplier)
