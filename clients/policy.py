"""What this node's owner allows: the second gate, after the signatures and before any data."""

from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from federation.consent import AGE_OF_CONSENT_YEARS, Purpose
from federation.errors import ManifestError, PrivacyError, Refusal, Refused
from federation.ids import Fingerprint, PartyId
from federation.manifest import Manifest, Member
from federation.roles import Role, Step, require
from federation.terms import HEX64, SLUG, NoisedScores, PersonTerms, PublishedScores

if TYPE_CHECKING:
    from federation.workload import Vector

_SEAL = object()
ON_PEOPLE = frozenset({Step.TRAIN_ON_PEOPLE, Step.EVALUATE_PEOPLE})


class Policy(BaseModel):
    """The ``[policy]`` table of node.toml; what is not listed is refused.

    `max_epsilon` at `delta` is what all tasks together may ever cost one person; `max_epsilon_per_task` what one may.
    `min_people`: the node trains on no fewer eligible people. `allow_unprotected`: tasks, by name, that may run
    without differential privacy. `allow_published_scores`: exact scores of people who consented to `PUBLISH_SCORES`.
    `share_noise_with`: parties, with the fingerprints that they told this owner, whose shares of the noise may protect
    people here; all of the noise is added at this node for whoever lists nobody.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    purposes: tuple[Purpose, ...] = ()
    workloads: tuple[str, ...] = ()
    max_epsilon: Annotated[float, Field(gt=0, le=100)] = 1.0
    delta: Annotated[float, Field(gt=0, lt=0.1)] = 1e-6
    max_epsilon_per_task: Annotated[float, Field(gt=0, le=100)] = 1.0
    min_parties: Annotated[int, Field(ge=1, le=1000)] = 2
    min_people: Annotated[int, Field(ge=1, le=10**9)] = 2
    allow_unprotected: tuple[str, ...] = ()
    allow_published_scores: bool = False
    share_noise_with: dict[Annotated[PartyId, Field(pattern=SLUG)], Annotated[Fingerprint, Field(pattern=HEX64)]] = {}
    max_task_days: Annotated[float, Field(gt=0, le=3660)] = 366.0
    age_of_consent_years: Annotated[int, Field(ge=AGE_OF_CONSENT_YEARS, le=150)] = AGE_OF_CONSENT_YEARS


@dataclass(frozen=True)
class Waiver:
    """The owner wrote the name of this task under ``allow_unprotected``; only `admit` makes one."""

    task: str
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        _require_seal(seal, "Waiver", "admit")


@dataclass(frozen=True)
class Unprotected:
    """An update that may leave without noise because of a waiver; only `unprotected` makes one."""

    vector: "Vector"
    waiver: Waiver
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        _require_seal(seal, "Unprotected", "unprotected")

    def __repr__(self) -> str:
        return f"Unprotected({len(self.vector)} parameters, {self.waiver})"


@dataclass(frozen=True)
class Admission:
    """This node's policy permits `step` of `manifest`; only `admit` makes one. `waiver` only for unprotected tasks."""

    manifest: Manifest
    step: Step
    member: Member
    waiver: Waiver | None
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        _require_seal(seal, "Admission", "admit")


def admit(policy: Policy, manifest: Manifest, party: PartyId, role: Role, step: Step) -> Admission:
    """The proof that `policy` permits `step`, or `Refused` with the line of node.toml that forbids it."""
    require(role, step)
    member = _member(manifest, party, role)
    _check_task(policy, manifest)
    _check_keys(policy, manifest)
    if step in ON_PEOPLE:
        _check_people(policy, manifest)
    if step is Step.TRAIN_ON_PEOPLE:
        _check_noise(policy, manifest, party)
    if step is Step.EVALUATE_PEOPLE:
        _check_scores(policy, manifest)
    return Admission(manifest, step, member, _waive(policy, manifest), _SEAL)


def unprotected(vector: "Vector", waiver: Waiver | None) -> Unprotected:
    """Let `vector` (parameters,) leave without noise; without a waiver it is refused."""
    if waiver is None:
        raise Refused(Refusal.POLICY, "an update without noise needs a waiver; this task has privacy terms.")
    return Unprotected(vector, waiver, _SEAL)


def cost_per_person(manifest: Manifest, delta: float) -> float:
    """The largest ε at `delta` that the task's attempts and evaluations may cost one person; ∞ without privacy terms.

    Nobody pays for both: held-out people never train (`clients.data` sees to it).
    """
    from privacy import accounting

    if not isinstance(manifest.privacy, PersonTerms):
        return float("inf")
    training = accounting.epsilon(manifest.privacy.person_cost(), manifest.privacy.max_attempts, delta)
    if not isinstance(manifest.evaluation, NoisedScores):
        return training
    return max(training, scores_cost_per_person(manifest.evaluation, delta))


def scores_cost_per_person(scores: NoisedScores, delta: float) -> float:
    """The largest ε at `delta` that all evaluations together may cost one held-out person."""
    from privacy import accounting

    return accounting.epsilon(scores.person_cost(), scores.max_evaluations, delta)


def strangers_to_noise(policy: Policy, manifest: Manifest, party: PartyId) -> tuple[Member, ...]:
    """Those who would share the noise of `party`'s people without being listed under ``share_noise_with``."""
    if not (isinstance(manifest.privacy, PersonTerms) and manifest.privacy.noise == "shared"):
        return ()
    listed = {*policy.share_noise_with, party}
    return tuple(member for member in manifest.contributors() if member.party not in listed)


def words(policy: Policy) -> list[str]:
    """The policy as sentences for its owner."""
    unprotected_tasks = _listed(policy.allow_unprotected)
    scores = "may leave" if policy.allow_published_scores else "never leave"
    return [
        f"People's data may be used for: {_listed(policy.purposes)}.",
        f"Workloads that may be trained: {_listed(policy.workloads)}.",
        f"All tasks together may cost one person at most ε = {policy.max_epsilon:g} at δ = {policy.delta:g} "
        f"(unit: person, by RDP); one task at most {policy.max_epsilon_per_task:g}.",
        f"Tasks need at least {policy.min_parties} parties, training here at least {policy.min_people} people.",
        f"Tasks that may run WITHOUT differential privacy: {unprotected_tasks}.",
        f"Parties whose shares of the noise may protect people here: {_listed(tuple(policy.share_noise_with))}.",
        f"Exact scores of held-out people who consented to publish-scores {scores}.",
        f"Tasks last at most {policy.max_task_days:g} days.",
        f"For people below {policy.age_of_consent_years} years a guardian consents.",
    ]


def _require_seal(seal: object, made: str, maker: str) -> None:
    if seal is not _SEAL:
        raise PrivacyError(f"{made} is a proof that only clients.policy.{maker} may make; call it instead.")


def _refuse(message: str) -> Refused:
    return Refused(Refusal.POLICY, message)


def _member(manifest: Manifest, party: PartyId, role: Role) -> Member:
    try:
        member = manifest.member(party)
    except ManifestError as error:
        raise Refused(Refusal.UNKNOWN_TASK, str(error)) from error
    if member.role is not role:
        raise Refused(
            Refusal.WRONG_ROLE,
            f"task {manifest.name} names this node a {member.role}; it joined as {role}. Ask for a corrected task.",
        )
    return member


def _check_task(policy: Policy, manifest: Manifest) -> None:
    name, workload = manifest.name, manifest.workload.name
    if workload not in policy.workloads:
        raise _refuse(
            f"task {name} trains {workload}; this node allows {_listed(policy.workloads)}. "
            f"`paceline node allow --workload {workload}` permits it."
        )
    if manifest.exchange.min_parties < policy.min_parties:
        raise _refuse(
            f"task {name} goes on with {manifest.exchange.min_parties} parties; this node wants at least "
            f"min_parties = {policy.min_parties} (node.toml), so that its own update hides among others."
        )
    days = (manifest.expires_at - manifest.issued_at).total_seconds() / 86_400
    if days > policy.max_task_days:
        raise _refuse(
            f"task {name} lasts {days:.0f} days; this node allows max_task_days = {policy.max_task_days:g} (node.toml)."
        )


def _check_people(policy: Policy, manifest: Manifest) -> None:
    if manifest.purpose not in policy.purposes:
        raise _refuse(
            f"task {manifest.name} uses people's data to {manifest.purpose}; this node allows "
            f"{_listed(policy.purposes)}. `paceline node allow --purpose {manifest.purpose}` permits it."
        )
    if isinstance(manifest.privacy, PersonTerms):
        _check_cost(policy, manifest, cost_per_person(manifest, policy.delta))


def _check_cost(policy: Policy, manifest: Manifest, epsilon: float) -> None:
    allowed = min(policy.max_epsilon_per_task, policy.max_epsilon)
    if epsilon > allowed:
        raise _refuse(
            f"task {manifest.name} may cost each person ε = {epsilon:.3g} at δ = {policy.delta:g}; this node allows "
            f"{allowed:g}. `paceline node allow --max-epsilon …` raises it, or ask for a smaller budget."
        )


def _check_keys(policy: Policy, manifest: Manifest) -> None:
    """What a party told this owner counts for more than what the coordinator says of it, in any task."""
    for member in manifest.cohort:
        listed = policy.share_noise_with.get(member.party, member.fingerprint)
        if listed != member.fingerprint:
            raise _refuse(
                f"task {manifest.name} names {member.party} with key {member.fingerprint[:16]}…; share_noise_with in "
                f"node.toml lists {listed[:16]}…. Ask {member.name} by telephone; if it has a new key, "
                f"`paceline node allow --share-noise-with {member.party}=FINGERPRINT` replaces the old one."
            )


def _check_noise(policy: Policy, manifest: Manifest, party: PartyId) -> None:
    """As many parties as the terms let collude may be invented: ε is sized for sums without their shares."""
    strangers, terms = strangers_to_noise(policy, manifest, party), manifest.privacy
    if isinstance(terms, PersonTerms) and len(strangers) > terms.colluding:
        raise _refuse(
            f"task {manifest.name} leaves part of the noise that protects people here to {len(manifest.contributors())}"
            f" parties, and the coordinator could invent parties. Not listed under share_noise_with: "
            f"{_listed(tuple(member.party for member in strangers))}; the task allows for {terms.colluding} such. "
            f"Ask them for their fingerprints by telephone, then `paceline node allow --share-noise-with "
            'PARTY=FINGERPRINT`; or ask for a task with noise = "node".'
        )


def _check_scores(policy: Policy, manifest: Manifest) -> None:
    if manifest.evaluation is None:
        raise _refuse(f"task {manifest.name} agrees on no evaluation; nothing is scored.")
    if isinstance(manifest.evaluation, PublishedScores) and not policy.allow_published_scores:
        raise _refuse(
            f"task {manifest.name} publishes exact scores; this node does not. If people consented to it: "
            "`paceline node allow --published-scores`."
        )
    if isinstance(manifest.evaluation, NoisedScores):  # a waiver for training waives nothing for who is held out
        _check_cost(policy, manifest, scores_cost_per_person(manifest.evaluation, policy.delta))


def _waive(policy: Policy, manifest: Manifest) -> Waiver | None:
    if isinstance(manifest.privacy, PersonTerms):
        return None
    if manifest.name not in policy.allow_unprotected:
        raise _refuse(
            f"task {manifest.name} has no differential privacy: single people could be recognised in its updates. "
            f"This node allows {_listed(policy.allow_unprotected)}. "
            f"`paceline node allow --unprotected {manifest.name}` waives protection for it alone."
        )
    return Waiver(manifest.name, _SEAL)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if names else "none"
