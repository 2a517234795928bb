"""The register of imported data: files under data/ with their people, no recording twice."""

from collections.abc import Sequence

from pyroaring import BitMap
from sqlalchemy import insert
from sqlmodel import Session, col, func, select

from clients.store.moments import from_micros
from clients.store.records import Dataset, Imported
from clients.store.tables import DatasetRow, RecordingRow
from federation.errors import ImportRejected

SHOWN = 5


def add(tx: Session, imported: Imported, at: int) -> Dataset:
    """Register an import, or `ImportRejected`: a recording that is known, a person on both sides of the hold-out."""
    _require_new(tx, imported)
    _require_apart(tx, imported)
    number = int(tx.exec(select(func.coalesce(func.max(DatasetRow.number), 0))).one()) + 1
    row = DatasetRow(
        number=number,
        workload=imported.workload,
        file=imported.file,
        rows=imported.rows,
        people=imported.people.serialize(),
        sha256=imported.sha256,
        held_out=imported.held_out,
        at=at,
    )
    tx.add(row)
    tx.flush()
    if imported.recordings:
        same = {"workload": imported.workload, "dataset": number}
        rows = [{**same, "sha256": item, "person": imported.recorded.get(item)} for item in imported.recordings]
        tx.connection().execute(insert(RecordingRow), rows)
    return _dataset(row)


def of_workload(tx: Session, workload: str | None) -> tuple[Dataset, ...]:
    """Registered imports, of one workload or of all."""
    query = select(DatasetRow).order_by(col(DatasetRow.number))
    if workload is not None:
        query = query.where(DatasetRow.workload == workload)
    return tuple(_dataset(row) for row in tx.exec(query))


def remove(tx: Session, number: int) -> None:
    """Take a dataset and its recordings off the register."""
    for recording in tx.exec(select(RecordingRow).where(RecordingRow.dataset == number)):
        tx.delete(recording)
    tx.flush()
    tx.delete(tx.get_one(DatasetRow, number))
    tx.flush()


def replace(tx: Session, number: int, rest: Imported | None, gone: BitMap) -> None:
    """Let a dataset be what is left of it without `gone`; without rows it goes, with its recordings."""
    if rest is None:
        remove(tx, number)
        return
    row = tx.get_one(DatasetRow, number)
    row.file, row.rows, row.people, row.sha256 = rest.file, rest.rows, rest.people.serialize(), rest.sha256
    tx.add(row)
    for recording in tx.exec(select(RecordingRow).where(RecordingRow.dataset == number)):
        if recording.person is not None and recording.person in gone:
            tx.delete(recording)
    tx.flush()


def known(tx: Session, workload: str, recordings: Sequence[str]) -> frozenset[str]:
    """Which of these hashes of recordings were imported before."""
    query = select(RecordingRow.sha256).where(RecordingRow.workload == workload)
    return frozenset(tx.exec(query).all()) & frozenset(recordings)


def _require_new(tx: Session, imported: Imported) -> None:
    twice = known(tx, imported.workload, imported.recordings)
    if twice:
        shown = ", ".join(item[:12] for item in sorted(twice)[:SHOWN])
        raise ImportRejected(
            f"{len(twice)} of {len(imported.recordings)} recordings were imported before (SHA-256 {shown}…); "
            "nothing was imported. Leave them out."
        )
    if len(set(imported.recordings)) != len(imported.recordings):
        raise ImportRejected("a recording stands twice in this import; nothing was imported. Leave one out.")


def _require_apart(tx: Session, imported: Imported) -> None:
    require_apart(of_workload(tx, imported.workload), imported.people, imported.held_out)


def require_apart(datasets: Sequence[Dataset], people: BitMap, held_out: bool) -> None:
    """Scores on people whom the model has seen say nothing (DESIGN §7): `ImportRejected` if some would be both."""
    both = people & BitMap.union(BitMap(), *(data.people for data in datasets if data.held_out != held_out))
    if both:
        raise ImportRejected(
            f"{len(both)} people of this import have rows on the other side of the hold-out already; a person is "
            "either trained on or held out. Nothing was imported."
        )


def _dataset(row: DatasetRow) -> Dataset:
    return Dataset(
        number=row.number,
        workload=row.workload,
        file=row.file,
        rows=row.rows,
        people=BitMap.deserialize(row.people),
        sha256=row.sha256,
        held_out=row.held_out,
        at=from_micros(row.at),
    )
