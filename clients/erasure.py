"""A person's right to be forgotten: their rows, name, evidence and answers go; the logs stay true about a number.

What was spent stays spent (DESIGN §9). It is one transaction: a process that is killed before it leaves everything as
it was; what is left to delete after it is deleted by the next command that handles people, or by `node up`.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pyroaring import BitMap

from clients import budget, consent, people
from clients.data import leftovers
from clients.data.rewriting import put_in_place, rest_of
from clients.data.shelf import Shelf, owners_of
from clients.policy import Policy
from clients.settings import NodeFolder
from clients.store import Dataset, NodeStore, activities, imports
from federation.errors import ManifestError, SchemaError, StoreError
from federation.ids import PersonNumber, TaskDigest
from federation.interrupts import finishing
from federation.manifest import Manifest, parse
from federation.terms import PersonTerms
from privacy.accounting import epsilon_from_rdp

SHOWN = 5


@dataclass(frozen=True)
class Trace:
    """What is here about one person. `models`: tasks with how many answers were made from the person's rows."""

    person: str
    rows: int
    imports: tuple[int, ...]
    statements: int
    epsilon: float
    models: tuple[dict[str, str | int], ...]


def find(store: NodeStore, named: Sequence[str]) -> dict[str, PersonNumber]:
    """The numbers of everybody named, or `SchemaError` if somebody is not known."""
    finished = people.finish_erasures(store)
    known = people.known_numbers(store, named)
    unknown = [name for name in named if name not in known]
    if unknown:
        raise SchemaError(
            f"{len(unknown)} of {len(named)} are not known here, such as {', '.join(unknown[:SHOWN])}: never imported, "
            "spelled otherwise, or erased before. Nobody was erased now."
            + (" An erasure that had been cut off before was finished." if finished else "")
        )
    return known


def traces(store: NodeStore, named: Mapping[str, PersonNumber], policy: Policy) -> tuple[Trace, ...]:
    """What is here about everybody named: the preview of `forget`."""
    folder, gone = NodeFolder(store.folder), BitMap(named.values())
    owners = {data.number: owners_of(folder, data).numpy() for data in _with_rows_of(store, gone)}
    tasks = _contracts(store)
    found = []
    for name, person in named.items():
        rows = {number: int(np.count_nonzero(numbers == person)) for number, numbers in owners.items()}
        found.append(
            Trace(
                person=name,
                rows=sum(rows.values()),
                imports=tuple(number for number, count in rows.items() if count),
                statements=len(consent.history(store, person)),
                epsilon=_epsilon(store, person, policy.delta),
                models=_models(store, person, tasks),
            )
        )
    return tuple(found)


def forget(store: NodeStore, gone: BitMap, at: datetime) -> None:
    """Erase all of `gone` for good, or nobody.

    Who they are is deleted, with evidence, rows and answers made of them; their consent ends. What is kept: numbers in
    the logs, and an HMAC of the identifier under the budget key with what was spent.
    """
    folder = NodeFolder(store.folder)
    with ExitStack() as held:
        rests = [(data, held.enter_context(rest_of(folder, data, gone))) for data in _with_rows_of(store, gone)]
        held.enter_context(finishing())
        _commit(store, folder, rests, gone, at)
        people.finish_erasures(store)


def _commit(
    store: NodeStore, folder: NodeFolder, rests: Sequence[tuple[Dataset, Shelf]], gone: BitMap, at: datetime
) -> None:
    try:
        with store.transaction() as tx:
            _require_same([data for data, _ in rests], _with_rows_of(store, gone))
            for data, place in rests:
                imports.replace(tx, data.number, put_in_place(folder, data, place), gone)
            activities.drop_answers(tx, gone)
            for person in gone:
                people.mark_forgotten(store, tx, PersonNumber(person), at)
    except BaseException:  # perhaps of a second Ctrl-C after the commit: what is registered now must stay
        with store.transaction():
            leftovers.clear(folder.data, {data.file for data in store.datasets()})
        raise


def _with_rows_of(store: NodeStore, gone: BitMap) -> list[Dataset]:
    return [data for data in store.datasets() if not data.people.isdisjoint(gone)]


def _require_same(written: Sequence[Dataset], registered: Sequence[Dataset]) -> None:
    if [data.file for data in written] != [data.file for data in registered]:
        raise StoreError("an import came or went while the others were written anew. Nobody was erased; try again.")


def _epsilon(store: NodeStore, person: PersonNumber, delta: float) -> float:
    spent = budget.spent(store, person)
    return float(epsilon_from_rdp(spent, delta)) if spent.any() else 0.0


def _contracts(store: NodeStore) -> dict[TaskDigest, Manifest]:
    """Accepted contracts, but those that an earlier version wrote and this one cannot read: they stop no erasure."""
    found = {}
    for task in store.accepted_tasks():
        with suppress(ManifestError):
            found[task.digest] = parse(task.manifest_json)
    return found


def _models(
    store: NodeStore, person: PersonNumber, tasks: Mapping[TaskDigest, Manifest]
) -> tuple[dict[str, str | int], ...]:
    """Tasks whose models may have learned from a person's rows, which nobody can take out of them."""
    counts: dict[TaskDigest, int] = {}
    for use in store.activities_of(person):
        counts[use.activity.task] = counts.get(use.activity.task, 0) + 1
    return tuple(
        {"task": tasks[task].name, "answers": count, "privacy": _privacy(tasks[task])}
        if task in tasks
        else {"task": task, "answers": count, "privacy": "unknown"}
        for task, count in counts.items()
    )


def _privacy(manifest: Manifest) -> str:
    terms = manifest.privacy
    return f"ε ≤ {terms.epsilon:g} at δ = {terms.delta:g}" if isinstance(terms, PersonTerms) else "NONE"
