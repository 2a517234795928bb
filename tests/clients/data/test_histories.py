"""Files of person, item and time become histories; bad ones become messages with places, and leave nothing behind."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from clients.data.columns import ColumnMap
from clients.data.importing import ImportReport, Order, run_import
from clients.data.shelf import load
from clients.settings import NodeFolder
from clients.store import NodeStore, open_store
from federation import workloads
from federation.errors import ImportRejected, UsageError
from federation.schema import History, RowSchema, Target, check

SCHEMA = RowSchema(
    (), Target("film", "", classes=("30", "10", "20", "40", "50")), history=History(least=3, newest=0.34)
)
WORKLOAD = dataclasses.replace(workloads.find("running_pace"), name="films", schema=SCHEMA)
TIMED = ColumnMap(person="who", target="what", time="when")
UNTIMED = ColumnMap(person="who", target="what")
LINES = [("ann", "10", 3), ("bob", "20", 1), ("ann", "30", 1), ("ann", "20", 2), ("bob", "30", 2), ("bob", "40", 9)]


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where a test imports to."""

    folder: NodeFolder
    store: NodeStore

    def take(self, file: Path, mapping: ColumnMap = TIMED, held_out: bool = False) -> ImportReport:
        return run_import(self.folder, self.store, Order([file], mapping, WORKLOAD, held_out), lambda _: None)

    def marked(self) -> dict[int, tuple[list[str], list[str]]]:
        """Each person's items that came before and last, by name."""
        rows, names = load(self.folder, self.store, "films", False), SCHEMA.target.classes
        check(rows, SCHEMA)
        marks = zip(rows.person.tolist(), rows.fields["x"].tolist(), rows.fields["y"].tolist(), strict=True)
        return {
            who: tuple([n for n, on in zip(names, part, strict=True) if on] for part in both) for who, *both in marks
        }

    def nothing_was_kept(self) -> bool:
        return not [path for path in self.folder.data.rglob("*") if path.is_file()] and not self.store.datasets()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = NodeFolder(tmp_path / "node")
    folder.path.mkdir()
    with open_store(folder) as store:
        yield Desk(folder, store)


def written(path: Path, lines: list[tuple[str | None, str, int]]) -> Path:
    pl.DataFrame(lines, schema=["who", "what", "when"], orient="row").write_csv(path)
    return path


def test_the_newest_of_a_persons_items_came_last(desk: Desk, tmp_path: Path) -> None:
    report = desk.take(written(tmp_path / "a.csv", LINES))
    assert (report.samples, report.rows, report.people, report.short) == (6, 2, 2, 0)
    assert list(desk.marked().values()) == [(["30", "20"], ["10"]), (["30", "20"], ["40"])]


def test_numbers_in_the_file_are_names_of_items_never_their_places(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ImportRejected, match="film that is not one of the 5 of the catalogue, such as 30"):
        desk.take(written(tmp_path / "a.csv", [*LINES, ("bob", "1", 4)]))


def test_without_a_time_later_lines_count_as_newer(desk: Desk, tmp_path: Path) -> None:
    desk.take(written(tmp_path / "a.csv", LINES), UNTIMED)
    assert list(desk.marked().values()) == [(["30", "10"], ["20"]), (["30", "20"], ["40"])]


def test_an_item_that_somebody_came_back_to_counts_once_as_of_the_last_time(desk: Desk, tmp_path: Path) -> None:
    desk.take(written(tmp_path / "a.csv", [*LINES, ("ann", "30", 7)]))
    assert next(iter(desk.marked().values())) == (["10", "20"], ["30"])


def test_people_with_few_items_make_no_row_and_are_not_registered(desk: Desk, tmp_path: Path) -> None:
    report = desk.take(written(tmp_path / "a.csv", [*LINES, ("cid", "10", 1), ("cid", "20", 2)]))
    assert (report.people, report.short) == (2, 1)


def test_a_file_in_which_nobody_has_enough_is_refused(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ImportRejected, match=r"nobody has 3 different items \(2 people have fewer\)"):
        desk.take(written(tmp_path / "a.csv", LINES[:2]))
    assert desk.nothing_was_kept()


@pytest.mark.parametrize(
    ("lines", "mapping", "text"),
    [
        ([*LINES, ("ann", "99", 5)], TIMED, r"film that is not one of the 5 .*, such as '99': line 8"),
        ([*LINES, (None, "10", 5)], TIMED, "no person: line 8"),
        ([*LINES, LINES[1]], TIMED, "the same person, film and time as a line before; leave one out: line 8"),
        ([*LINES, ("bob", "20", 5)], UNTIMED, "the same person and film as a line before; .* name the time .*: line 8"),
    ],
)
def test_bad_lines_are_named_and_nothing_is_kept(desk, tmp_path, lines, mapping, text):
    with pytest.raises(ImportRejected, match=text):
        desk.take(written(tmp_path / "a.csv", lines), mapping)
    assert desk.nothing_was_kept()


def test_a_time_that_is_none_is_named(desk: Desk, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", LINES)
    path.write_text(path.read_text().replace("bob,40,9", "bob,40,soon"))
    with pytest.raises(ImportRejected, match="time holds text instead of a number, such as 'soon': line 7"):
        desk.take(path)


def test_the_same_file_is_not_taken_twice(desk: Desk, tmp_path: Path) -> None:
    desk.take(written(tmp_path / "a.csv", LINES))
    with pytest.raises(ImportRejected, match="imported before"):
        desk.take(tmp_path / "a.csv")
    assert len(desk.store.datasets()) == 1


@pytest.mark.parametrize("extra", [{"recording": "what"}, {"rate_hz": 50.0}])
def test_a_mapping_for_recordings_is_refused(desk, tmp_path, extra):
    with pytest.raises(UsageError, match="neither recording nor rate_hz"):
        desk.take(written(tmp_path / "a.csv", LINES), TIMED.model_copy(update=extra))


def test_many_people_are_made_into_rows_in_portions(desk, tmp_path, monkeypatch):
    monkeypatch.setattr("clients.data.histories.PEOPLE", 2)
    lines = [(f"p{person}", item, time) for person in range(7) for time, item in enumerate(("50", "10", "20"))]
    assert desk.take(written(tmp_path / "a.csv", lines)).rows == 7
    assert set(map(str, desk.marked().values())) == {"(['10', '50'], ['20'])"}
