"""Tasks on the coordinator's side: from a TOML file to a contract, its signature, and what must hold before launch."""

import math
import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from federation import drafts, phases, workloads
from federation.acceptance import Acceptance, verify_acceptance
from federation.codecs import lane
from federation.drafts import NoisedDraft, PersonDraft
from federation.errors import EnrolmentError, ManifestError, PacelineError, TermsError, UsageError, WorkloadError
from federation.ids import PartyId
from federation.manifest import Manifest, Member, WorkloadPin
from federation.roles import Role
from federation.signing import (
    Identity,
    sign_digest,
    verify_manifest,
)
from federation.terms import SLUG, NoisedScores, Part, PersonTerms, PublishedScores, TrainingTerms, Unprotected
from privacy.levels import ample_levels
from server import enrolment
from server.choices import Choice, Setting, choices
from server.settings import ServerFolder
from server.store import ServerStore, Task, TaskState, open_store

if TYPE_CHECKING:
    from federation.workload import Workload

VALID_DAYS = 30.0
MAX_VALID_DAYS = 3660.0
EPSILON_DIGITS = 4
NOT_IN_A_FILE = frozenset({"format", "coordinator", "issued_at", "expires_at"})


class CohortEntry(Part):
    """One ``[[cohort]]`` of the file; name, role and fingerprint are those of the party that joined."""

    party: Annotated[PartyId, Field(pattern=SLUG)]
    people: Annotated[int, Field(ge=0, le=10**9)] = 0


class Listed(BaseModel):
    """Whom a file names."""

    cohort: tuple[CohortEntry, ...]


class Head(BaseModel):
    """What other terms of a file are computed from."""

    rounds: Annotated[int, Field(ge=1, le=100_000)]
    valid_days: Annotated[float, Field(gt=0, le=MAX_VALID_DAYS, allow_inf_nan=False)] = VALID_DAYS


def new_task(store: ServerStore, folder: ServerFolder, path: Path) -> Task:
    """Write a contract from the file at `path` and record it as a draft.

    `UsageError` for a file that is no TOML, `ManifestError` that lists each contradiction.
    """
    return store.add_task(read_task(store, folder, path).manifest)


@dataclass(frozen=True)
class Contract:
    """What a file became; `chosen` are the keys of its ``[exchange]`` that it leaves out."""

    manifest: Manifest
    chosen: tuple[Choice, ...]


def read_task(store: ServerStore, folder: ServerFolder, path: Path) -> Contract:
    """The contract that a file describes, with everything filled in that the coordinator knows."""
    words = _read(path)
    forbidden = sorted(NOT_IN_A_FILE & words.keys())
    if forbidden:
        raise ManifestError(f"{path.name} sets {', '.join(forbidden)}, which the coordinator fills in; remove it.")
    try:
        return contract(words, _cohort(store, words.get("cohort")), folder, store.clock())
    except ValidationError as error:
        raise ManifestError(f"{path.name}: {drafts.problems(error)}") from error
    except (TermsError, WorkloadError, EnrolmentError, ManifestError) as error:
        raise ManifestError(f"{path.name}: {error}") from error


def contract(words: dict[str, Any], cohort: tuple[Member, ...], folder: ServerFolder, at: datetime) -> Contract:
    """The contract of a parsed file with this cohort, as the coordinator of `folder` would sign it at `at`."""
    head = Head.model_validate(words)
    rounds = head.rounds
    workload, training = _workload(words.get("workload")), words.get("training")
    training = _with_phases(workload, training) if isinstance(training, dict) else training
    on_people = _on_people(workload, training, rounds)
    privacy = _privacy(_with_shares(words.get("privacy"), workload, training), on_people)
    chosen = _chosen(words.get("exchange"), workload, training, cohort, privacy)
    issued_at = at.replace(microsecond=0)
    filled = {key: value for key, value in words.items() if key != "valid_days"} | {
        "workload": _pin(workload),
        "training": training,
        "cohort": cohort,
        "privacy": privacy,
        "evaluation": _evaluation(words.get("evaluation"), rounds),
        "coordinator": Identity.load(folder.identity_key).fingerprint,
        "issued_at": issued_at,
        "expires_at": issued_at + timedelta(days=head.valid_days),
    }
    if chosen:
        filled["exchange"] = words["exchange"] | {choice.key: choice.value for choice in chosen}
    manifest = Manifest.model_validate(filled)
    phases.require_possible(workload, manifest)
    return Contract(manifest, chosen)


def sign_task(folder: Path | ServerFolder, name: str) -> dict[str, str]:
    """Sign a task as the coordinator of `folder`; for the command line."""
    place = ServerFolder(folder) if isinstance(folder, Path) else folder
    with open_store(place) as store:
        state = sign(store, Identity.load(place.identity_key), name)
        return {"task": name, "digest": store.task(name).digest, "signer": "coordinator", "state": state}


def sign(store: ServerStore, identity: Identity, name: str) -> TaskState:
    """The coordinator's signature under a task that can still run; returns the task's state with it."""
    task, at = store.task(name), store.clock()
    manifest = task.manifest()
    if manifest.coordinator != identity.fingerprint:
        raise ManifestError(f"task {name} names another coordinator's key; write it again: paceline task new FILE")
    if manifest.expired(at):
        raise ManifestError(f"task {name} expired on {manifest.expires_at:%Y-%m-%d}; write a new one.")
    return store.add_signature(task.digest, sign_digest(identity, task.digest, "coordinator", "", at))


def require_launchable(store: ServerStore, folder: ServerFolder, name: str) -> Manifest:
    """The contract, if the task may start now; the error says what is missing."""
    task = store.task(name)
    if task.state is TaskState.RUNNING:
        raise UsageError(f"task {name} is running already; see it with: paceline task watch {name}")
    if task.state is TaskState.COMPLETED:
        raise UsageError(f"task {name} is completed; see it with: paceline release show {name}")
    if task.state in (TaskState.FAILED, TaskState.STOPPED):
        raise UsageError(f"task {name} was launched before and {task.state}; go on with: paceline task resume {name}")
    return require_runnable(store, folder, name)


def require_runnable(store: ServerStore, folder: ServerFolder, name: str) -> Manifest:
    """What must hold of a task at every start and restart: signed, current, installed, accepted by enough parties."""
    coordinator = Identity.load(folder.identity_key).fingerprint
    manifest = verify_manifest(store.signed_manifest(name), coordinator, store.clock())
    workloads.require_agreed(manifest)
    ready, missing = acceptances(store, manifest)
    needed = manifest.exchange.min_parties
    if len(ready) < needed:
        raise EnrolmentError(
            f"task {name} needs {needed} contributing parties, {len(ready)} have accepted it. "
            f"Still to accept: {', '.join(missing)}. They do it with: paceline node accept {name}"
        )
    return manifest


def acceptances(store: ServerStore, manifest: Manifest) -> tuple[list[PartyId], list[PartyId]]:
    """Contributors that accepted and are still members, and those that did or are not."""
    valid = {item.party for item in store.acceptances(manifest.digest()) if _holds(item, manifest)}
    active = store.active_party_keys()
    contributors = [member.party for member in manifest.contributors()]
    ready = [party for party in contributors if party in valid and party in active]
    return ready, [party for party in contributors if party not in ready]


def _holds(acceptance: Acceptance, manifest: Manifest) -> bool:
    try:
        verify_acceptance(acceptance, manifest)
    except PacelineError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. See docs/run-a-coordinator.md for an example."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}. See docs/run-a-coordinator.md for an example.") from error


def _workload(name: object) -> "Workload":
    if not isinstance(name, str):
        raise ManifestError('workload must be the name of an installed workload, such as workload = "running_pace".')
    return workloads.find(name)


def _pin(workload: "Workload") -> WorkloadPin:
    return WorkloadPin(name=workload.name, version=workload.version, digest=workloads.digest(workload.name))


def _with_phases(workload: "Workload", training: dict[str, Any]) -> dict[str, Any]:
    """`training`; the phases of a workload with several stand in every contract, in the workload's order by default."""
    if len(workload.phases) == 1 or training.get("phases"):
        return training
    return training | {"phases": [phase.name for phase in workload.phases]}


def _with_shares(privacy: object, workload: "Workload", training: object) -> object:
    """`privacy`; shared noise gets the levels that the model's size asks for, where the file names none.

    One party may collude unless the file says otherwise: every party sees the model and knows its own share.
    """
    if not isinstance(privacy, dict) or privacy.get("noise") != "shared":
        return privacy
    trains = TrainingTerms.model_validate(training).trains
    size = phases.size(workload, workload.phases[0], trains)
    return {"levels": ample_levels(lane.coordinates(size)), "colluding": 1} | privacy


def _chosen(
    written: object,
    workload: "Workload",
    training: object,
    cohort: tuple[Member, ...],
    privacy: PersonTerms | Unprotected,
) -> tuple[Choice, ...]:
    """What the file's ``[exchange]`` leaves out; nothing where another part is invalid, which the contract will say."""
    try:
        terms = TrainingTerms.model_validate(training)
    except ValidationError:
        return ()
    if not isinstance(written, dict):
        return ()
    public = terms.public_weight
    stands_for = [member.people or public * (member.role is Role.ALGORITHM_PROVIDER) for member in cohort]
    setting = Setting(
        parties=sum(people > 0 for people in stands_for),
        largest=max(stands_for, default=0.0),
        weight=sum(stands_for),
        update=phases.size(workload, workload.phases[0], terms.trains) * terms.vectors,
        model=sum(tensor.numel() for tensor in workload.initial(0).values()),
        privacy=privacy,
        training=terms,
    )
    return choices(written, setting)


def _on_people(workload: "Workload", training: object, rounds: int) -> int:
    """How many of `rounds` read people's rows; all where `training` is invalid, which the whole contract will say."""
    try:
        named = TrainingTerms.model_validate(training).phases
    except ValidationError:
        return rounds
    return phases.on_people(phases.turns(workload, named), range(1, rounds + 1))


def _cohort(store: ServerStore, entries: object) -> tuple[Member, ...]:
    listed = Listed.model_validate({"cohort": entries or []}).cohort
    if not listed:
        raise ManifestError('the cohort is empty; write a [[cohort]] with party = "…" for each party.')
    return tuple(enrolment.as_member(enrolment.require_member(store, entry.party), entry.people) for entry in listed)


def _privacy(words: object, rounds: int) -> PersonTerms | Unprotected:
    if not isinstance(words, dict):
        raise ManifestError('a [privacy] table is missing; privacy is never left out. For none, write unit = "none".')
    if words.get("unit") == "none":
        return Unprotected.model_validate(words)
    draft = PersonDraft.model_validate(words)
    attempts = draft.max_attempts or rounds + 1
    rows = draft.rows_per_person if draft.unit == "record" else 1
    noise, epsilon = _complete(draft, draft.sampling_rate, rows, attempts, draft.levels)
    return PersonTerms.model_validate(
        draft.model_dump() | {"max_attempts": attempts, "noise_multiplier": noise, "epsilon": epsilon}
    )


def _evaluation(words: object, rounds: int) -> PublishedScores | NoisedScores | None:
    if words is None:
        return None
    if isinstance(words, dict) and words.get("disclosure") != "noised":
        return PublishedScores.model_validate(words)
    draft = NoisedDraft.model_validate(words)
    count = draft.max_evaluations or math.ceil(rounds / draft.every_rounds)
    noise, epsilon = _complete(draft, 1.0, 1, count)
    return NoisedScores.model_validate(
        draft.model_dump() | {"max_evaluations": count, "noise_multiplier": noise, "epsilon": epsilon}
    )


def _complete(
    draft: PersonDraft | NoisedDraft, rate: float, rows: int, charges: int, levels: int = 0
) -> tuple[float, float]:
    """(σ, ε) that belong together. A person with `rows` > 1 is charged by group privacy, see `PersonTerms`."""
    from privacy import accounting

    if draft.noise_multiplier is not None and draft.epsilon is not None:
        return draft.noise_multiplier, draft.epsilon
    drawn = -math.expm1(rows * math.log1p(-rate)) if rate < 1 else 1.0
    if draft.noise_multiplier is not None:
        noise = draft.noise_multiplier
    elif draft.epsilon is not None:
        noise = max(accounting.noise_for(draft.epsilon, drawn, charges, draft.delta, levels) * rows, 0.1)
    else:
        raise ManifestError("privacy terms need epsilon or noise_multiplier; the other one is computed from it.")
    cost = accounting.charge(drawn, noise / rows, levels)
    return noise, _rounded_up(accounting.epsilon(cost, charges, draft.delta))


def _rounded_up(epsilon: float) -> float:
    ticks = 10**EPSILON_DIGITS
    return float(math.ceil(epsilon * ticks) / ticks)
