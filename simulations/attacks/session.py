"""One call of ``paceline attack`` from the scenario to its report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation import console
from federation.errors import UsageError
from simulations import overrides, scenario
from simulations.attacks import findings
from simulations.attacks.findings import Advance, Findings
from simulations.attacks.setting import Setting, setting


@dataclass(frozen=True)
class Study:
    """An attack as a whole. `trials`: how much is tried unless the user says; `work`: units of that, for the bar."""

    name: str
    trials: int
    work: Callable[[int, Setting], int]
    run: Callable[[Setting, int, Advance], Findings]


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line; `seed` and `trials` are None where the defaults hold."""

    scenario: Path
    out: Path | None
    trials: int | None
    change: Sequence[str]
    seed: int | None


@dataclass(frozen=True)
class Session:
    """What came out, and where it is written."""

    setting: Setting
    findings: Findings
    page: Path
    json: Path
    seconds: float

    def facts(self) -> dict[str, Any]:
        """For machines."""
        written = {"page": str(self.page), "json": str(self.json), "seconds": round(self.seconds, 1)}
        return findings.facts(self.setting, self.findings) | written


def hold(study: Study, asked: Asked, quiet: bool) -> Session:
    """Attack, and write the report; the folder for it is made before the attack, which may take long."""
    wanted = overrides.overridden(scenario.read(asked.scenario), asked.change)
    began = time.monotonic()
    place = setting(wanted, wanted.seeds[0] if asked.seed is None else asked.seed)
    trials, out = asked.trials or study.trials, asked.out or Path("attack-out") / f"{study.name}-{wanted.name}"
    _make_room(out)
    with console.progress(quiet, study.name, study.work(trials, place)) as advance:
        found = study.run(place, trials, advance)
    page, data = findings.write(place, found, out)
    return Session(place, found, page, data, time.monotonic() - began)


def _make_room(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be a folder ({error.strerror}); name another one with --out.") from error
