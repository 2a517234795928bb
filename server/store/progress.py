"""Scores and releases, as the store keeps them."""

import json

from sqlmodel import col, select

from federation.ids import TaskDigest
from server.store.audit import AuditLog
from server.store.records import EvaluationRecord, ReleaseRecord
from server.store.tables import EvaluationTable, ReleaseTable


class Progress(AuditLog):
    """What came of a task."""

    def record_evaluation(self, evaluation: EvaluationRecord) -> None:
        """Record the scores of one party for one round; a second answer for the same round is a `StoreError`."""
        words = vars(evaluation) | {
            "sums": json.dumps(dict(evaluation.sums), sort_keys=True),
            "summary": json.dumps(dict(evaluation.summary), sort_keys=True),
            "at": evaluation.at or self.clock(),
        }
        with self.transaction() as session:
            session.add(EvaluationTable(**words))
            entry = {"task": evaluation.task, "round": evaluation.round, "party": evaluation.party}
            self.append(session, "evaluation", entry)

    def evaluations(self, task: TaskDigest) -> list[EvaluationRecord]:
        """All scores of a task, by round and party."""
        query = select(EvaluationTable).where(EvaluationTable.task == task)
        with self.reading() as session:
            rows = session.exec(query.order_by(col(EvaluationTable.round), col(EvaluationTable.party)))
            return [_evaluation(row) for row in rows]

    def add_release(self, release: ReleaseRecord) -> None:
        """Record a released model; a task is released once, making it again replaces the record."""
        with self.transaction() as session:
            session.merge(ReleaseTable(**vars(release)))
            self.append(session, "release", {"task": release.task, "digest": release.digest})

    def releases(self) -> list[ReleaseRecord]:
        """Released models, oldest first."""
        with self.reading() as session:
            rows = session.exec(select(ReleaseTable).order_by(col(ReleaseTable.created_at)))
            return [ReleaseRecord(**row.model_dump()) for row in rows]

    def release(self, task: TaskDigest) -> ReleaseRecord | None:
        """The release of a task, if there is one."""
        with self.reading() as session:
            row = session.get(ReleaseTable, task)
            return None if row is None else ReleaseRecord(**row.model_dump())


def _evaluation(row: EvaluationTable) -> EvaluationRecord:
    return EvaluationRecord(**row.model_dump() | {"sums": json.loads(row.sums), "summary": json.loads(row.summary)})
