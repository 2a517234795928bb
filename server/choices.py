"""How models and updates travel where a task file leaves it open, each choice with its reason.

Every code that is chosen for updates is unbiased: its errors average over parties and rounds, so that few bits suffice
where many answer (docs/benchmarks/exchange.md). Lanes get the fewest whole bits that hold a sum.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from federation import quorum
from federation.codecs import lane
from federation.errors import TermsError, WireError
from federation.manifest import NOISE_REACH
from federation.terms import PersonTerms, TrainingTerms, Unprotected
from privacy.levels import sum_deviation

FEW_PARTIES, MANY_PARTIES = 5, 16
TINY_UPDATE, LARGE_MODEL = 2_000, 20_000
"""Values: below the one headers weigh more than a code saves, from the other on a difference pays."""
FAITHFUL_BITS, DOWN_BITS = 2.0, 0.5
ROUNDING = 0.01
"""What rounding to lanes may add to a sum of updates as long as the clip, of its squared length."""


@dataclass(frozen=True)
class Choice:
    """A key of ``[exchange]`` that the file leaves out, what was chosen, and why."""

    key: str
    value: str | float | bool
    why: str


@dataclass(frozen=True)
class Setting:
    """What a choice depends on: public constants of the contract.

    `parties` contribute; `largest` and `weight` are how many people one of them and all together stand for at most,
    synthetic ones included. `update` and `model` are numbers of values.
    """

    parties: int
    largest: float
    weight: float
    update: int
    model: int
    privacy: PersonTerms | Unprotected
    training: TrainingTerms

    @property
    def shared_noise(self) -> PersonTerms | None:
        """The privacy terms, where parties share their noise."""
        return self.privacy if isinstance(self.privacy, PersonTerms) and self.privacy.noise == "shared" else None


def choices(written: Mapping[str, Any], setting: Setting) -> tuple[Choice, ...]:
    """What ``[exchange]`` lacks; what is written there is never changed. `TermsError` where nobody else can choose."""
    return (*_up(written, setting), *_down(written, setting))


def _up(written: Mapping[str, Any], setting: Setting) -> Iterator[Choice]:
    secure = written.get("secure", bool(setting.shared_noise) or written.get("up") == "lane")
    if secure and "secure" not in written:
        why = "shared noise protects a sum only" if setting.shared_noise else "lanes are summed under masks"
        yield Choice("secure", True, why)
    if secure is True:
        yield from _masked(written, setting)
    elif "up" not in written:
        yield from _open(written, setting)
    elif written["up"] == "urq" and "up_bits" not in written:
        yield Choice("up_bits", *_bits(setting))


def _masked(written: Mapping[str, Any], setting: Setting) -> Iterator[Choice]:
    if "up" not in written:
        yield Choice("up", "lane", "sums under masks travel in lanes")
    if not setting.shared_noise and "clip" not in written:
        raise TermsError(_propose_clip(setting))
    if "up_bits" not in written and written.get("up", "lane") == "lane":
        yield Choice("up_bits", *_lane_bits(written, setting))


def _open(written: Mapping[str, Any], setting: Setting) -> Iterator[Choice]:
    if "up_bits" in written:
        yield Choice("up", "urq", "up_bits names a budget, which urq keeps")
    elif plain := _plain(setting):
        yield Choice("up", "raw32", plain)
    else:
        yield Choice("up", "urq", "unbiased, so that its errors average over parties and rounds")
        yield Choice("up_bits", *_bits(setting))


def _plain(setting: Setting) -> str:
    """Why updates travel as they are; empty where they need not."""
    if setting.training.scaffold:
        return "control variates add up over the rounds, and so would the errors of a code"
    if len(setting.training.phases) > 1:
        return "several phases take turns, for which fewer bits were not measured"
    if setting.update < TINY_UPDATE:
        return f"{setting.update:,} values an update: headers weigh more than a code would save"
    return ""


def _bits(setting: Setting) -> tuple[float, str]:
    """The budget of urq, by who adds noise and who averages the errors."""
    if setting.training.sees_updates:
        return FAITHFUL_BITS, "the coordinator looks at each update by itself: 2 bits keep it much as it was"
    if isinstance(setting.privacy, PersonTerms):
        return FAITHFUL_BITS, "each node adds noise, which is coded too: 2 bits add no more than a tenth to it"
    if setting.parties <= FEW_PARTIES:
        return 0.5, f"{setting.parties} parties contribute, over which errors average little"
    if setting.parties >= MANY_PARTIES:
        return 0.1, f"{setting.parties} parties contribute, over which errors average well"
    return 0.25, f"{setting.parties} parties contribute, over which errors average"


def _lane_bits(written: Mapping[str, Any], setting: Setting) -> tuple[float, str]:
    """The fewest whole bits that do: for noise and people's updates, or for rounding that hardly counts."""
    terms = setting.shared_noise
    if terms:
        needed = 2 * NOISE_REACH * _deviation(terms, written.get("min_parties", 1), setting)
        bits = max(lane.SMALLEST_BITS, math.floor(math.log2(needed)) + 1)
        why = f"the fewest that hold the noise and the updates of {setting.parties} parties at {terms.levels} levels"
    else:
        found = (bits for bits in range(lane.SMALLEST_BITS, lane.LARGEST_BITS + 1) if _rounds_finely(setting, bits))
        bits = next(found, lane.LARGEST_BITS + 1)
        why = f"the fewest in which rounding adds at most {ROUNDING:.0%} to a sum of {setting.parties} parties"
    if bits > lane.LARGEST_BITS:
        raise TermsError(
            f"found a sum of {setting.parties} parties that needs lanes of {bits} bits; expected at most "
            f"{lane.LARGEST_BITS}. " + ("Write fewer levels under [privacy]." if terms else "Invite fewer parties.")
        )
    return float(bits), why


def _deviation(terms: PersonTerms, min_parties: object, setting: Setting) -> float:
    """Of one coordinate of a sum: its noise, and the updates of people who all point the same way, once turned."""
    least = min_parties if isinstance(min_parties, int) else 1
    honest = max(1, quorum.smallest_sum(setting.parties, least) - terms.colluding)
    noise = terms.noise_multiplier * terms.levels * math.sqrt(setting.parties / honest)
    return sum_deviation(noise, max(1.0, setting.weight), terms.levels, lane.coordinates(setting.update))


def _rounds_finely(setting: Setting, bits: int) -> bool:
    try:
        step = lane.step(setting.update, 1.0, setting.parties, bits)
    except WireError:
        return False
    return lane.coordinates(setting.update) * step**2 / 4 <= ROUNDING


def _propose_clip(setting: Setting) -> str:
    """What to write for the length of a party's whole update: known where people are clipped and noise is added."""
    said = "secure = true without clip under [exchange]: no bound on the L2 norm of one party's whole update. "
    if not isinstance(setting.privacy, PersonTerms):
        return said + (
            "Write the norm that a party's update usually has; a longer one is cut to it, and lanes are the coarser "
            "the larger it is. clip = 10 is a beginning where nothing is known"
        )
    terms = setting.privacy
    length = terms.clip * (setting.largest + 1.1 * terms.noise_multiplier * math.sqrt(setting.update))
    digits = 10.0 ** (math.floor(math.log10(length)) - 1)
    return said + (
        f"Write clip = {math.ceil(length / digits) * digits:g}, which holds the updates of {setting.largest:g} people "
        "and a node's noise. Or let the parties share the noise, which needs no clip"
    )


def _down(written: Mapping[str, Any], setting: Setting) -> Iterator[Choice]:
    if "down" not in written:
        codec, why = _down_codec("down_bits" in written, setting)
        yield Choice("down", codec, why)
    else:
        codec = written["down"]
    if codec == "ecq" and "down_bits" not in written:
        yield Choice("down_bits", DOWN_BITS, "what a difference loses, the next one brings")


def _down_codec(budget: bool, setting: Setting) -> tuple[str, str]:
    if budget:
        return "ecq", "down_bits names a budget, which ecq keeps"
    if setting.training.scaffold:
        return "raw32", "a control variate travels behind the model"
    if setting.model < LARGE_MODEL:
        return "raw32", f"{setting.model:,} values are a small model"
    return "ecq", f"{setting.model:,} values: nodes are sent what has changed, and keep the rest"
