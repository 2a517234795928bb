"""The mapping file: which column of a partner's files is what the workload asks for."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from federation.errors import UsageError
from federation.misfits import misfits
from federation.schema import RowSchema

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class ColumnMap(BaseModel):
    """A mapping file, parsed.

    `columns` says where the schema's columns are found; what it leaves out has the same name in the file.
    `scale` multiplies columns or the target (9.80665 turns g into m/s²). `codes` gives numbers for words, such as
    {female = {F = 1, M = 0}}. `empty` gives numbers for empty fields where the workload has one for "not told", such
    as {age = 0}. `classes` names the file's labels as the workload does. `recording` tells recordings apart; without
    it each file is one recording per person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    person: str
    target: str
    recording: str | None = None
    time: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    rate_hz: Annotated[float, Field(gt=0)] | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    columns: dict[str, str] = {}
    scale: dict[str, float] = {}
    codes: dict[str, dict[str, float]] = {}
    empty: dict[str, float] = {}
    classes: dict[str, str] = {}

    def wanted(self, schema: RowSchema) -> dict[str, str]:
        """Column in the file by our name: the schema's columns, then person, target, recording and time."""
        wanted = {f"column {column.name}": self.columns.get(column.name, column.name) for column in schema.columns}
        roles = {"person": self.person, "target": self.target, "recording": self.recording}
        if schema.window or schema.history:
            roles["time"] = self.time
        return wanted | {role: name for role, name in roles.items() if name is not None}


def read_mapping(path: Path) -> ColumnMap:
    """The mapping in a TOML file, or `UsageError` that names each line that cannot be."""
    try:
        return ColumnMap.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"the mapping file {path} cannot be read: {error.strerror}. It says which column is what, in TOML; "
            "docs/run-a-node.md shows one."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"the mapping file {path} is no TOML: {error}. Perhaps --mapping names another file than the one that says "
            "which column is what."
        ) from error
    except ValidationError as error:
        lines = misfits(error, ColumnMap)
        raise UsageError(f"the mapping file {path} cannot be used:\n  " + "\n  ".join(lines)) from error


def check_mapping(mapping: ColumnMap, schema: RowSchema) -> None:
    """Raise `UsageError` unless the mapping speaks of this schema's columns and classes, and tells the rate."""
    names = {column.name for column in schema.columns}
    _known("[columns]", set(mapping.columns), names)
    _known("[codes]", set(mapping.codes), names)
    _known("[empty]", set(mapping.empty), names)
    _known("[scale]", set(mapping.scale), names | {schema.target.name})
    _known("[classes]", set(mapping.classes.values()), set(schema.target.classes))
    if schema.window and (mapping.time is None) == (mapping.rate_hz is None):
        raise UsageError(
            f"this workload reads recordings at {schema.window.rate_hz:g} Hz: the mapping must say either "
            'time = "COLUMN" or rate_hz = NUMBER.'
        )
    if schema.history and (mapping.recording is not None or mapping.rate_hz is not None):
        raise UsageError(
            "this workload gathers all lines of a person into one history: the mapping must name neither recording nor "
            "rate_hz. Delete them."
        )


def _known(table: str, found: set[str], expected: set[str]) -> None:
    strange = sorted(found - expected)
    if strange:
        raise UsageError(
            f"{table} of the mapping names {', '.join(strange)}; the workload has {', '.join(sorted(expected)) or '–'}."
        )
