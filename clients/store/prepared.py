"""Statements of node.sqlite that every round needs, turned into SQLite's words once instead of each time."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler

Value = str | bytes | int | float | None
DIALECT = sqlite.dialect(paramstyle="named")


@dataclass(frozen=True)
class Prepared:
    """SQL with named places for values; `constants` fill those that the statement came with."""

    text: str
    constants: Mapping[str, Value]


def prepared(statement: ClauseElement) -> Prepared:
    """`statement`, whose values are given when it runs: each a `bindparam`, an inserted one its column."""
    compiled = statement.compile(dialect=DIALECT)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - narrows the type; what selects or writes is
    given = {name for name, place in compiled.binds.items() if place.required}
    return Prepared(str(compiled), {name: value for name, value in compiled.params.items() if name not in given})
