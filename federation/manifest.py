"""The contract about training one workload: what is trained, on whom, why, at what privacy cost, until when.

A manifest is made of public constants. One whose numbers contradict one another cannot be constructed.
"""

import hashlib
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, Self

import rfc8785
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from federation import quorum
from federation.codecs import lane
from federation.consent import Purpose
from federation.errors import ManifestError, WireError
from federation.ids import Fingerprint, PartyId, TaskDigest
from federation.roles import Role, Step, may
from federation.terms import (
    HEX64,
    PRINTABLE,
    SLUG,
    ExchangeTerms,
    NoisedScores,
    Part,
    PersonTerms,
    PublishedScores,
    TrainingTerms,
    Unprotected,
)

NOISE_REACH = 6.0
"""Lanes hold noise of so many standard deviations: what is beyond, once in 500 million, wraps around."""


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
    def _rule_fits_the_cohort(self) -> Self:
        training, parties = self.training, len(self.contributors())
        if training.sees_updates and self.exchange.secure:
            raise ValueError(
                f'aggregation = "{training.aggregation}" and norm_limit need each update in clear, which secure '
                'aggregation hides. Write secure = false, or aggregation = "mean" without norm_limit'
            )
        if parties < training.quorum:
            raise ValueError(
                f'aggregation = "{training.aggregation}" withstands {training.byzantine} hostile of at least '
                f"{training.quorum} parties, but {parties} contribute. Lower byzantine, or invite more parties"
            )
        if training.norm_limit and isinstance(self.privacy, PersonTerms):
            raise ValueError(
                "norm_limit is for tasks without privacy terms: with them every update is cut to what its declared "
                "people, the clip and the noise can reach. Leave norm_limit out"
            )
        return self

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
        if self.training.scaffold and self.exchange.down == "ecq":
            raise ValueError(
                "scaffold sends a control variate behind the model, but down = ecq sends differences of models alone. "
                'Write scaffold = false, or down = "raw32"'
            )
        if self.answer_after_s >= self.round_deadline_s:
            raise ValueError("answer_after_s must be below round_deadline_s")
        return self

    @model_validator(mode="after")
    def _secure_sum_hides(self) -> Self:
        parties = len(self.contributors())
        shared = isinstance(self.privacy, PersonTerms) and self.privacy.noise == "shared"
        if not self.exchange.secure:
            if shared:
                raise ValueError('noise = "shared" protects a sum only. Write secure = true, up = "lane" and up_bits')
            return self
        if not quorum.FEWEST <= parties <= quorum.MOST:
            raise ValueError(
                f"{parties} parties contribute; secure aggregation takes {quorum.FEWEST} to {quorum.MOST}. "
                "Invite more parties, or write secure = false"
            )
        try:
            lane.step(1, 1.0, parties, int(self.exchange.up_bits))
        except WireError as error:
            raise ValueError(f"up_bits = {self.exchange.up_bits:g}: {error}") from error
        if self.training.phases:
            raise ValueError("secure aggregation sums rounds of one phase; write secure = false, or name no phases")
        if shared == bool(self.exchange.clip):
            raise ValueError(
                "exchange.clip bounds a party's update where noise is not shared, and only there: "
                + ("leave it out" if shared else "write the largest L2 norm that a party's whole update may have")
            )
        return self

    @model_validator(mode="after")
    def _shared_noise_is_enough(self) -> Self:
        terms, parties = self.privacy, len(self.contributors())
        if not (isinstance(terms, PersonTerms) and terms.noise == "shared"):
            return self
        if terms.colluding > quorum.most_colluding(parties):
            raise ValueError(
                f"colluding = {terms.colluding} of {parties} parties could have two lists of survivors borne out; "
                f"write {quorum.most_colluding(parties)} or less, or invite more parties"
            )
        deviation = self.noise_deviation(terms)
        if 2 ** (self.exchange.up_bits - 1) <= NOISE_REACH * deviation:
            needed = math.ceil(math.log2(NOISE_REACH * deviation)) + 1
            raise ValueError(
                f"up_bits = {self.exchange.up_bits:g} cannot hold the noise of {parties} parties, of standard "
                f"deviation {deviation:.0f}; write at least {needed}, or fewer levels than {terms.levels}"
            )
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

    def noise_deviation(self, terms: PersonTerms) -> float:
        """Of the noise that a sum carries where all parties share it and all answer, in whole numbers."""
        parties = len(self.contributors())
        honest = quorum.smallest_sum(parties, self.exchange.min_parties) - terms.colluding
        return terms.noise_multiplier * terms.levels * math.sqrt(parties / honest)

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
        """Whether `min_parties` of `parties` have people, and all are as many as the task's rule needs.

        An update from synthetic rows hides nobody, for anyone can compute it.
        """
        present, hiding = set(parties), {member.party for member in self.cohort if member.people}
        return len(hiding & present) >= self.exchange.min_parties and len(present) >= self.training.quorum

    def member(self, party: PartyId) -> Member:
        """The cohort's entry for `party`, or `ManifestError`."""
        for member in self.cohort:
            if member.party == party:
                return member
        raise ManifestError(f"{party} is not in the cohort of task {self.name}.")

    def divisor(self) -> float:
        """What a sum of updates is divided by in rounds on people: all that its parties stand for."""
        return self.stands_for(self.cohort)

    def stands_for(self, members: Iterable[Member]) -> float:
        """How much updates of `members` weigh by the contract: expected people, plus the public weight."""
        listed = tuple(members)
        rate = self.privacy.sampling_rate if isinstance(self.privacy, PersonTerms) else 1.0
        public = sum(member.role is Role.ALGORITHM_PROVIDER for member in listed)
        return rate * sum(member.people for member in listed) + self.training.public_weight * public

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
    """One line per problem, without pydantic's jargon and without the input's values.

    Names in the input command no terminal, and any database can keep them.
    """
    items = error.errors(include_url=False, include_context=False, include_input=False)[:20]
    lines = [f"{'.'.join(str(part) for part in item['loc'])[:80] or what}: {item['msg']}" for item in items]
    shown = (
        "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line) for line in lines
    )
    return f"this is not a valid {what}:\n  " + "\n  ".join(shown)
