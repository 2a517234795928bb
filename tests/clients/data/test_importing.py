"""Good files become rows; bad files become messages with places, and leave nothing behind."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from clients.data.columns import ColumnMap
from clients.data.importing import ImportReport, Order, run_import
from clients.data.shelf import damaged, load
from clients.settings import NodeFolder
from clients.store import NodeStore, open_store
from federation import schema as schemas
from federation import workloads
from federation.errors import ImportRejected, StoreError, UsageError
from federation.schema import Column, Rows, RowSchema, Target, Window
from federation.workload import Workload

MOTION = RowSchema(
    columns=(
        Column("ax", "m/s²", -80.0, 80.0, "values near 1 suggest g", min_spread=2.0),
        Column("ay", "m/s²", -80.0, 80.0),
    ),
    target=Target("exercise", "", classes=("squat", "lunge")),
    window=Window(samples=20, hop=10, rate_hz=50.0),
)
TABLE = RowSchema(
    columns=(Column("age", "years", 5.0, 110.0, "a year of birth?"), Column("female", "0 or 1", 0.0, 1.0)),
    target=Target("pace", "s/km", low=120.0, high=1200.0),
)


def workload(schema: RowSchema) -> Workload:
    """A workload with this schema; nothing else of it matters to an import."""
    return dataclasses.replace(
        workloads.find("running_pace"), name="motion" if schema.window else "table", schema=schema
    )


@dataclass(frozen=True)
class Desk:
    """Where a test imports to."""

    folder: NodeFolder
    store: NodeStore

    def take(self, schema: RowSchema, mapping: ColumnMap, *files: Path, held_out: bool = False) -> ImportReport:
        return run_import(self.folder, self.store, Order(files, mapping, workload(schema), held_out), lambda _: None)

    def rows(self, name: str, held_out: bool = False) -> Rows:
        return load(self.folder, self.store, name, held_out)

    def nothing_was_kept(self) -> bool:
        files = [path for path in self.folder.data.rglob("*") if path.is_file()]
        hidden = list(self.folder.data.glob("*/.incoming*"))
        return not files and not hidden and not self.store.datasets() and not self.store.audit_entries()


def opened(path: Path) -> Iterator[Desk]:
    folder = NodeFolder(path / "node")
    folder.path.mkdir()
    with open_store(folder) as store:
        yield Desk(folder, store)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from opened(tmp_path)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """For imports that must leave nothing behind; the next test would notice if one did."""
    yield from opened(tmp_path_factory.mktemp("clean"))


def recording(
    person: str = "p1", name: str = "r1", label: str = "squat", samples: int = 60, seed: int = 0
) -> pl.DataFrame:
    """One recording at 50 Hz."""
    source = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "who": [person] * samples,
            "session": [name] * samples,
            "t": np.arange(samples) / 50,
            "ax": source.normal(0, 9, samples),
            "acc_y": source.normal(0, 9, samples),
            "label": [label] * samples,
        }
    )


MAPPING = ColumnMap(person="who", recording="session", time="t", target="label", columns={"ay": "acc_y"})
RUNNERS = ColumnMap(person="name", target="pace", codes={"female": {"F": 1, "M": 0}}, columns={"female": "sex"})


def written(path: Path, frame: pl.DataFrame) -> Path:
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        np.savez(path, **{name: frame[name].to_numpy().astype(_plain(frame[name])) for name in frame.columns})
    return path


def _plain(series: pl.Series) -> str:
    return "U20" if series.dtype == pl.String else "f8"


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_every_kind_of_file_gives_the_same_rows(desk: Desk, tmp_path: Path, kind: str) -> None:
    frame = pl.concat([recording("p1", "r1", "squat", 65), recording("p2", "r1", "lunge", 40, seed=1)])
    report = desk.take(MOTION, MAPPING, written(tmp_path / f"a.{kind}", frame))
    assert (report.rows, report.people, report.recordings, report.samples) == (5 + 3, 2, 2, 105)
    rows = desk.rows("motion")
    schemas.check(rows, MOTION)
    assert rows.fields["y"].tolist() == [0] * 5 + [1] * 3
    expected = frame["ax"].to_numpy()[10:30]
    np.testing.assert_allclose(rows.fields["x"][1, 0].numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(rows.fields["x"][5, 1].numpy(), frame["acc_y"].to_numpy()[65:85], rtol=1e-6)
    assert len(set(rows.person[:5].tolist())) == len(set(rows.person[5:].tolist())) == 1
    assert rows.person[0] != rows.person[5]


def test_rows_of_held_out_people_are_kept_apart(desk: Desk, tmp_path: Path) -> None:
    desk.take(MOTION, MAPPING, written(tmp_path / "a.csv", recording("p1")))
    desk.take(MOTION, MAPPING, written(tmp_path / "b.csv", recording("p2", seed=1)), held_out=True)
    assert len(desk.rows("motion")) == len(desk.rows("motion", held_out=True)) == 5
    before = desk.rows("motion", held_out=True)
    with pytest.raises(ImportRejected, match="either trained on or held out"):
        desk.take(MOTION, MAPPING, written(tmp_path / "c.csv", recording("p1", "r9", seed=2)), held_out=True)
    assert len(desk.rows("motion", held_out=True)) == len(before)
    assert len(list((desk.folder.data / "motion").iterdir())) == 2


def test_a_person_has_one_number_in_all_imports(desk: Desk, tmp_path: Path) -> None:
    desk.take(MOTION, MAPPING, written(tmp_path / "a.csv", recording("p1")))
    desk.take(MOTION, MAPPING, written(tmp_path / "b.csv", recording("p1", "r2", seed=1)))
    assert len(desk.rows("motion").person.unique()) == 1


def test_no_external_identifier_is_in_the_rows_on_disk(desk: Desk, tmp_path: Path) -> None:
    desk.take(MOTION, MAPPING, written(tmp_path / "a.csv", recording("jane.doe")))
    content = b"".join(path.read_bytes() for path in desk.folder.data.rglob("*") if path.is_file())
    assert content
    assert b"jane.doe" not in content + (desk.folder.path / "node.sqlite").read_bytes()


def test_a_table_gives_one_row_per_line_with_codes_and_scale(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,age,sex,pace\nann,30,F,10\nbob, 41 ,M,9.5\n")
    mapping = RUNNERS.model_copy(update={"scale": {"pace": 30.0}})
    assert desk.take(TABLE, mapping, path).rows == 2
    rows = desk.rows("table")
    schemas.check(rows, TABLE)
    assert rows.fields["x"].tolist() == [[30.0, 1.0], [41.0, 0.0]]
    assert rows.fields["y"].tolist() == [300.0, 285.0]


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_empty_fields_become_the_number_that_the_mapping_names_for_them(desk: Desk, tmp_path: Path, kind: str) -> None:
    told = float("nan") if kind == "npz" else None
    frame = pl.DataFrame({"name": ["ann", "bob"], "age": [30.0, told], "female": [1.0, 0.0], "pace": [300.0, 285.0]})
    path = written(tmp_path / f"a.{kind}", frame)
    with pytest.raises(ImportRejected, match="age is"):
        desk.take(TABLE, ColumnMap(person="name", target="pace"), path)
    desk.take(TABLE, ColumnMap(person="name", target="pace", empty={"age": 40}), path)
    assert desk.rows("table").fields["x"].tolist() == [[30.0, 1.0], [40.0, 0.0]]


def test_labels_may_be_renamed_or_be_class_numbers(desk: Desk, tmp_path: Path) -> None:
    frame = recording().with_columns(label=pl.lit(1.0))
    desk.take(MOTION, MAPPING, written(tmp_path / "a.parquet", frame))
    other = recording(seed=1, label="Kniebeuge")
    mapping = MAPPING.model_copy(update={"classes": {"Kniebeuge": "squat"}})
    desk.take(MOTION, mapping, written(tmp_path / "b.csv", other))
    assert desk.rows("motion").fields["y"].tolist() == [1] * 5 + [0] * 5


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_numpy_table_is_read_by_column_and_single_values_hold_for_all_rows(
    desk: Desk, tmp_path: Path, order: Literal["C", "F"]
) -> None:
    x = np.array(np.random.default_rng(0).normal(0, 9, (60, 2)), order=order)
    np.savez(tmp_path / "a.npz", X=x, person=np.array("p1"), y=np.array([0]))
    mapping = ColumnMap(person="person", target="y", rate_hz=50, columns={"ax": "X[0]", "ay": "X[1]"})
    assert desk.take(MOTION, mapping, tmp_path / "a.npz").rows == 5
    np.testing.assert_allclose(desk.rows("motion").fields["x"][0].numpy(), x[:20].T.astype(np.float32))


def frame_with(column: str, row: int, value: object) -> pl.DataFrame:
    frame = recording()
    values = frame[column].cast(pl.String).to_list()
    values[row] = value
    return frame.with_columns(pl.Series(column, values, dtype=pl.String))


BAD: dict[str, tuple[Callable[[], pl.DataFrame], str]] = {
    "missing column": (lambda: recording().drop("acc_y"), r"no column 'acc_y' \(column ay\)\. It has who, session"),
    "text in a number": (
        lambda: frame_with("ax", 3, "fast"),
        "ax holds text instead of a number, such as 'fast': line 5",
    ),
    "NaN": (lambda: frame_with("ax", 7, "nan"), "ax is NaN or infinite: line 9"),
    "infinity": (lambda: frame_with("ax", 7, "-inf"), "ax is NaN or infinite: line 9"),
    "empty cell": (lambda: frame_with("acc_y", 0, None), "ay is empty: line 2"),
    "no person": (lambda: frame_with("who", 58, " "), "no person: line 60"),
    "no recording": (lambda: frame_with("session", 1, None), "no recording: line 3"),
    "unknown label": (
        lambda: frame_with("label", 2, "jump"),
        "label that is none of squat, lunge, 0, 1, such as 'jump': line 4",
    ),
    "g for m/s²": (lambda: recording().with_columns(pl.col("ax") / 9.81), "wrong units.*values near 1 suggest g"),
    "mm for m": (lambda: recording().with_columns(pl.col("ax") * 1000), "lie outside -80 … 80 m/s²; wrong units"),
    "wrong rate": (lambda: recording().with_columns(pl.col("t") * 2), "another rate.*50 Hz.*such as 25 Hz: line 2"),
    "time runs backwards": (lambda: recording().with_columns(t=-pl.col("t")), "time does not increase"),
    "apart": (
        lambda: pl.concat([recording(), recording("p2", seed=1), recording(seed=2)]),
        "stand apart; sort by person, recording and time: line 122",
    ),
    "twice": (lambda: pl.concat([recording(), recording("p2", "r7")]), "line 62: the same recording as .*, line 2"),
    "only a header": (lambda: recording(samples=0), "holds no rows, only column names"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_places_and_nothing_is_kept(clean: Desk, tmp_path: Path, case: str) -> None:
    make, text = BAD[case]
    path = written(tmp_path / "bad.csv", make())
    with pytest.raises(ImportRejected, match=text):
        clean.take(MOTION, MAPPING, written(tmp_path / "good.csv", recording("p9", seed=9)), path)
    assert clean.nothing_was_kept()


def test_all_problems_of_a_file_are_told_at_once(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"p{i},{'x' if i % 2 else 30},F,300" for i in range(30)] + [",200,Q,20"]
    path.write_text("name,age,sex,pace\n" + "\n".join(lines))
    with pytest.raises(ImportRejected) as caught:
        desk.take(TABLE, RUNNERS, path)
    text = str(caught.value)
    assert "age holds text instead of a number, such as 'x': line 3, 5, 7, 9, 11 and 10 more" in text
    assert "female holds text instead of a number, such as 'Q': line 32" in text
    assert "no person: line 32" in text
    assert "pace outside 120 … 1200 s/km" in text


def test_an_implausible_value_in_a_table_is_a_wrong_row(clean: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,age,sex,pace\nann,1987,F,300\nbob,41,M,300\n")
    with pytest.raises(ImportRejected, match=r"age outside 5 … 110 years \(a year of birth\?\), such as 1987: line 2"):
        clean.take(TABLE, RUNNERS, path)
    assert clean.nothing_was_kept()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", b"", "is empty: 0 bytes"),
        ("a.parquet", b"PAR1 nonsense", "cannot be read as parquet"),
        ("a.npz", b"PK nonsense", "not a NumPy archive"),
        ("a.xlsx", b"x", "expected .csv, .parquet or .npz"),
        ("a.csv", b"name,age,sex,pace\nann,30,F,300,7\n", "line 2: 5 fields; the first line names 4 columns"),
        ("a.csv", b"name,age,sex,pace\nann,30,F,300\n\xff\xfe,1,F,300\n", "line 3: not UTF-8"),
        ("a.csv", b"\xff\xfename,age\n", "line 1: not UTF-8"),
        ("a.csv", b"name,age,sex,age\n", "stands there twice"),
        ("a.csv", b"name;age;sex;pace\nann;30;F;300\n", "no column 'age'"),
        ("a.csv", b"name,age,sex,pace\n" + b"x" * (7 << 20), "line 2: no end of line"),
    ],
)
def test_what_is_no_table_is_refused(clean: Desk, tmp_path: Path, name: str, content: bytes, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportRejected, match=text):
        clean.take(TABLE, RUNNERS, path)
    assert clean.nothing_was_kept()


def test_an_archive_that_holds_python_objects_is_not_opened(clean: Desk, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", name=np.array([{"a": 1}], object), age=[3], sex=["F"], pace=[300])
    with pytest.raises(ImportRejected, match="Python objects, which could run code"):
        clean.take(TABLE, RUNNERS, tmp_path / "a.npz")


def test_a_file_that_is_not_there_is_named(clean: Desk, tmp_path: Path) -> None:
    with pytest.raises(ImportRejected, match=r"nowhere\.csv is not a file"):
        clean.take(TABLE, RUNNERS, tmp_path / "nowhere.csv")


def test_a_recording_is_imported_once(desk: Desk, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", recording())
    desk.take(MOTION, MAPPING, path)
    again = written(tmp_path / "b.parquet", pl.concat([recording("p2", "r5", seed=5), recording("p7", "r6")]))
    with pytest.raises(ImportRejected, match=r"1 of 2 recordings were imported before, such as .*b.parquet, row 61"):
        desk.take(MOTION, MAPPING, again)
    assert len(desk.rows("motion")) == 5


def test_a_table_is_imported_once(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,age,sex,pace\nann,30,F,300\n")
    desk.take(TABLE, RUNNERS, path)
    with pytest.raises(ImportRejected, match="imported before"):
        desk.take(TABLE, RUNNERS, path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"columns": {"az": "z"}}, r"\[columns\] of the mapping names az; the workload has ax, ay"),
        ({"classes": {"x": "jump"}}, r"\[classes\] of the mapping names jump"),
        ({"time": None}, "must say either"),
        ({"rate_hz": 50.0}, "must say either"),
    ],
)
def test_a_mapping_that_does_not_fit_the_workload_is_refused(
    clean: Desk, tmp_path: Path, change: dict[str, object], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        clean.take(MOTION, MAPPING.model_copy(update=change), written(tmp_path / "a.csv", recording()))


def test_a_rate_that_the_mapping_declares_is_compared(clean: Desk, tmp_path: Path) -> None:
    mapping = MAPPING.model_copy(update={"time": None, "rate_hz": 100.0})
    with pytest.raises(ImportRejected, match="rate_hz = 100: recorded at another rate"):
        clean.take(MOTION, mapping, written(tmp_path / "a.csv", recording()))


def test_times_of_day_are_times(desk: Desk, tmp_path: Path) -> None:
    frame = recording().with_columns(t=pl.datetime(2026, 1, 1) + pl.duration(milliseconds=20 * pl.int_range(60)))
    assert desk.take(MOTION, MAPPING, written(tmp_path / "a.parquet", frame)).rows == 5
    text = frame.with_columns(pl.col("t").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"), pl.col("ax") + 1)
    assert desk.take(MOTION, MAPPING, written(tmp_path / "b.csv", text)).rows == 5


def test_damaged_rows_are_noticed(desk: Desk, tmp_path: Path) -> None:
    desk.take(MOTION, MAPPING, written(tmp_path / "a.csv", recording()))
    (dataset,) = desk.store.datasets()
    assert not damaged(desk.folder, dataset)
    part = desk.folder.data / dataset.file / "part-00000.safetensors"
    part.write_bytes(part.read_bytes()[:-4] + b"\0\0\0\1")
    assert damaged(desk.folder, dataset)
    part.write_bytes(b"")
    with pytest.raises(StoreError, match="import again"):
        desk.rows("motion")
    part.unlink()
    with pytest.raises(StoreError, match="import again"):
        desk.rows("motion")


def test_recordings_that_are_too_short_are_told(desk: Desk, tmp_path: Path) -> None:
    short = written(tmp_path / "short.csv", recording(samples=19, seed=4))
    with pytest.raises(
        ImportRejected, match=r"no window of 0\.4 s could be cut from 19 samples \(1 recordings too short"
    ):
        desk.take(MOTION, MAPPING, short)
    assert desk.nothing_was_kept()
    report = desk.take(MOTION, MAPPING, written(tmp_path / "a.csv", recording()), short)
    assert (report.recordings, report.short, report.rows, report.people) == (1, 1, 5, 1)
