"""Views of tasks: the model as it came last, one per task, replaced by the next and gone when the task ends."""

from datetime import datetime

import numpy as np
from sqlmodel import Session, col, delete, select

from clients.store.moments import to_micros
from clients.store.tables import ViewRow
from federation.ids import TaskDigest
from federation.shared_view import View

VALUE_BYTES = 4


def keep(tx: Session, task: TaskDigest, view: View, expires_at: datetime) -> None:
    """Write the view in place of the one before."""
    vector = view.vector.astype("<f4", copy=False).tobytes()
    tx.merge(ViewRow(task=task, vector=vector, expires_at=to_micros(expires_at)))
    tx.flush()


def find(tx: Session, task: TaskDigest, size: int) -> View | None:
    """The view of `size` values that is kept; None where there is none of this size. Its digest is of what is read."""
    row = tx.get(ViewRow, task)
    if row is None or len(row.vector) != VALUE_BYTES * size:
        return None
    return View(np.frombuffer(row.vector, "<f4").astype(np.float32))


def forget(tx: Session, task: TaskDigest) -> None:
    """Delete a task's view."""
    tx.exec(delete(ViewRow).where(col(ViewRow.task) == task))


def any_ended(tx: Session, now: int) -> bool:
    """Whether there are views of tasks that have expired at `now`."""
    return tx.exec(select(ViewRow.task).where(col(ViewRow.expires_at) <= now).limit(1)).first() is not None


def forget_ended(tx: Session, now: int) -> None:
    """Delete the views of tasks that have expired at `now`."""
    tx.exec(delete(ViewRow).where(col(ViewRow.expires_at) <= now))
