"""Where the demo plays: its folders, its shell, and a clock for each act."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from federation.errors import UsageError
from federation.ids import PartyId
from simulations.demo.live import Board
from simulations.shell import Shell

MARK = ".paceline-demo"
AT_ONCE = 2
"""Commands of different parties that run at the same time; two cores are what we count on."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Scene:
    """The demo while it runs. `seconds` per act; `refusals` are what nodes said no to, as the party saw it."""

    out: Path
    shell: Shell
    board: Board
    seconds: dict[str, float] = field(default_factory=dict)
    refusals: list[dict[str, str]] = field(default_factory=list)

    @property
    def coordinator(self) -> Path:
        """The coordinator's folder."""
        return self.out / "coordinator"

    def node(self, party: PartyId) -> Path:
        """The folder of `party`."""
        return self.out / party

    @contextmanager
    def act(self, title: str) -> Iterator[None]:
        """Announce an act and measure it."""
        self.board.show(title, [])
        started = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - started


def prepare(out: Path) -> None:
    """An empty folder `out`; an earlier demo in it is removed, anything else is `UsageError`."""
    import shutil

    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).is_file())):
        raise UsageError(f"{out} holds something that no demo wrote; name an empty folder with --out, or remove it.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARK).write_text("Written by `paceline demo`; the next demo here removes this folder.\n", encoding="utf-8")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` for each of `items`, a few at a time; results in order, the first error is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(work, item) for item in items]
        try:
            return [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
