"""What is wrong with a file, gathered so that one import shows all of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from clients.data.sources import place_name
from federation.errors import ImportRejected

SHOWN = 5
ENOUGH = 100_000


@dataclass
class Problems:
    """Kinds of problems of one file with the first places of each; lives as long as the file is read."""

    path: Path
    places: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)

    def at(self, what: str, places: Iterable[int], count: int, example: str = "") -> None:
        """Note `count` rows with the same problem; `places` begins with the first of them, which holds `example`."""
        if not count:
            return
        self.examples.setdefault(what, f", such as {example}" if example else "")
        known = self.places.setdefault(what, [])
        known.extend(islice(places, SHOWN - len(known)))
        self.counts[what] = self.counts.get(what, 0) + count
        if sum(self.counts.values()) > ENOUGH:
            self.refuse()

    def about_the_file(self, what: str) -> None:
        """Note something that is wrong with the whole file."""
        self.whole.append(what)

    def refuse(self) -> None:
        """Raise `ImportRejected` with everything that was noted, if anything was."""
        if not self.counts and not self.whole:
            return
        word = place_name(self.path)
        lines = [
            f"{what}{self.examples[what]}: {_listed(word, self.places[what], count)}"
            for what, count in self.counts.items()
        ]
        raise ImportRejected(
            f"{self.path} was not imported; nothing was kept.\n  " + "\n  ".join([*self.whole, *lines])
        )


def _listed(word: str, places: list[int], count: int) -> str:
    more = f" and {count - len(places)} more" if count > len(places) else ""
    return f"{word} {', '.join(map(str, places))}{more}"
