"""Answers as they were sent, with the record of what was processed to make them."""

from pyroaring import BitMap
from sqlalchemy import bindparam, insert, update
from sqlmodel import Session, col, func, select

from clients.store import audit_log, consent_log, registry
from clients.store.database import Transaction
from clients.store.moments import from_micros, to_micros
from clients.store.prepared import prepared
from clients.store.records import Activity, Answered, PersonActivity
from clients.store.tables import ActivityRow, AnswerRow
from federation.consent import PERMITTING, Purpose
from federation.errors import Refusal, Refused
from federation.ids import PersonNumber, TaskDigest

KEPT_ANSWERS = 2
_SAME_KIND = (col(AnswerRow.task) == bindparam("of_task"), col(AnswerRow.kind) == bindparam("of_kind"))
_SAME = (*_SAME_KIND, col(AnswerRow.attempt) == bindparam("of_attempt"))
FIND = prepared(select(AnswerRow.blob, AnswerRow.at).where(*_SAME))
IS_THERE = prepared(select(AnswerRow.attempt).where(*_SAME))
WRITE = prepared(insert(AnswerRow))
# Attempts only grow, so nobody asks for old bytes again, and a model is large.
DROP_OLD = prepared(
    update(AnswerRow)
    .where(*_SAME_KIND, col(AnswerRow.attempt) <= bindparam("newest"), col(AnswerRow.blob).is_not(None))
    .values(blob=None)
)
DROP = prepared(update(AnswerRow).where(*_SAME).values(blob=None))
NEXT_ACTIVITY = prepared(select(func.coalesce(func.max(ActivityRow.number), 0) + 1))
WRITE_ACTIVITY = prepared(insert(ActivityRow))
PEOPLE_OF = prepared(
    select(ActivityRow.people).where(
        col(ActivityRow.task) == bindparam("of_task"),
        col(ActivityRow.attempt) == bindparam("of_attempt"),
        col(ActivityRow.kind) == bindparam("of_kind"),
    )
)


def stored_answer(tx: Transaction, task: TaskDigest, attempt: int, kind: str) -> bytes | None:
    """The bytes that were sent, None where nothing was; `Refused` where they were dropped since."""
    blob, at = tx.first(FIND, of_task=task, of_kind=kind, of_attempt=attempt) or (None, None)
    if blob is None and at is not None:
        raise Refused(
            Refusal.ATTEMPT_LOST,
            f"attempt {attempt} of task {task[:12]} was answered on {from_micros(at):%Y-%m-%d}; its bytes are not kept "
            "any more. Ask for a new attempt.",
        )
    return blob


def record(tx: Transaction, answered: Answered) -> None:
    """Write answer, activity and audit entry; `Refused` for an attempt that was answered, or somebody erased."""
    key = {"of_task": answered.task, "of_kind": answered.kind}
    if tx.first(IS_THERE, **key, of_attempt=answered.attempt):
        raise Refused(
            Refusal.ATTEMPT_LOST, f"attempt {answered.attempt} of task {answered.task[:12]} was answered already."
        )
    if answered.people and not registry.forgotten(tx).isdisjoint(answered.people):
        raise Refused(Refusal.ATTEMPT_LOST, "somebody was erased after their rows were read; the answer was discarded.")
    at = to_micros(answered.at)
    tx.rows(WRITE, task=answered.task, kind=answered.kind, attempt=answered.attempt, blob=answered.blob, at=at)
    if answered.people is not None:
        _add_activity(tx, answered, answered.people, at)
    tx.rows(DROP_OLD, **key, newest=answered.attempt - KEPT_ANSWERS)
    said = {name: getattr(answered, name) for name in ("task", "round_number", "attempt", "kind", "snapshot")}
    audit_log.append(tx, "answered", said, at)


def drop_answers(tx: Transaction, gone: BitMap) -> None:
    """Delete the bytes of answers that rows of any of `gone` may have gone into; that they were given stays."""
    for activity in all_of(tx):
        if not gone.isdisjoint(activity.people):
            tx.rows(DROP, of_task=activity.task, of_kind=activity.kind, of_attempt=activity.attempt)


def all_of(tx: Session, task: TaskDigest | None = None) -> tuple[Activity, ...]:
    """The record of processing activities, of one task or of all."""
    query = select(ActivityRow).order_by(col(ActivityRow.number))
    if task is not None:
        query = query.where(ActivityRow.task == task)
    return tuple(_activity(row) for row in tx.exec(query))


def people_of(tx: Transaction, task: TaskDigest, attempt: int, kind: str) -> BitMap:
    """Whose rows an attempt's answer may have been made from; nobody where there is none."""
    found = tx.first(PEOPLE_OF, of_task=task, of_attempt=attempt, of_kind=kind)
    return BitMap.deserialize(found[0]) if found else BitMap()


def of_person(tx: Session, person: PersonNumber) -> tuple[PersonActivity, ...]:
    """Which rounds used a person's rows, and under which statement."""
    events = [event for event in consent_log.events(tx, person) if event.state in PERMITTING]
    found = []
    for activity in all_of(tx):
        if person not in activity.people:
            continue
        before = [
            event
            for event in events
            if event.purpose is activity.purpose and event.sequence <= activity.consent_sequence
        ]
        found.append(PersonActivity(activity, before[-1] if before else None))
    return tuple(found)


def _add_activity(tx: Transaction, answered: Answered, people: BitMap, at: int) -> None:
    ((number,),) = tx.rows(NEXT_ACTIVITY)
    tx.rows(
        WRITE_ACTIVITY,
        number=number,
        task=answered.task,
        round=answered.round_number,
        attempt=answered.attempt,
        kind=answered.kind,
        purpose=answered.purpose.value,
        snapshot=answered.snapshot,
        consent_sequence=consent_log.last(tx)[0],
        people=people.serialize(),
        at=at,
    )


def _activity(row: ActivityRow) -> Activity:
    return Activity(
        number=row.number,
        task=TaskDigest(row.task),
        round_number=row.round,
        attempt=row.attempt,
        kind=row.kind,
        purpose=Purpose(row.purpose),
        snapshot=row.snapshot,
        consent_sequence=row.consent_sequence,
        people=BitMap.deserialize(row.people),
        at=from_micros(row.at),
    )
