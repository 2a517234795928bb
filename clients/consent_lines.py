"""Statements of consent as JSON lines: one statement a line, all of a file or nothing."""

import json
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, ValidationError
from pyroaring import BitMap

from clients import consent, people
from clients.statements import ConsentStatement, of_age
from clients.store import ConsentEvent, NodeStore, consent_log, registry
from clients.store.tables import GUARDED
from federation.consent import AGE_OF_CONSENT_YEARS, Actor, ConsentState, Purpose
from federation.errors import ImportRejected
from federation.ids import PersonNumber

SHOWN = 20
NOBODY_YET = 2**31
"""Where the stand-ins for people begin who have no number yet."""


class ConsentLine(BaseModel):
    """One line; `person` is the external identifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: Annotated[str, Field(min_length=1, max_length=people.LONGEST_ID)]
    purpose: Purpose
    state: ConsentState
    actor: Actor = Actor.PERSON
    at: AwareDatetime
    notice_version: Annotated[str, Field(max_length=200)]
    born: date | None = None
    adult: StrictBool = False
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    evidence: Annotated[str, Field(max_length=2000)] = ""


def import_lines(store: NodeStore, lines: Iterable[str], age_of_consent_years: int = AGE_OF_CONSENT_YEARS) -> int:
    """Record every line in order, or `ImportRejected` with the numbers of the bad ones and nothing recorded.

    People who are not known yet get a number. Empty lines are skipped.
    """
    parsed, wrong = _parse(lines)
    _require_right(wrong)
    people.finish_erasures(store)
    with store.transaction():
        known = people.known_numbers(store, {line.person for line in parsed.values()})
        names = sorted({line.person for line in parsed.values()} - set(known))
        stand_ins = {name: PersonNumber(NOBODY_YET + place) for place, name in enumerate(names)}
        statements = [_statement(line, (known | stand_ins)[line.person]) for line in parsed.values()]
        found = consent.problems(store, statements, BitMap(stand_ins.values()), age_of_consent_years)
        _require_right({list(parsed)[place]: problem for place, problem in found.items()})
        numbers = people.person_numbers(store, [line.person for line in parsed.values()])
        statements = [_statement(line, numbers[line.person]) for line in parsed.values()]
        consent.record_all(store, statements, age_of_consent_years)
    return len(statements)


def export_lines(store: NodeStore) -> Iterator[str]:
    """Every statement about people who are not erased, in order, in the format of `import_lines`."""
    with store.reading() as tx, store.identities.reading() as ids:
        known = registry.numbers(tx)  # an erasure that was cut off has left the identity
        rows = {row.number: row for row in registry.identities(ids) if row.number in known}
        for event in consent_log.events(tx):
            row = rows.get(event.person)
            born = date.fromisoformat(row.born) if row and row.born else None
            if row is not None and not _void(event, born):
                proof = registry.evidence(ids, event.evidence)
                line = _line(event, row.external_id, born, proof.text if proof else "")
                yield line.model_dump_json(exclude_defaults=True)


def _void(event: ConsentEvent, born: date | None) -> bool:
    """Whether somebody permitted this on their own word and turned out to have been too young for it."""
    own = 0 < event.of_age_years < GUARDED
    return own and born is not None and not of_age(born, event.at, event.of_age_years)


def _parse(lines: Iterable[str]) -> tuple[dict[int, ConsentLine], dict[int, str]]:
    """Lines by their number, with what is wrong with the others."""
    parsed: dict[int, ConsentLine] = {}
    wrong: dict[int, str] = {}
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            parsed[number] = ConsentLine.model_validate(json.loads(text, object_pairs_hook=_once))
        except ValidationError as error:
            items = error.errors(include_url=False, include_context=False, include_input=False)
            wrong[number] = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in items)
        except (ValueError, RecursionError) as error:
            wrong[number] = f"not a JSON object ({error})"
    return parsed, wrong


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose keys stand once: of two states nobody could say which was meant."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _require_right(wrong: dict[int, str]) -> None:
    if wrong:
        shown = [f"line {number}: {problem}" for number, problem in sorted(wrong.items())[:SHOWN]]
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise ImportRejected("nothing was recorded; correct these lines:\n  " + "\n  ".join(shown + more))


def _statement(line: ConsentLine, person: PersonNumber) -> ConsentStatement:
    return ConsentStatement(**{**dict(line), "person": person})


def _line(event: ConsentEvent, external_id: str, born: date | None, evidence: str) -> ConsentLine:
    return ConsentLine(
        person=external_id,
        purpose=event.purpose,
        state=ConsentState(event.state),
        actor=Actor(event.actor),
        at=event.at,
        notice_version=event.notice_version,
        born=born,
        adult=born is None and 0 < event.of_age_years < GUARDED,
        valid_from=None if event.counts_from == event.at else event.counts_from,
        valid_until=event.counts_until,
        evidence=evidence,
    )
