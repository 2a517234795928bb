"""Files that a stranger would hand in by mistake, through `paceline node import`: told with places, nothing kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from clients.settings import DEFAULT_NODE_TOML

MAPPING = 'person = "who"\nrecording = "session"\ntime = "t"\ntarget = "label"\n'
RUNNERS = 'person = "name"\ntarget = "pace"\n[columns]\nfemale = "sex"\n[codes.female]\nF = 1\nM = 0\n'
FORCE, TURN = ["ax", "ay", "az"], ["wx", "wy", "wz"]


def recording(who: str = "ann", session: str = "s1", samples: int = 300, seed: int = 0) -> pl.DataFrame:
    """Six seconds of a watch at 50 Hz, in g and rad/s."""
    source = np.random.default_rng(seed)
    names = {"who": [who] * samples, "session": [session] * samples, "label": ["PEN"] * samples}
    force = {axis: source.normal(0, 0.5, samples) for axis in FORCE}
    turn = {axis: source.normal(0, 1.5, samples) for axis in TURN}
    return pl.DataFrame(names | {"t": np.arange(samples) / 50} | force | turn)


def with_cell(column: str, row: int, text: str | None) -> pl.DataFrame:
    """A recording with one cell replaced."""
    frame = recording()
    cells = frame[column].cast(pl.String).to_list()
    cells[row] = text
    return frame.with_columns(pl.Series(column, cells, dtype=pl.String))


def scaled(columns: list[str], factor: float) -> pl.DataFrame:
    return recording().with_columns(pl.col(columns) * factor)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paceline: Callable[..., Any]) -> Path:
    """A node that holds one import already, so that there is something to lose."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node.toml").write_text(DEFAULT_NODE_TOML)
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "runners.toml").write_text(RUNNERS)
    recording("zoe", seed=9).write_csv(tmp_path / "earlier.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACELINE_NODE", str(folder))
    assert paceline(*importing("earlier.csv")).code == 0
    grant = ("--purpose", "train-motion-models", "--adult", "--notice", "1")
    assert paceline("consent", "grant", "zoe", *grant).code == 0
    return folder


def importing(*files: str) -> tuple[str, ...]:
    return ("node", "import", *files, "--mapping", "map.toml", "--workload", "exercise_recognition")


BAD: dict[str, tuple[Callable[[], pl.DataFrame], tuple[str, ...]]] = {
    "a missing column": (
        lambda: recording().drop("az"),
        ("no column 'az' (column az)", "It has who, session, label, t, ax, ay, wx, wy, wz", "Correct the mapping file"),
    ),
    "text in a number": (
        lambda: with_cell("ax", 3, "fast"),
        ("ax holds text instead of a number, such as 'fast': line 5", "nothing was kept"),
    ),
    "NaN": (lambda: with_cell("wy", 7, "nan"), ("wy is NaN or infinite: line 9", "nothing was kept")),
    "infinity": (lambda: with_cell("wy", 7, "inf"), ("wy is NaN or infinite: line 9", "nothing was kept")),
    "m/s² for g": (
        lambda: scaled(FORCE, 9.80665),
        ("lie outside -8 … 8 g; wrong units?", "divide by 9.80665", "[scale] in the mapping file"),
    ),
    "degrees for radians": (
        lambda: scaled(TURN, 57.29578),
        ("lie outside -35 … 35 rad/s; wrong units?", "multiply by π/180", "[scale] in the mapping file"),
    ),
    "milli-g for g": (lambda: scaled(FORCE, 1000.0), ("lie outside -8 … 8 g", "[scale]")),
    "values that hardly change": (
        lambda: scaled(FORCE, 0.001),
        ("the values hardly change", "at least 0.02 g expected", "[scale]"),
    ),
    "a wrong sampling rate": (
        lambda: recording().with_columns(pl.col("t") / 2),
        ("another rate than the workload's 50 Hz (resample it", "such as 100 Hz: line 2"),
    ),
    "rows without a person": (
        lambda: with_cell("who", 58, ""),
        ("no person: line 60", "nothing was kept"),
    ),
    "a recording twice in one file": (
        lambda: pl.concat([recording(), recording("bob", "s2")]),
        ("line 302: the same recording as", "Leave one of them out", "nothing was imported"),
    ),
    "a recording that was imported before": (
        lambda: recording("zoe", seed=9),
        ("1 of 2 recordings were imported before, such as bad.csv, line 2", "Leave them out"),
    ),
    "only a header": (lambda: recording(samples=0), ("it holds no rows, only column names",)),
    "time in milliseconds": (
        lambda: recording().with_columns(pl.col("t") * 1000),
        ("another rate than the workload's 50 Hz", "correct time_unit", "0.05 Hz"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_told_and_nothing_of_the_whole_import_is_kept(
    node: Path, refused: Callable[..., str], case: str
) -> None:
    make, says = BAD[case]
    make().write_csv("bad.csv")
    recording("good", seed=4).write_csv("good.csv")
    refused(*importing("good.csv", "bad.csv"), says=says, folders=(node,))


def test_a_standing_g_sensor_in_metres_is_found_in_one_file_of_a_person(
    node: Path, refused: Callable[..., str]
) -> None:
    gravity = recording().with_columns(pl.col("az") * 0.2 + 1).with_columns(pl.col(FORCE) * 9.80665)
    gravity.write_csv("bad.csv")
    refused(*importing("bad.csv"), says=("az: ", "outside -8 … 8 g"), folders=(node,))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", ("empty.csv is empty: 0 bytes", "Export it again")),
        ("sheet.xlsx", b"PK", ("ends in .xlsx; expected .csv, .parquet or .npz",)),
        ("none.csv", None, ("none.csv is not a file", "name CSV, Parquet or NPZ files")),
        ("cut.parquet", b"PAR1\0\0", ("cut.parquet cannot be read as parquet",)),
        ("cut.npz", b"PK\3\4\0", ("cut.npz is not a NumPy archive",)),
        ("latin.csv", "who,session\nJosé\n".encode("latin-1"), ("latin.csv",)),
        ("semicolons.csv", b"who;session;label;t;ax;ay;az;wx;wy;wz\n", ("has no column", "separator")),
    ],
)
def test_what_is_no_table_is_told(
    node: Path, refused: Callable[..., str], name: str, content: bytes | None, says: tuple[str, ...]
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    refused(*importing(name), says=says, folders=(node,))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("ann,1987,F,10,300", "age outside 5 … 110 years"),
        ("ann,thirty,F,10,300", "age holds text instead of a number, such as 'thirty': line 3"),
        (",30,F,10,300", "no person: line 3"),
        ("ann,30,F,10,5.1", "pace outside"),
        ("ann,30,X,10,300", "female holds text instead of a number, such as 'X': line 3"),
        ("ann,30,F,nan,300", "start_delay is NaN or infinite: line 3"),
        ("ann,30,F,10,300,7", "line 3: 6 fields; the first line names 5 columns"),
        ("ann,30,F", "line 3"),
    ],
)
def test_a_bad_row_of_runners_is_told_with_its_line(
    node: Path, refused: Callable[..., str], row: str, says: str
) -> None:
    Path("runners.csv").write_text(f"name,age,sex,start_delay,pace\nbob,41,M,20,310\n{row}\n")
    words = ("node", "import", "runners.csv", "--mapping", "runners.toml", "--workload", "running_pace")
    refused(*words, says=(says, "runners.csv"), folders=(node,))


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("person = ", ("mapping file map.toml is no TOML",)),
        ('persona = "who"\ntarget = "label"\nrate_hz = 50.0\n', ("persona", "person: ")),
        (MAPPING.replace('"t"', '"t"\nrate_hz = 50.0'), ("must say either",)),
        (MAPPING.replace('time = "t"', "rate_hz = 100.0"), ("rate_hz = 100", "workload's 50 Hz", "correct rate_hz")),
        (MAPPING.replace('time = "t"', "rate_hz = 0.0"), ("rate_hz: expected a number above 0; found 0.0",)),
        (MAPPING + "[columns]\nacceleration = 'ax'\n", ("[columns] of the mapping names acceleration", "ax, ay, az")),
    ],
)
def test_a_mapping_that_cannot_be_is_told(
    node: Path, refused: Callable[..., str], mapping: str, says: tuple[str, ...]
) -> None:
    recording().write_csv("a.csv")
    Path("map.toml").write_text(mapping)
    code = 1 if "100" in mapping else 2
    refused(*importing("a.csv"), says=says, folders=(node,), code=code)


def test_the_same_file_named_twice_is_told(node: Path, refused: Callable[..., str]) -> None:
    recording().write_csv("a.csv")
    refused(*importing("a.csv", "a.csv"), says=("the same recording as a.csv, line 2",), folders=(node,))


def test_recordings_too_short_for_any_window_are_told(node: Path, refused: Callable[..., str]) -> None:
    recording(samples=150).write_csv("a.csv")
    says = ("no window of 4 s could be cut from 150 samples", "1 recordings too short", "nothing was imported")
    refused(*importing("a.csv"), says=says, folders=(node,))
