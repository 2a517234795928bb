"""The bytes of a task's rounds, beside what the same models and updates take in fp32.

Counted is what was really sent: every attempt, headers, keys and shares of secure rounds, the first weights, views for
those who cannot follow, and what is sent again after a crash of either side. In fp32 each party that was asked would be
sent 4 bytes per value of the model once, and each that answered would send 4 per value of its update, both without any
header.
"""

from dataclasses import dataclass
from functools import lru_cache

from federation import phases, workloads
from federation.manifest import Manifest
from server.store import Traffic

FP32_BYTES = 4


@dataclass(frozen=True)
class Compared:
    """Bytes to the coordinator (`up`) and to the parties (`down`), sent and as fp32."""

    up: int = 0
    down: int = 0
    fp32_up: int = 0
    fp32_down: int = 0

    def __add__(self, other: "Compared") -> "Compared":
        return Compared(
            self.up + other.up,
            self.down + other.down,
            self.fp32_up + other.fp32_up,
            self.fp32_down + other.fp32_down,
        )

    @property
    def ratio(self) -> float | None:
        """How many times fewer bytes than fp32 both ways together; None before anything was sent."""
        return ratio(self.up + self.down, self.fp32_up + self.fp32_down)


def compared(manifest: Manifest, round_number: int, traffic: Traffic) -> Compared:
    """The bytes of one round beside fp32; those of round 0 are the first weights, which nothing is sent for."""
    if round_number == 0:
        whole, _ = _values(manifest.workload.name, workloads.find(manifest.workload.name).phases[0].name, ())
        return Compared(traffic.up, traffic.down, FP32_BYTES * traffic.answered * whole, 0)
    order = phases.turns(workloads.find(manifest.workload.name), manifest.training.phases)
    phase = order[(round_number - 1) % len(order)].name
    model, update = _values(manifest.workload.name, phase, manifest.training.trains)
    variates = update * (manifest.training.vectors - 1)
    return Compared(
        traffic.up,
        traffic.down,
        FP32_BYTES * traffic.answered * (update + variates),
        FP32_BYTES * traffic.asked * (model + variates),
    )


def by_round(manifest: Manifest, traffic: dict[int, Traffic]) -> dict[int, Compared]:
    """The bytes of each round beside fp32."""
    return {number: compared(manifest, number, found) for number, found in traffic.items()}


def ratio(sent: float, fp32: float) -> float | None:
    """How many times fewer bytes were sent than fp32 takes."""
    return fp32 / sent if sent and fp32 else None


def in_words(times: float | None) -> str:
    """A ratio as people read it; nothing where there is none.

    >>> in_words(85.3), in_words(1.6), in_words(0.31), in_words(0.99)
    ('85 times fewer than fp32', '1.6 times fewer than fp32', '3.2 times more than fp32', 'as many as fp32')
    """
    if times is None:
        return ""
    if 0.95 <= times < 1.05:
        return "as many as fp32"
    few = times >= 1
    count = times if few else 1 / times
    return f"{count:.{0 if count >= 10 else 1}f} times {'fewer' if few else 'more'} than fp32"


@lru_cache(maxsize=64)
def _values(workload: str, phase: str, trains: tuple[str, ...]) -> tuple[int, int]:
    """Numbers of the whole model, and of an update of `phase`."""
    found = workloads.find(workload)
    whole = sum(tensor.numel() for tensor in found.initial(0).values())
    return whole, phases.size(found, found.phase(phase), trains)
