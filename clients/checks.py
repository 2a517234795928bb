"""Whether a node is ready: one line per thing that training needs, green or with the next step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from clients import enrolment
from clients.data.shelf import damaged
from clients.data_provider import people_to_declare, trainable
from clients.keys import check_keys
from clients.pinned import load_pinned
from clients.policy import Policy, admit
from clients.settings import NodeFolder, NodeSettings, load
from clients.store import NodeStore, open_store, verify
from clients.trainer import held_out
from federation import workloads
from federation.errors import PacelineError, Refusal, Refused, StoreError
from federation.manifest import Manifest, parse
from federation.roles import Role

MAX_CLOCK_DIFFERENCE_S = 60.0


@dataclass(frozen=True)
class Check:
    """One line: `detail` says what was found or, where it did not pass, what to do."""

    check: str
    passed: bool
    detail: str


def check_node(folder: NodeFolder) -> tuple[Check, ...]:
    """Everything that can be checked without spending or sending anything about people."""
    first = (_try("keys", _keys, folder), _try("policy", _policy, folder))
    try:
        with open_store(folder) as store:
            return (*first, *_with_store(folder, store))
    except PacelineError as error:
        return (*first, Check("database", False, str(error)))


def _try(name: str, look: Callable[..., str], *arguments: object) -> Check:
    try:
        return Check(name, True, look(*arguments))
    except PacelineError as error:
        return Check(name, False, str(error))


def _with_store(folder: NodeFolder, store: NodeStore) -> Iterator[Check]:
    policy, at = _settings(folder).policy, datetime.now(UTC)
    yield _try("logs", _logs, store)
    if load_pinned(folder).role is not Role.ALGORITHM_PROVIDER:
        for workload in policy.workloads:
            yield _try(f"data: {workload}", _data, folder, store, workload)
            yield _try(f"consent: {workload}", _consent, store, policy, workload, at)
    yield _try("not paused", _running, store)
    yield _try("coordinator", _coordinator, folder)
    yield _try("clock", _clock, folder)
    for task in store.accepted_tasks():
        if task.left_at is None:
            manifest = parse(task.manifest_json)
            yield _try(f"task: {manifest.name}", _task, folder, policy, manifest, at)


def _settings(folder: NodeFolder) -> NodeSettings:
    """The settings; where they cannot be read, those that allow nothing (the line about the policy says why)."""
    try:
        return load(folder)
    except PacelineError:
        return NodeSettings()


def _keys(folder: NodeFolder) -> str:
    return f"fingerprint {check_keys(folder).fingerprint}"


def _policy(folder: NodeFolder) -> str:
    policy, role = load(folder).policy, load_pinned(folder).role
    if not policy.workloads:
        raise _missing("nothing may be trained. Permit it with `paceline node allow --workload NAME`.")
    if not policy.purposes and role is not Role.ALGORITHM_PROVIDER:
        raise _missing("no purpose is allowed. Permit one with `paceline node allow --purpose NAME`.")
    return f"allows {', '.join(policy.workloads)} for {', '.join(policy.purposes) or 'no purpose on people'}"


def _logs(store: NodeStore) -> str:
    found = verify(store)
    return (
        f"{found.reservations} reservations, {found.consent_events} consent events, {found.audit_entries} audit entries"
    )


def _data(folder: NodeFolder, store: NodeStore, workload: str) -> str:
    datasets = store.datasets(workload)
    if not datasets:
        raise _missing("no rows. Import some: `paceline node import FILE --workload … --mapping …`.")
    for dataset in datasets:
        if damaged(folder, dataset):
            raise StoreError(f"the files of data/{dataset.file} are not those that were imported. Restore them.")
    rows = sum(dataset.rows for dataset in datasets if not dataset.held_out)
    return f"{rows} rows to train on, {len(held_out(store, workload))} people held out"


def _consent(store: NodeStore, policy: Policy, workload: str, at: datetime) -> str:
    counts = {purpose: len(trainable(store, policy, workload, purpose, at)) for purpose in policy.purposes}
    most = max(counts.values(), default=0)
    if most < policy.min_people and not held_out(store, workload):
        raise _missing(
            f"only {most} people permit an allowed purpose; the policy needs min_people = {policy.min_people}. "
            "Record consent with `paceline consent grant` or `paceline consent import`."
        )
    said = ", ".join(f"{count} people permit {purpose}" for purpose, count in counts.items())
    return f"{said}; declare {people_to_declare(most)} to the coordinator"


def _running(store: NodeStore) -> str:
    if store.paused():
        raise _missing("this node is paused and refuses everything. `paceline node resume` ends it.")
    return ""


def _coordinator(folder: NodeFolder) -> str:
    pinned = enrolment.require_in(folder)
    tasks = enrolment.list_tasks(folder)
    waiting = [str(task.get("name")) for task in tasks if not task.get("accepted")]
    more = f"; to review: {', '.join(waiting)}" if waiting else ""
    return f"{pinned.coordinator_name} at {pinned.address} answers{more}"


def _clock(folder: NodeFolder) -> str:
    ahead = enrolment.reach(folder)
    if abs(ahead) > MAX_CLOCK_DIFFERENCE_S:
        raise _missing(
            f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the coordinator's; at "
            f"most {MAX_CLOCK_DIFFERENCE_S:g} s is tolerated. Switch on time synchronisation (NTP)."
        )
    return f"{abs(ahead):.1f} s from the coordinator's"


def _task(folder: NodeFolder, policy: Policy, manifest: Manifest, at: datetime) -> str:
    if manifest.expired(at):
        return f"ended on {manifest.expires_at:%Y-%m-%d}"
    pinned = load_pinned(folder)
    workloads.require_agreed(manifest)
    admit(policy, manifest, pinned.party, pinned.role, enrolment.main_step(pinned.role))
    return f"accepted, until {manifest.expires_at:%Y-%m-%d}"


def _missing(message: str) -> Refused:
    return Refused(Refusal.POLICY, message)
