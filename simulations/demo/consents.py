"""What the people of the demo said, written as a partner's consent desk would and imported by its node."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from federation.consent import AGE_OF_CONSENT_YEARS, Purpose
from simulations import datasets
from simulations.demo.cast import OTHER_PURPOSE_AT, Party
from simulations.demo.files import PACE, Delivery
from simulations.demo.scene import Scene

NOTICE = "demo-2026-1"


@dataclass(frozen=True)
class Recorded:
    """How many people of one group said what; `other` is whoever consented to another purpose only."""

    party: str
    workload: str
    held_out: bool
    people: int
    by_guardian: int
    other: tuple[str, ...]


def record(scene: Scene, party: Party, deliveries: Iterable[Delivery]) -> tuple[Recorded, ...]:
    """Write the statements of all of a party's people to a file, and import it into the party's node."""
    own = [delivery for delivery in deliveries if delivery.party == party]
    file = scene.out / "files" / party.party / "consent.jsonl"
    _write(file, [line for delivery in own for line in _lines(delivery)])
    scene.shell.run("consent", "import", file, "--dir", scene.node(party.party))
    return tuple(_recorded(delivery) for delivery in own)


def _write(file: Path, lines: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _recorded(delivery: Delivery) -> Recorded:
    other = others(delivery)
    by_guardian = sum(_minor(delivery, person) for person in delivery.people)
    return Recorded(
        delivery.party.party, delivery.workload, delivery.held_out, len(delivery.people), by_guardian, other
    )


def _lines(delivery: Delivery) -> Iterator[dict[str, Any]]:
    at = (datetime.now(UTC) - timedelta(seconds=5)).isoformat(timespec="seconds")
    for person in delivery.people:
        for purpose in _purposes(delivery, person):
            yield {
                "person": person,
                "purpose": purpose,
                "state": "given",
                "actor": "guardian" if _minor(delivery, person) else "person",
                "at": at,
                "notice_version": NOTICE,
                **_age(delivery, person),
            }


def others(delivery: Delivery) -> tuple[str, ...]:
    """The one runner of one party who consented to another purpose only."""
    if delivery.party.party == OTHER_PURPOSE_AT and delivery.workload == PACE:
        return (next(person for person in delivery.people if not _minor(delivery, person)),)
    return ()


def _purposes(delivery: Delivery, person: str) -> tuple[Purpose, ...]:
    if person in others(delivery):
        return (Purpose.IMPROVE_OWN_SERVICE,)
    if delivery.held_out:
        return (Purpose.TRAIN_MOTION_MODELS, Purpose.PUBLISH_SCORES)
    return (Purpose.TRAIN_MOTION_MODELS,)


def _age(delivery: Delivery, person: str) -> dict[str, Any]:
    """Runners have an age, which we take as that of today; the people with a watch were adults."""
    if delivery.workload != PACE:
        return {"adult": True}
    return {"born": _years_ago(_ages()[person]).isoformat()}


def _minor(delivery: Delivery, person: str) -> bool:
    return delivery.workload == PACE and _ages()[person] < AGE_OF_CONSENT_YEARS


@cache
def _ages() -> dict[str, int]:
    return {runner.person: int(runner.age) for runner in datasets.ten_mile_runners()}


def _years_ago(years: int) -> date:
    today = datetime.now(UTC).date()
    return date(today.year - years, today.month, min(today.day, 28))
