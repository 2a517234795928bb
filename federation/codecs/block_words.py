"""The words of blocks of whole numbers: a class for each block, odds for each class, magnitudes, signs.

All of it is pushed on one stack of asymmetric numeral systems (Duda 2013) and read back in the opposite order.
"""

from dataclasses import dataclass
from functools import cache

import constriction
import numpy as np
import numpy.typing as npt

from federation.codecs import grouping, scale_classes, stack
from federation.codecs.checks import Data, Vector
from federation.codecs.scale_classes import CLASSES, REACHES, SHARES, Classes
from federation.errors import WireError

BLOCK = 256
LARGEST_LEVEL = 2**16 - 1
RATIOS = 64
PREVIOUS = 128
"""Added to the first class where each class is told by its difference to the one before, not to the first one."""

_BYTES = constriction.stream.model.Uniform(256)
_ESCAPES = constriction.stream.model.Uniform(LARGEST_LEVEL + 1)


@dataclass(frozen=True)
class Odds:
    """Of each class, (CLASSES,): the share of what is not zero, and how far it reaches (`scale_classes`)."""

    share: Classes
    reach: Classes


@dataclass(frozen=True)
class Sorted:
    """Blocks in the order of their classes; those of class 0, all zeros, are left out.

    `order`: the place of each of them in the vector; `levels`: their magnitudes, float32 whole numbers (blocks, 256).
    `negative`: the signs of those that are not zero.
    """

    classes: Classes
    order: npt.NDArray[np.intp]
    levels: npt.NDArray[np.float32]
    negative: npt.NDArray[np.bool_]


def order_of(classes: Classes) -> npt.NDArray[np.intp]:
    """The places of blocks that hold more than zeros, in the order of their classes."""
    return np.argsort(classes, kind="stable")[np.count_nonzero(classes == 0) :]


def encode(blocks: Sorted, odds: Odds) -> tuple[int, int, bytes]:
    """The first class, the ratio of their differences, and all the rest."""
    coder = stack.on_bits(blocks.negative)
    present = _present(blocks.classes)
    ends = np.cumsum([count for _, count in present])
    for (kind, count), end in zip(reversed(present), ends[::-1], strict=True):
        _push(coder, blocks.levels[end - count : end].reshape(-1), int(odds.share[kind]), int(odds.reach[kind]))
    for kind, _ in reversed(present):
        coder.encode_reverse(np.array([odds.share[kind], odds.reach[kind]], np.int32), _BYTES)
    first, ratio, differences = _told(blocks.classes)
    coder.encode_reverse(differences + (CLASSES - 1), _differences(ratio))
    return first, ratio, stack.taken(coder)


def decode(first: int, ratio: int, data: Data, count: int) -> Sorted:
    """What `encode` was given for `count` blocks; `WireError` unless it takes exactly these bytes."""
    if not (first % PREVIOUS < CLASSES and ratio < RATIOS):
        raise _damaged("there is a class or a ratio that no sender writes")
    coder = stack.opened(data)
    classes = _read_classes(coder, first, ratio, count)
    present, order = _present(classes), order_of(classes)
    read = [coder.decode(_BYTES, 2) for _ in present]
    if any(share >= SHARES or reach >= REACHES for share, reach in read):
        raise _damaged("there are odds that no sender writes")
    levels = np.empty((len(order), BLOCK), np.float32)
    start = 0
    for (_, blocks), (share, reach) in zip(present, read, strict=True):
        levels[start : start + blocks] = _pop(coder, blocks, int(share), int(reach))
        start += blocks
    return Sorted(classes, order, levels, stack.bits_of(coder, int(np.count_nonzero(levels))))


def class_bits(classes: Classes) -> float:
    """About how many bits classes and odds take."""
    counts = np.bincount(classes, minlength=CLASSES)
    some = counts[counts > 0]
    return float(-(some * np.log2(some / some.sum())).sum()) + 16 * np.count_nonzero(counts[1:])


def _damaged(what: str) -> WireError:
    return WireError(f"the coded blocks are damaged: {what}; leave the message out.")


def _present(classes: Classes) -> list[tuple[int, int]]:
    """Each class but 0 that blocks have, and how many."""
    counts = np.bincount(classes, minlength=CLASSES)
    return [(kind, int(counts[kind])) for kind in range(1, CLASSES) if counts[kind]]


def _push(coder: "constriction.stream.stack.AnsCoder", levels: Vector, share: int, reach: int) -> None:
    """The magnitudes of a class; the top one stands for itself and all beyond, of which escapes tell the rest."""
    top = len(scale_classes.weights(share, reach)) - 1
    beyond = levels[levels >= top]
    if len(beyond):
        coder.encode_reverse((beyond - np.float32(top)).astype(np.int32), _ESCAPES)
        levels = np.minimum(levels, np.float32(top))
    coder.encode_reverse(grouping.joined(levels, top), scale_classes.symbols(share, reach))


def _pop(coder: "constriction.stream.stack.AnsCoder", blocks: int, share: int, reach: int) -> npt.NDArray[np.float32]:
    top = len(scale_classes.weights(share, reach)) - 1
    symbols = coder.decode(scale_classes.symbols(share, reach), -(-blocks * BLOCK // grouping.group_of(top)))
    levels, rest = np.split(grouping.parted(symbols, top), [blocks * BLOCK])
    if rest.any():
        raise _damaged("what fills the last group is not zero")
    full = np.flatnonzero(levels == top)
    if len(full):
        levels[full] += coder.decode(_ESCAPES, len(full)).astype(np.float32)
    return levels.reshape(blocks, BLOCK)


def _told(classes: Classes) -> tuple[int, int, Classes]:
    """The first class or the commonest one, the ratio that suits the differences best, and the differences."""
    common = int(np.bincount(classes).argmax())
    choices = [(common, classes - common), (PREVIOUS + int(classes[0]), np.diff(classes, prepend=classes[:1]))]
    costs = [_difference_bits() @ np.bincount(np.abs(found), minlength=CLASSES) for _, found in choices]
    best = 0 if costs[0].min() <= costs[1].min() else 1
    first, differences = choices[best]
    return first, int(costs[best].argmin()), differences.astype(np.int32)


def _read_classes(coder: "constriction.stream.stack.AnsCoder", first: int, ratio: int, count: int) -> Classes:
    differences = coder.decode(_differences(ratio), count).astype(np.int32) - (CLASSES - 1)
    classes = first % PREVIOUS + (np.cumsum(differences, dtype=np.int64) if first >= PREVIOUS else differences)
    if count and not (classes.min() >= 0 and classes.max() < CLASSES):
        raise _damaged("a class is outside of the known ones")
    return classes.astype(np.int32)


@cache
def _difference_bits() -> npt.NDArray[np.float64]:
    """What each difference costs under each ratio: (RATIOS, CLASSES)."""
    return np.stack([-np.log2(_difference_odds(ratio)[CLASSES - 1 :]) for ratio in range(RATIOS)])


@cache
def _differences(ratio: int) -> "constriction.stream.model.Categorical":
    return constriction.stream.model.Categorical(_difference_odds(ratio), perfect=False)


def _difference_odds(ratio: int) -> grouping.Weights:
    """Two-sided geometric odds of -(CLASSES - 1) … CLASSES - 1: each further is 2^-(ratio + 1)/4 as likely."""
    odds = 2 ** (-(ratio + 1) / 4 * np.abs(np.arange(1.0 - CLASSES, CLASSES)))
    return grouping.whole_weights(odds / odds.sum())
