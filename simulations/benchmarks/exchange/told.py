"""What a page is told of one part: its figures, and on which machine and at which commit each was measured."""

from dataclasses import dataclass

from simulations.benchmarks.exchange.jobs import Found
from simulations.benchmarks.kept import Part as Line
from simulations.benchmarks.kept import places


@dataclass(frozen=True)
class Told:
    """The finished jobs of the part called `part`: `lines` as they are kept, `names` in the part; of `jobs` in all."""

    part: str
    about: str
    jobs: int
    lines: tuple[Line, ...]
    names: tuple[str, ...]

    @property
    def found(self) -> Found:
        """What each finished job found."""
        return {name: line["found"] for name, line in zip(self.names, self.lines, strict=True)}

    @property
    def complete(self) -> bool:
        """Whether nothing is left to measure."""
        return len(self.lines) == self.jobs

    @property
    def places(self) -> str:
        """Machines, and commits with how many jobs were measured at each where there are several."""
        return places(self.lines)

    @property
    def command(self) -> str:
        """What measures this part alone."""
        return f"paceline bench exchange --only {self.part}"

    @property
    def head(self) -> str:
        """The command, and where it ran."""
        if not self.lines:
            return f"Not measured yet: `{self.command}`."
        left = "" if self.complete else f" {self.jobs - len(self.lines)} of {self.jobs} measurements are missing."
        return f"`{self.command}` on {self.places}.{left}"
