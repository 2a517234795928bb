"""A stack of words on which asymmetric numeral systems (Duda 2013) push symbols, and from which they are popped.

Plain bits lie at the bottom, where they take no more room than they are; a one above them says how many there are.
"""

import constriction
import numpy as np
import numpy.typing as npt

from federation.codecs.checks import Data
from federation.errors import WireError

Bits = npt.NDArray[np.bool_]


def on_bits(bits: Bits) -> "constriction.stream.stack.AnsCoder":
    """A stack that holds plain bits."""
    data = np.packbits(np.append(bits, True), bitorder="little").tobytes()
    return constriction.stream.stack.AnsCoder(_words(data))


def taken(coder: "constriction.stream.stack.AnsCoder") -> bytes:
    """All that is on the stack; the last byte is never zero."""
    words: npt.NDArray[np.uint32] = coder.get_compressed()
    return words.astype("<u4", copy=False).tobytes().rstrip(b"\0")


def opened(data: Data) -> "constriction.stream.stack.AnsCoder":
    """The stack that was taken; `WireError` if its last byte is zero."""
    if data[-1:] == b"\0":
        raise WireError("the coded vector ends in an empty byte, which no sender writes; leave its message out.")
    return constriction.stream.stack.AnsCoder(_words(data))


def bits_of(coder: "constriction.stream.stack.AnsCoder", count: int) -> Bits:
    """The bits at the bottom; `WireError` unless exactly `count` are left."""
    left: npt.NDArray[np.uint32] = coder.get_compressed()
    bits = np.unpackbits(left.astype("<u4", copy=False).view(np.uint8), bitorder="little").astype(np.bool_)
    if not bits[count : count + 1].all() or bits[count + 1 :].any() or len(bits) <= count:
        raise WireError("the coded vector is damaged: it does not end where its levels end; leave the message out.")
    return bits[:count]


def _words(data: Data) -> npt.NDArray[np.uint32]:
    return np.frombuffer(b"".join((data, bytes(-len(data) % 4))), "<u4").astype(np.uint32)
