"""Control variates of SCAFFOLD tasks: a memory of people's rows that goes when a permission or the task ends."""

import numpy as np
from pyroaring import BitMap
from sqlmodel import Session, col, delete, select

from clients.store.moments import from_micros, to_micros
from clients.store.records import Variate
from clients.store.tables import VariateRow
from federation.consent import Purpose
from federation.ids import TaskDigest


def keep(tx: Session, variate: Variate) -> None:
    """Write a variate, in place of an earlier one of the same round."""
    tx.merge(
        VariateRow(
            task=variate.task,
            round=variate.round_number,
            vector=variate.vector.astype("<f8").tobytes(),
            people=variate.people.serialize(),
            purpose=variate.purpose,
            expires_at=to_micros(variate.expires_at),
        )
    )
    tx.flush()


def find(tx: Session, task: TaskDigest, round_number: int) -> Variate | None:
    """The variate that a round of a task left."""
    row = tx.get(VariateRow, (task, round_number))
    if row is None:
        return None
    vector, people = np.frombuffer(row.vector, "<f8").astype(np.float64), BitMap.deserialize(row.people)
    return Variate(task, round_number, vector, people, Purpose(row.purpose), from_micros(row.expires_at))


def forget_task(tx: Session, task: TaskDigest, but: int | None = None) -> None:
    """Delete a task's variates, all `but` the one of a round."""
    rows = delete(VariateRow).where(col(VariateRow.task) == task)
    tx.exec(rows if but is None else rows.where(col(VariateRow.round) != but))


def forget_people(tx: Session, people: BitMap, purpose: Purpose) -> None:
    """Delete every variate for tasks of `purpose` that rows of any of `people` went into."""
    columns = select(VariateRow.task, VariateRow.round, VariateRow.people).where(VariateRow.purpose == purpose)
    for task, round_number, made_from in tx.exec(columns).all():
        if not people.isdisjoint(BitMap.deserialize(made_from)):
            tx.exec(delete(VariateRow).where(col(VariateRow.task) == task, col(VariateRow.round) == round_number))


def any_ended(tx: Session, now: int) -> bool:
    """Whether there are variates of tasks that have expired at `now`."""
    return tx.exec(select(VariateRow.task).where(col(VariateRow.expires_at) <= now).limit(1)).first() is not None


def forget_ended(tx: Session, now: int) -> None:
    """Delete the variates of tasks that have expired at `now`."""
    tx.exec(delete(VariateRow).where(col(VariateRow.expires_at) <= now))
