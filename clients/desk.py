"""The consent desk's work: statements for people by their external names, and a person's whole story."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from clients import consent, people
from clients.consent_lines import export_lines, import_lines
from clients.settings import NodeFolder, load
from clients.statements import ConsentStatement
from clients.store import NodeStore, open_store
from federation.consent import Actor, ConsentState, Purpose
from federation.errors import SchemaError, UsageError
from federation.ids import PersonNumber
from federation.manifest import parse

SHOWN = 5


@dataclass(frozen=True)
class Words:
    """What is said about each of several people."""

    state: ConsentState
    notice_version: str = ""
    actor: Actor = Actor.PERSON
    born: date | None = None
    adult: bool = False
    valid_until: datetime | None = None
    evidence: str = ""


@dataclass(frozen=True)
class Story:
    """Everything about one person: what was said, and where their rows were used under which statement."""

    person: str
    statements: tuple[dict[str, Any], ...]
    uses: tuple[dict[str, Any], ...]


def record_for(folder: NodeFolder, named: Sequence[str], purposes: Sequence[str], words: Words) -> int:
    """Record `words` for everybody named and each purpose, or for nobody; how many people.

    A permission may come before the data: whoever is not known yet gets a number. A withdrawal needs a known person.
    """
    said, at = purposes_named(purposes), datetime.now(UTC)
    years = load(folder).policy.age_of_consent_years
    with open_store(folder) as store, store.transaction():
        numbers = _numbers(store, named, words.state)
        statements = [_statement(number, purpose, words, at) for number in numbers for purpose in said]
        consent.record_all(store, statements, years)
    return len(numbers)


def purposes_named(names: Sequence[str]) -> tuple[Purpose, ...]:
    """Purposes by name, or `UsageError` that lists them."""
    try:
        return tuple(Purpose(name) for name in names)
    except ValueError as error:
        raise UsageError(f"{error}; purposes are {', '.join(Purpose)}.") from error


def counts(folder: NodeFolder) -> list[dict[str, Any]]:
    """How many people permit each purpose now, beside how many are known."""
    years, at = load(folder).policy.age_of_consent_years, datetime.now(UTC)
    with open_store(folder) as store:
        known = len(people.everyone(store))
        return [
            {
                "purpose": purpose.value,
                "people": len(consent.eligible(store, purpose, at, age_of_consent_years=years).people),
                "known": known,
            }
            for purpose in Purpose
        ]


def story(folder: NodeFolder, external_id: str) -> Story:
    """One person's statements and uses, in order; `SchemaError` if nobody is called so."""
    with open_store(folder) as store:
        person = people.find_person(store, external_id)
        names = {task.digest: parse(task.manifest_json).name for task in store.accepted_tasks()}
        statements = tuple(
            {
                "at": _text(event.at),
                "purpose": event.purpose.value,
                "state": event.state,
                "actor": event.actor,
                "notice_version": event.notice_version,
                "until": _text(event.counts_until),
            }
            for event in consent.history(store, person)
        )
        uses = tuple(
            {
                "at": _text(use.activity.at),
                "task": names.get(use.activity.task, use.activity.task),
                "round": use.activity.round_number,
                "kind": use.activity.kind,
                "purpose": use.activity.purpose.value,
                "consented_at": _text(use.consent.at) if use.consent else None,
                "notice_version": use.consent.notice_version if use.consent else None,
            }
            for use in store.activities_of(person)
        )
    return Story(external_id, statements, uses)


def import_file(folder: NodeFolder, file: Path) -> int:
    """Statements of a JSON-lines file into the log, all or none; how many."""
    years = load(folder).policy.age_of_consent_years
    try:
        with file.open(encoding="utf-8") as lines, open_store(folder) as store:
            return import_lines(store, lines, years)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as UTF-8 text: {error}. Nothing was recorded.") from error


def export_text(folder: NodeFolder) -> str:
    """Every statement as JSON lines."""
    with open_store(folder) as store:
        return "".join(f"{line}\n" for line in export_lines(store))


def _numbers(store: NodeStore, named: Sequence[str], state: ConsentState) -> list[PersonNumber]:
    if state is not ConsentState.WITHDRAWN:
        return [*dict.fromkeys(people.person_numbers(store, named).values())]
    known = people.known_numbers(store, named)
    unknown = [name for name in named if name not in known]
    if unknown:
        raise SchemaError(
            f"{len(unknown)} of {len(named)} are not known here, such as {', '.join(unknown[:SHOWN])}; check the "
            "spelling. Nothing was recorded."
        )
    return [*dict.fromkeys(known.values())]


def _statement(person: PersonNumber, purpose: Purpose, words: Words, at: datetime) -> ConsentStatement:
    return ConsentStatement(
        person=person,
        purpose=purpose,
        state=words.state,
        actor=words.actor,
        at=at,
        notice_version=words.notice_version,
        born=words.born,
        adult=words.adult,
        valid_until=words.valid_until,
        evidence=words.evidence,
    )


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
