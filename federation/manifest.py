"""The contract about training one workload: what is trained, on whom, why, at what privacy cost, until when.

A manifest is made of public constants. One whose numbers contradict one another cannot be constructed.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import rfc8785
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from federation.consent import Purpose
from federation.errors import ManifestError, TermsError
from federation.ids import Fingerprint, PartyId, TaskDigest
from federation.roles import Role, Step, may

if TYPE_CHECKING:
    from privacy.accounting import SampledGaussian

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


def _require_epsilon(declared: float, cost: Callable[[], "SampledGaussian"], charges: int, delta: float) -> None:
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
    """

    unit: Literal["person", "record"] = "person"
    sampling_rate: Probability
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1000)]
    clip: Annotated[float, Field(gt=0, le=1e6)]
    rows_per_person: Annotated[int, Field(ge=1, le=100_000)]
    max_attempts: Annotated[int, Field(ge=1, le=100_000)]
    delta: Annotated[float, Field(gt=0, lt=0.1)]
    epsilon: Annotated[float, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _epsilon_is_what_the_numbers_say(self) -> Self:
        _require_epsilon(self.epsilon, self.person_cost, self.max_attempts, self.delta)
        return self

    def person_cost(self) -> "SampledGaussian":
        """What one attempt costs a person, as a Poisson-sampled Gaussian (q, σ).

        For unit ``record`` it is the charge of a group of `rows_per_person` rows (`privacy.accounting.of_group`).
        """
        from privacy.accounting import SampledGaussian, of_group

        cost = SampledGaussian(self.sampling_rate, self.noise_multiplier)
        return cost if self.unit == "person" else of_group(cost, self.rows_per_person)


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
    public_weight: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    public_people: Annotated[int, Field(ge=0, le=100_000)] = 0
    pretrain_epochs: Annotated[int, Field(ge=0, le=1000)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @property
    def vectors(self) -> int:
        """How many numbers travel per trained parameter: two under SCAFFOLD, whose variates have its shape."""
        return 2 if self.scaffold else 1

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
    def _pull_does_not_overshoot(self) -> Self:
        if self.proximal * self.learning_rate > 1:
            raise ValueError(
                f"proximal = {self.proximal:g} times learning_rate = {self.learning_rate:g} is more than 1, so that a "
                f"step would jump past the round's weights. Write proximal = {1 / self.learning_rate:g} or less"
            )
        return self


class ExchangeTerms(Part):
    """How models and updates travel."""

    up: Literal["fp32", "fp16", "int8"] = "fp32"
    down: Literal["fp32", "fp16", "int8"] = "fp32"
    secure: Literal[False] = False
    min_parties: Annotated[int, Field(ge=1, le=1000)]


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


class Member(Part):
    """One party of the cohort; `people` is the public number that it declared, 0 for an algorithm provider."""

    party: Annotated[PartyId, Field(pattern=SLUG)]
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=PRINTABLE)]
    role: Role
    fingerprint: Annotated[Fingerprint, Field(pattern=HEX64)]
    people: Annotated[int, Field(ge=0, le=10**9)] = 0

    @model_validator(mode="after")
    def _only_who_may_declares_people(self) -> Self:
        if self.people and not may(self.role, Step.TRAIN_ON_PEOPLE):
            raise ValueError(f"{self.party} is a {self.role}, which has no people, but declares {self.people}")
        return self


class WorkloadPin(Part):
    """Which installed workload: name, version and the SHA-256 of its source file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
    version: Annotated[int, Field(ge=1, lt=2**31)]
    digest: Annotated[str, Field(pattern=HEX64)]


class Manifest(Part):
    """A task. Its digest, `digest()`, is what everybody signs."""

    format: Literal["paceline-task-1"] = "paceline-task-1"
    name: Annotated[str, Field(pattern=SLUG)]
    title: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
    workload: WorkloadPin
    purpose: Purpose
    rounds: Annotated[int, Field(ge=1, le=100_000)]
    privacy: Annotated[PersonTerms | Unprotected, Field(discriminator="unit")]
    training: TrainingTerms
    exchange: ExchangeTerms
    evaluation: Annotated[PublishedScores | NoisedScores, Field(discriminator="disclosure")] | None = None
    cohort: Annotated[tuple[Member, ...], Field(min_length=1, max_length=1000)]
    coordinator: Annotated[Fingerprint, Field(pattern=HEX64)]
    round_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    answer_after_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    issued_at: AwareDatetime
    expires_at: AwareDatetime

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        ids = [member.party for member in self.cohort]
        if len(set(ids)) != len(ids) or len({member.fingerprint for member in self.cohort}) != len(ids):
            raise ValueError("a party or a key stands twice in the cohort")
        if not self.issued_at < self.expires_at:
            raise ValueError("the task expires before it is issued")
        if not self.enough(ids):
            with_people = sum(member.people > 0 for member in self.cohort)
            raise ValueError(f"min_parties = {self.exchange.min_parties} but only {with_people} parties have people")
        if self.divisor() <= 0:
            raise ValueError("nobody contributes: no party declares people and public_weight is 0")
        if isinstance(self.privacy, PersonTerms) and self.max_attempts < self.rounds and not self.training.phases:
            raise ValueError(f"{self.rounds} rounds need at least as many attempts, not {self.privacy.max_attempts}")
        if self.training.scaffold and (self.exchange.secure or isinstance(self.privacy, PersonTerms)):
            raise ValueError(
                "scaffold releases a second vector of each party, its control variate, which neither the privacy terms "
                'nor secure aggregation cover. Write scaffold = false, or unit = "none" and secure = false'
            )
        if self.answer_after_s >= self.round_deadline_s:
            raise ValueError("answer_after_s must be below round_deadline_s")
        return self

    @model_validator(mode="after")
    def _steps_have_rows(self) -> Self:
        step, terms = self.training.step_rows, self.privacy
        if step and not (isinstance(terms, PersonTerms) and terms.unit == "person"):
            raise ValueError(
                f"step_rows = {step} is about the steps of a person, but privacy.unit is {terms.unit}. "
                + ("Write batch_rows" if terms.unit == "none" else "Leave it out: there each step takes one row")
            )
        if isinstance(terms, PersonTerms) and step > terms.rows_per_person:
            raise ValueError(f"step_rows = {step} is more than rows_per_person = {terms.rows_per_person}")
        return self

    @property
    def max_attempts(self) -> int:
        """Attempts of all rounds together that read people's rows; without privacy terms twice the rounds."""
        return self.privacy.max_attempts if isinstance(self.privacy, PersonTerms) else 2 * self.rounds

    @property
    def max_questions(self) -> int:
        """Attempt numbers of one kind are below this: rounds on nobody (`phases`) may be tried twice on top."""
        spare = 2 * self.rounds if self.training.phases and isinstance(self.privacy, PersonTerms) else 0
        return self.max_attempts + spare

    def contributors(self) -> tuple[Member, ...]:
        """Who is asked in rounds on people: all who declare people, algorithm providers if `public_weight` > 0."""
        return tuple(
            member
            for member in self.cohort
            if member.people or (member.role is Role.ALGORITHM_PROVIDER and self.training.public_weight)
        )

    def enough(self, parties: Iterable[PartyId]) -> bool:
        """Whether `min_parties` of `parties` have people: an update from synthetic rows hides nobody, for anyone can
        compute it.
        """
        hiding = {member.party for member in self.cohort if member.people}
        return len(hiding & set(parties)) >= self.exchange.min_parties

    def member(self, party: PartyId) -> Member:
        """The cohort's entry for `party`, or `ManifestError`."""
        for member in self.cohort:
            if member.party == party:
                return member
        raise ManifestError(f"{party} is not in the cohort of task {self.name}.")

    def divisor(self) -> float:
        """What a sum of updates is divided by in rounds on people: expected people, plus the public weight."""
        people = sum(member.people for member in self.cohort)
        rate = self.privacy.sampling_rate if isinstance(self.privacy, PersonTerms) else 1.0
        public = sum(member.role is Role.ALGORITHM_PROVIDER for member in self.cohort)
        return rate * people + self.training.public_weight * public

    def canonical(self) -> bytes:
        """RFC 8785 bytes; equal manifests have equal bytes."""
        return rfc8785.dumps(self.model_dump(mode="json"))

    def digest(self) -> TaskDigest:
        """SHA-256 of `canonical()`."""
        return TaskDigest(hashlib.sha256(self.canonical()).hexdigest())

    def expired(self, at: datetime) -> bool:
        """Whether the task has ended at `at`."""
        return at >= self.expires_at


def parse(data: bytes | str) -> Manifest:
    """A manifest from JSON text, or `ManifestError` that names each contradiction."""
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ManifestError(explain(error)) from error


def explain(error: ValidationError, what: str = "task") -> str:
    """One line per problem, without pydantic's jargon and without the input's values."""
    items = error.errors(include_url=False, include_context=False, include_input=False)[:20]
    lines = [f"{'.'.join(str(part) for part in item['loc'])[:80] or what}: {item['msg']}" for item in items]
    return f"this is not a valid {what}:\n  " + "\n  ".join(lines)
