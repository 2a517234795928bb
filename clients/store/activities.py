"""Answers as they were sent, with the record of what was processed to make them."""

from pyroaring import BitMap
from sqlmodel import Session, col, func, select

from clients.store import audit_log, consent_log
from clients.store.moments import from_micros, to_micros
from clients.store.records import Activity, Answered, PersonActivity
from clients.store.tables import ActivityRow, AnswerRow
from federation.consent import PERMITTING, Purpose
from federation.errors import Refusal, Refused
from federation.ids import PersonNumber, TaskDigest

KEPT_ANSWERS = 2


def stored_answer(tx: Session, task: TaskDigest, attempt: int, kind: str) -> bytes | None:
    """The bytes that were sent, None where nothing was; `Refused` where they were dropped since."""
    row = tx.get(AnswerRow, (task, kind, attempt))
    if row is None:
        return None
    if row.blob is None:
        raise Refused(
            Refusal.ATTEMPT_LOST,
            f"attempt {attempt} of task {task[:12]} was answered on {from_micros(row.at):%Y-%m-%d} and later attempts "
            "since; its bytes are not kept. Ask for a new attempt.",
        )
    return row.blob


def record(tx: Session, answered: Answered) -> None:
    """Write answer, activity and audit entry; `Refused` where this attempt was answered already."""
    if tx.get(AnswerRow, (answered.task, answered.kind, answered.attempt)) is not None:
        raise Refused(
            Refusal.ATTEMPT_LOST, f"attempt {answered.attempt} of task {answered.task[:12]} was answered already."
        )
    at = to_micros(answered.at)
    tx.add(AnswerRow(task=answered.task, kind=answered.kind, attempt=answered.attempt, blob=answered.blob, at=at))
    tx.flush()
    if answered.people is not None:
        _add_activity(tx, answered, at)
    _drop_old(tx, answered)
    said = {name: getattr(answered, name) for name in ("task", "round_number", "attempt", "kind", "snapshot")}
    audit_log.append(tx, "answered", said, at)


def all_of(tx: Session, task: TaskDigest | None = None) -> tuple[Activity, ...]:
    """The record of processing activities, of one task or of all."""
    query = select(ActivityRow).order_by(col(ActivityRow.number))
    if task is not None:
        query = query.where(ActivityRow.task == task)
    return tuple(_activity(row) for row in tx.exec(query))


def people_of(tx: Session, task: TaskDigest, attempt: int, kind: str) -> BitMap:
    """Whose rows an attempt's answer may have been made from; nobody where there is none."""
    same = (ActivityRow.task == task, ActivityRow.attempt == attempt, ActivityRow.kind == kind)
    found = tx.exec(select(ActivityRow.people).where(*same)).first()
    return BitMap() if found is None else BitMap.deserialize(found)


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


def _add_activity(tx: Session, answered: Answered, at: int) -> None:
    people = answered.people or BitMap()
    number = int(tx.exec(select(func.coalesce(func.max(ActivityRow.number), 0))).one()) + 1
    tx.add(
        ActivityRow(
            number=number,
            task=answered.task,
            round=answered.round_number,
            attempt=answered.attempt,
            kind=answered.kind,
            purpose=answered.purpose,
            snapshot=answered.snapshot,
            consent_sequence=consent_log.last(tx)[0],
            people=people.serialize(),
            at=at,
        )
    )
    tx.flush()


def _drop_old(tx: Session, answered: Answered) -> None:
    """Attempts only grow, so nobody asks for old bytes again, and a model is large."""
    old = select(AnswerRow).where(
        AnswerRow.task == answered.task,
        AnswerRow.kind == answered.kind,
        AnswerRow.attempt <= answered.attempt - KEPT_ANSWERS,
        col(AnswerRow.blob).is_not(None),
    )
    for row in tx.exec(old):
        row.blob = None
        tx.add(row)
    tx.flush()


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
