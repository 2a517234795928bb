"""How long a budget reservation and a consent snapshot take, on disk, with many people."""

import argparse
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from clients import budget, consent, people
from clients.statements import ConsentStatement
from clients.store import NodeStore, open_store, verify
from federation.consent import ConsentState, Purpose
from federation.ids import PersonNumber, TaskDigest
from federation.roles import Step
from privacy.accounting import SampledGaussian, rdp
from simulations.benchmarks.record import Timing, median_ms, row, timed, write

AT = datetime(2026, 5, 1, tzinfo=UTC)
CAP = budget.Cap(90.0, 1e-6)
COST = SampledGaussian(0.05, 1.5)
TRAIN = Purpose.TRAIN_MOTION_MODELS
RUNS = 200


def main(arguments: list[str]) -> None:
    """Measure and write ``ledger.json`` and ``ledger.md``."""
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks.ledger", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    out: Path = parser.parse_args(arguments).out
    with tempfile.TemporaryDirectory() as folder:
        rows = reservations(Path(folder), 10_000)
    with tempfile.TemporaryDirectory() as folder:
        rows += snapshots(Path(folder), 100_000)
    write(out, "ledger", "Budget and consent", "python -m simulations.benchmarks.ledger", rows)
    for measured in rows:
        print(measured)


def reservations(folder: Path, size: int) -> list[dict[str, Any]]:
    """Charges of about everybody (two in a hundred come and go each round), then of random halves: the worst case."""
    rdp(COST, 1)  # the accountant is started once per process
    dice = random.Random(7)  # noqa: S311 - who comes and goes in a measurement
    with open_store(folder) as store:
        people.person_numbers(store, [f"person {number}" for number in range(size)])
        everybody = range(size)

        def charge(name: str, share: float) -> Any:
            def reserve(number: int) -> None:
                who = BitMap(dice.sample(everybody, int(share * size)))
                charges.append(budget.Charge(TaskDigest(name * 64), number, Step.TRAIN_ON_PEOPLE, COST, who, RUNS))

            charges: list[budget.Charge] = []
            for number in range(RUNS):
                reserve(number)
            return lambda number: budget.reserve(store, charges[number], CAP, budget.head(store), AT)

        found = [
            line(f"reservation, {size:,} people of whom 98 % are eligible", timed(charge("a", 0.98), RUNS), 5.0),
            line(f"reservation, a random half of {size:,} people each time", timed(charge("b", 0.5), RUNS)),
        ]
        found.append(line(f"verify all logs ({2 * RUNS} reservations)", timed(lambda _: verify(store), 3)))
    with open_store(folder) as store:
        first = timed(lambda _: budget.table(store), 1)
    return [*found, line(f"rebuild who spent what from {2 * RUNS} reservations", first)]


def snapshots(folder: Path, size: int) -> list[dict[str, Any]]:
    """Snapshots of a log with one statement per person, each after one more statement was recorded."""
    with open_store(folder, clock=lambda: AT) as store:
        numbers = people.person_numbers(store, [f"person {number}" for number in range(size)])
        given = [statement(number, ConsentState.GIVEN) for number in numbers.values()]
        recorded = timed(lambda _: consent.record_all(store, given), 1)
    with open_store(folder, clock=lambda: AT) as store:
        first = timed(lambda _: consent.eligible(store, TRAIN, AT), 1)
        return [
            line(f"record {size:,} statements at once", recorded),
            line(f"first snapshot of {size:,} people after a start", first),
            line(f"snapshot of {size:,} people", timed(lambda _: consent.eligible(store, TRAIN, AT), RUNS), 20.0),
            line("record one withdrawal", timed(withdrawal(store), RUNS)),
            line(f"check of 1,000 of {size:,} people before a step", timed(check(store), RUNS)),
        ]


def line(what: str, timing: Timing, limit_ms: float | None = None) -> dict[str, Any]:
    """A line of the table; the processor's median leaves out the wait for the disk and for other programs."""
    return row(what, timing.clock_s, limit_ms) | {"processor_median_ms": median_ms(timing.processor_s)}


def statement(person: PersonNumber, state: ConsentState) -> ConsentStatement:
    """What an adult said."""
    return ConsentStatement(person=person, purpose=TRAIN, state=state, at=AT, notice_version="1", adult=True)


def withdrawal(store: NodeStore) -> Any:
    """One person after the other takes their consent back."""
    return lambda number: consent.record(store, statement(PersonNumber(number), ConsentState.WITHDRAWN))


def check(store: NodeStore) -> Any:
    """Who of a chunk still permits it."""
    chunk = BitMap(range(1000))
    return lambda number: consent.permitted(store, TRAIN, AT + timedelta(seconds=number), chunk)


if __name__ == "__main__":
    main(sys.argv[1:])
