"""The consent desk: grant, withdraw, show, import, export."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli.apps import Dir, Json, consent
from federation import console

People = Annotated[list[str] | None, typer.Argument(help="External identifiers, as in the imported files.")]
FromFile = Annotated[Path | None, typer.Option("--from-file", help="A text file with one identifier per line.")]
Purposes = Annotated[list[str], typer.Option("--purpose", help="Repeat for several purposes.")]
Evidence = Annotated[str, typer.Option(help="Where the proof is, such as a form's number; erasable.")]


@consent.command()
def grant(  # noqa: PLR0913, PLR0917 - the options of a command
    purpose: Purposes,
    notice: Annotated[str, typer.Option(help="Version of the notice that the person read.")],
    people: People = None,
    from_file: FromFile = None,
    adult: Annotated[bool, typer.Option("--adult", help="The person is of age; or give --born.")] = False,
    born: Annotated[str | None, typer.Option(help="Date of birth, YYYY-MM-DD; kept erasably.")] = None,
    guardian: Annotated[bool, typer.Option("--guardian", help="A guardian says so, for a minor.")] = False,
    until: Annotated[str | None, typer.Option(help="When the consent ends, YYYY-MM-DD.")] = None,
    evidence: Evidence = "",
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Record that people permit a purpose. All of them, or none if one statement is not valid.

    Example: paceline consent grant athlete-17 --purpose train-motion-models --adult --notice 2026-01
    """
    from clients.desk import Words, record_for
    from federation.consent import Actor, ConsentState

    words = Words(
        state=ConsentState.GIVEN,
        notice_version=notice,
        actor=Actor.GUARDIAN if guardian else Actor.PERSON,
        born=_day(born),
        adult=adult,
        valid_until=_midnight(until),
        evidence=evidence,
    )
    _say(json, record_for(_folder(folder), named(people, from_file), purpose, words), "permitted")


@consent.command()
def withdraw(  # noqa: PLR0913, PLR0917 - the options of a command
    purpose: Purposes,
    people: People = None,
    from_file: FromFile = None,
    guardian: Annotated[bool, typer.Option("--guardian", help="A guardian says so, for a minor.")] = False,
    evidence: Evidence = "",
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Record that people withdraw; holds before the next step of whatever is running.

    Example: paceline consent withdraw athlete-17 --purpose train-motion-models
    """
    from clients.desk import Words, record_for
    from federation.consent import Actor, ConsentState

    words = Words(state=ConsentState.WITHDRAWN, actor=Actor.GUARDIAN if guardian else Actor.PERSON, evidence=evidence)
    _say(json, record_for(_folder(folder), named(people, from_file), purpose, words), "withdrawn")


@consent.command()
def show(
    person: Annotated[str | None, typer.Argument(help="A person's identifier; without it counts per purpose.")] = None,
    folder: Dir = None,
    json: Json = False,
) -> None:
    """What a person said, and which rounds used their rows under which statement; or how many permit what.

    Example: paceline consent show athlete-17
    """
    from clients import desk

    if person is None:
        counts = desk.counts(_folder(folder))
        console.result(json, counts, lambda out: out.print(console.table(counts, "purpose", "people", "known")))
        return
    found = desk.story(_folder(folder), person)
    console.result(json, asdict(found), lambda out: _show(out, asdict(found)))


@consent.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON lines, as `export` writes them.")],
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Record statements from a file of JSON lines: all of it or nothing.

    Example: paceline consent import statements.jsonl
    """
    from clients.desk import import_file

    count = import_file(_folder(folder), file)
    console.result(json, {"statements": count}, lambda out: out.print(f"{count} statements recorded."))


@consent.command()
def export(
    out: Annotated[Path | None, typer.Option(help="Where to write; else standard output.")] = None,
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Every statement as JSON lines, with external identifiers: keep it safe.

    Example: paceline consent export --out statements.jsonl
    """
    import json as codec

    from clients.desk import export_text

    text = export_text(_folder(folder))
    if out is not None:
        out.write_text(text, encoding="utf-8")
        console.result(json, {"written": str(out)}, lambda screen: screen.print(f"written to {out}"))
        return
    lines = [codec.loads(line) for line in text.splitlines()]
    console.result(json, lines, lambda screen: screen.print(text, end="", markup=False))


def _folder(given: Path | None) -> Any:
    from clients.settings import find_folder

    return find_folder(given)


def named(people: list[str] | None, from_file: Path | None) -> list[str]:
    """Everybody who was named in either way, once; `UsageError` if nobody was."""
    from federation.errors import UsageError

    named = list(people or [])
    if from_file is not None:
        try:
            named += [line.strip() for line in from_file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{from_file} cannot be read: {error}.") from error
    if not named:
        raise UsageError("nobody was named; give identifiers, or a file of them with --from-file.")
    return list(dict.fromkeys(named))


def _day(text: str | None) -> date | None:
    from federation.errors import UsageError

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date; write YYYY-MM-DD.") from error


def _midnight(text: str | None) -> datetime | None:
    day = _day(text)
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _say(json: bool, people: int, word: str) -> None:
    console.result(json, {"people": people}, lambda out: out.print(f"{people} people: {word}."))


def _show(out: Any, found: dict[str, Any]) -> None:
    out.print(console.table(found["statements"], "at", "purpose", "state", "actor", "notice_version", "until"))
    out.print("\nUsed in:")
    out.print(console.table(found["uses"], "at", "task", "round", "kind", "purpose", "consented_at", "notice_version"))
