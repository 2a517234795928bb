"""A whole federation on this machine: real processes, real recordings, the commands that partners type."""

import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Made:
    """The demo's result."""

    page: Path
    data: Path
    seconds: float


def run(out: Path, screen: "Console") -> Made:
    """Play the whole demo into the folder `out`; whatever happens, nothing that it started is left running."""
    from simulations.demo import acts, live, render, scene, training
    from simulations.demo.collect import collect, facts
    from simulations.shell import Shell

    began, started = datetime.now(UTC), time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = out.resolve()
    scene.prepare(place)
    with Shell(place / "logs") as shell, live.board(screen) as board:
        here = scene.Scene(place, shell, board)
        opened = acts.open_federation(here)
        trained = training.train(here)
        with here.act("Each folder is opened for the report"):
            found = collect(here, opened, trained)
        with here.act("Everything stops"):
            shell.stop()
    seconds = time.monotonic() - started
    page, data = render.write(facts(found, began, here.seconds | {"total": seconds}), place)
    return Made(page, data, seconds)
