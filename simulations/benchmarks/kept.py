"""Finished parts of a long benchmark, so that one that was cut off goes on where it stood."""

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.errors import UsageError
from simulations import whole
from simulations.benchmarks.record import commit, machine

SHOWN = 8
"""How many kinds of parts a message names."""
Part = dict[str, Any]
"""What is written of one part: `name`, `machine`, `commit`, `found`."""


@dataclass(frozen=True)
class Kept:
    """Parts in `file`, a JSON line each, with the machine and the commit that measured it."""

    file: Path

    def parts(self) -> dict[str, Part]:
        """All that are finished, by name."""
        lines = self.file.read_text("utf-8").splitlines() if self.file.is_file() else []
        return {part["name"]: part for part in map(json.loads, lines)}

    def part(self, name: str, measure: Callable[[], Any]) -> Any:
        """What was kept under `name`, or is measured now and kept."""
        if name not in self.parts():
            self.keep(name, measure())
        return self.parts()[name]["found"]

    def keep(self, name: str, found: Any) -> None:
        """Write `found` down; a part of that name gives way."""
        part = {"name": name, "machine": machine(), "commit": commit(), "found": found}
        with self._alone():
            self._write([*(self.parts() | {name: part}).values()])

    def restore(self, parts: Iterable[Part]) -> None:
        """Take `parts` that were kept elsewhere, with their machine and commit; one that is here already stays."""
        with self._alone():
            self._write([*({part["name"]: part for part in parts} | self.parts()).values()])

    def forget(self, names: Collection[str]) -> None:
        """Delete the parts with these names; without any left, the file."""
        with self._alone():
            self._write([part for name, part in self.parts().items() if name not in names])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Whoever else keeps parts in this folder waits: parts of one file may be measured by several programs."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.file.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, parts: Sequence[Part]) -> None:
        """All at once: whoever is cut off while writing leaves what was there."""
        if not parts:
            self.file.unlink(missing_ok=True)
            return
        whole.write(self.file, "".join(json.dumps(part) + "\n" for part in parts))


def places(parts: Sequence[Part]) -> str:
    """Machines, and commits with how many of `parts` were measured at each where there are several."""
    machines = " and ".join(dict.fromkeys(part["machine"] for part in parts))
    commits = [part["commit"] for part in parts]
    each = [name if len(set(commits)) == 1 else f"{name} ({commits.count(name)})" for name in dict.fromkeys(commits)]
    return f"{machines}, commit {', '.join(each)}"


def picked(names: Iterable[str], only: Sequence[str]) -> list[str]:
    """The names that hold one of the words, set apart by commas, of each entry of `only`; all if it is empty."""
    known = list(names)
    found = [name for name in known if all(any(word in name for word in words.split(",")) for words in only)]
    if not found:
        kinds = list(dict.fromkeys(name.split(": ")[0] for name in known))
        more = f" and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else ""
        raise UsageError(f"no part has a name with {' and '.join(only)}; parts are: {', '.join(kinds[:SHOWN])}{more}.")
    return found
