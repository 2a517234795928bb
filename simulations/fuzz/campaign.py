"""A campaign of mutations: which decoder said what, how long the slowest took, and what was not clean."""

import resource
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from time import perf_counter

from privacy.errors import PacelineError
from simulations.fuzz.target import Target
from simulations.fuzz.targets import targets

SLOWEST_S = 5.0
MOST_MEMORY_BYTES = 256 * 2**20
"""How much the whole campaign may add to the process's peak; bounds every single decode."""
KEPT_FINDINGS = 20
WATCH_EVERY = 1000


@dataclass(frozen=True)
class Finding:
    """A decoder that did something else than give a value or a clean error."""

    number: int
    target: str
    what: str
    data: bytes


@dataclass
class Tally:
    """What came out, by target."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    slowest_s: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unclean: int = 0
    seconds: float = 0.0
    memory_bytes: int = 0

    @property
    def mutations(self) -> int:
        """How many were tried."""
        return sum(sum(counter.values()) for counter in self.outcomes.values())

    def add(self, finding: Finding) -> None:
        """Count a finding; keep the first ones."""
        self.unclean += 1
        if len(self.findings) < KEPT_FINDINGS:
            self.findings.append(finding)


def run(numbers: Iterable[int], seed: int, watch: Callable[[Tally], None]) -> Tally:
    """Try the mutations with these numbers; number and `seed` say everything about a mutation.

    `watch` is called every thousand mutations.
    """
    tally, all_targets = Tally(), targets()
    honest = [target.honest() for target in all_targets]
    begin, memory = perf_counter(), _peak_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in numbers:
            index = number % len(all_targets)
            attempt(number, seed, all_targets[index], honest[index], tally)
            if number % WATCH_EVERY == 0:
                watch(tally)
    tally.seconds, tally.memory_bytes = perf_counter() - begin, _peak_bytes() - memory
    if tally.memory_bytes > MOST_MEMORY_BYTES:
        tally.add(Finding(-1, "all", f"memory grew by {tally.memory_bytes} bytes", b""))
    return tally


def attempt(number: int, seed: int, target: Target, honest: frozenset[bytes], tally: Tally) -> None:
    """Make mutation `number` of `target` and count what its decoder does with it."""
    draw = Random(seed << 64 | number)  # noqa: S311
    data = target.mutate(draw.choice(target.seeds), draw)
    begin = perf_counter()
    outcome = _outcome(target, honest, data)
    took = perf_counter() - begin
    if took > SLOWEST_S:
        outcome = f"not clean: took {took:.1f} s"
    if outcome.startswith("not clean"):
        tally.add(Finding(number, target.name, outcome, data))
        outcome = "not clean"
    tally.outcomes.setdefault(target.name, Counter())[outcome] += 1
    tally.slowest_s[target.name] = max(took, tally.slowest_s.get(target.name, 0.0))


def _outcome(target: Target, honest: frozenset[bytes], data: bytes) -> str:
    try:
        read = target.decode(data)
    except PacelineError as error:
        return type(error).__name__
    except Exception as error:  # exactly what this campaign looks for
        return f"not clean: {type(error).__name__}: {error}"
    if target.sealed and read not in honest:
        return "not clean: a forgery was read"
    return "value"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
