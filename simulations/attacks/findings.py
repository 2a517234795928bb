"""What an attack found: sentences, tables, plots and figures, on a page for people and as JSON for machines."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from simulations import whole
from simulations.attacks.measures import Estimate
from simulations.attacks.setting import Setting
from simulations.pages import page
from simulations.seeded import STAMP

Advance = Callable[[float], None]
"""Told how many units of work were done."""


@dataclass(frozen=True)
class Verdict:
    """Whether something that must hold does, in words."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Plot:
    """A figure as SVG with what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Findings:
    """All that an attack brought.

    `control`: the attack succeeds where there is no protection; else its failure elsewhere says nothing. `promise`:
    nothing went beyond what the terms promise; none where they promise nothing.
    """

    title: str
    attacker: str
    control: Verdict
    promise: Verdict | None
    tables: tuple[Mapping[str, Any], ...]
    plots: tuple[Plot, ...]
    figures: Mapping[str, Any]
    remark: str

    @property
    def sound(self) -> bool:
        """Whether the control succeeded and no promise was broken."""
        return self.control.holds and (self.promise is None or self.promise.holds)


def facts(setting: Setting, found: Findings) -> dict[str, Any]:
    """Everything for machines; the same scenario and seed give the same figures."""
    return {
        "attack": found.title,
        "scenario": setting.scenario.model_dump(mode="json", exclude_unset=True),
        "seed": setting.seed,
        "protection": setting.protection(),
        "stamp": STAMP,
        "control": asdict(found.control),
        "promise": None if found.promise is None else asdict(found.promise),
        "figures": _plain(found.figures),
    }


def write(setting: Setting, found: Findings, out: Path) -> tuple[Path, Path]:
    """attack.html and attack.json in the folder `out`; their paths."""
    shown = whole.write(out / "attack.html", html(setting, found))
    return shown, whole.write(out / "attack.json", json.dumps(facts(setting, found), indent=2) + "\n")


def html(setting: Setting, found: Findings) -> str:
    """The page."""
    drawn = [(Markup(plot.svg), plot.caption) for plot in found.plots]  # noqa: S704 - matplotlib escapes its texts
    shown = {
        "found": found,
        "setting": setting,
        "protection": setting.protection(),
        "plots": drawn,
        "stamp": STAMP,
        "version": metadata.version("paceline"),
        "written_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    return page.html("simulations.attacks", "attack.html.j2", shown)


def _plain(value: Any) -> Any:
    """Estimates as tables, all the way down."""
    if isinstance(value, Estimate):
        return asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
