"""What a person said about the use of their data, and whether it may be recorded."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from pyroaring import BitMap

from clients.permissions import ConsentIndex
from clients.store.moments import from_micros, to_micros
from clients.store.tables import GUARDED
from federation.consent import PERMITTING, Actor, ConsentState, Purpose
from federation.errors import Refusal, Refused
from federation.ids import PersonNumber

CLOCK_TOLERANCE = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class ConsentStatement:
    """What a person (or a guardian) said on a purpose at a moment.

    A permitting statement needs `born` (kept erasably, once is enough) or `adult`: of an unknown age only a guardian
    may permit. It holds from `valid_from` (default: `at`) until `valid_until` (default: until another statement).
    `evidence` says where the proof is; the log keeps a salted hash of it, the text is erasable.
    """

    person: PersonNumber
    purpose: Purpose
    state: ConsentState
    actor: Actor = Actor.PERSON
    at: datetime
    notice_version: str
    born: date | None = None
    adult: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    evidence: str = ""

    def __post_init__(self) -> None:
        for moment in (self.at, self.valid_from or self.at, self.valid_until or self.at):
            to_micros(moment)


@dataclass
class Judge:
    """First learns dates of birth from all statements, then takes them one by one in the order of recording."""

    index: ConsentIndex
    known: BitMap
    births: dict[PersonNumber, date]
    now: datetime
    age_of_consent_years: int
    _latest: dict[tuple[PersonNumber, Purpose], int] = field(default_factory=dict)

    def learn(self, statement: ConsentStatement) -> bool:
        """Take in a date of birth; whether it is new. `Refused` where it contradicts what is known."""
        before = self.births.get(statement.person)
        if statement.born is None or statement.born == before:
            return False
        if before is not None:
            raise refused(statement, "it names another date of birth than the one recorded; find out which is right")
        if statement.born > self.now.date():
            raise refused(statement, "its date of birth is in the future")
        self.births[statement.person] = statement.born
        return True

    def take(self, statement: ConsentStatement) -> int:
        """The limit of age that the statement meets (see `established_age`), or `Refused`: it may not be recorded."""
        if statement.person not in self.known:
            raise refused(statement, "this node knows no such person (or they were erased); import their data first")
        if statement.valid_until is not None and statement.valid_until <= (statement.valid_from or statement.at):
            raise refused(statement, f"it ends at {statement.valid_until}, before it begins")
        self._require_order(statement)
        return self.established_age(statement)

    def claimed_too_young(self, person: PersonNumber) -> list[Purpose]:
        """What a person permits on their own word, but was too young for by the date of birth."""
        born, years = self.births[person], self.age_of_consent_years
        own = self.index.permitted_purposes(person, by_guardian=False)
        return [
            purpose for purpose in own if not of_age(born, from_micros(self.index.latest_at(person, purpose)), years)
        ]

    def established_age(self, statement: ConsentStatement) -> int:
        """The limit of age that was checked, or `GUARDED`, 0 where nothing is permitted.

        `Refused` if this actor may not permit for this person; an unknown age counts as that of a minor.
        """
        if statement.state not in PERMITTING:
            return 0
        born, years = self.births.get(statement.person), self.age_of_consent_years
        adult = statement.adult if born is None else of_age(born, statement.at, years)
        if statement.actor is Actor.GUARDIAN:
            if adult:
                raise refused(statement, "the person is of age: nobody else can permit for them")
            return GUARDED
        if born is not None and not adult:
            raise refused(statement, f"the person is under {years}: a guardian has to state it")
        if not adult:
            raise refused(statement, "the person's age is unknown: give the date of birth, or say that they are adult")
        return years

    def _require_order(self, statement: ConsentStatement) -> None:
        """An old form that is typed in late must not undo a withdrawal that was made after it."""
        if statement.at > self.now + CLOCK_TOLERANCE:
            raise refused(statement, f"it was made at {statement.at}, which is in the future; check the clock")
        key, made = (statement.person, statement.purpose), to_micros(statement.at)
        before = self._latest.get(key, self.index.latest_at(*key))
        if statement.state in PERMITTING and made < before:
            raise refused(statement, f"it was made at {statement.at}, before one that is recorded already")
        self._latest[key] = made


def of_age(born: date, at: datetime, years: int) -> bool:
    """Whether somebody has reached `years` at `at`; who is born on 29 February does so on 1 March."""
    day = at.date()
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day)) >= years


def refused(statement: ConsentStatement, why: str) -> Refused:
    """The error for a statement that was not recorded."""
    return Refused(
        Refusal.NO_CONSENT,
        f"{statement.state} on {statement.purpose} by person {statement.person} was not recorded: {why}.",
    )
