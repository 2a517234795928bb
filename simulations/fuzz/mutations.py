"""Ways to damage bytes and JSON, each a function of its input and a seeded source of randomness."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

SIZES = (0, 1, 2, 255, 256, 257, 65535, 65536, 2**18, 2**18 + 1, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 100_000, 10**9, 2**31, 2**32, 2**53 - 1, 2**53, 2**63, -(2**63), 10**30, 10**400),
    *(0.1, 0.5, 0.999999, 1.0000001, -0.0, 1e-9, 5e-324, 1e22, 1e308, float("inf"), float("-inf"), float("nan")),
)
TEXTS: tuple[Any, ...] = (
    *("", " ", "\0", "\ud800", "é" * 50, "a" * 5000, "../../etc/passwd", "none", "person", "record", "NaN", "1", "-"),
    *("2026-01-01", "2026-01-01T12:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59"),
    *("2026-02-30T00:00:00Z", "2026-01-01T12:00:00.123456789Z", "1e400", "253402300800", "-62135596801", "0" * 64),
)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], {"": {}})
DEEP = 300
LONG = 3000
LONGEST_BYTES = 400_000
MOST_BYTES = 2**20
"""No transport of ours lets a longer document through."""


def flip_bits(data: bytearray, draw: Random, _seeds: Sequence[bytes]) -> bytearray:
    """One to eight bits change."""
    for _ in range(draw.randint(1, 8)):
        if data:
            place = draw.randrange(len(data))
            data[place] ^= 1 << draw.randrange(8)
    return data


def replace_bytes(data: bytearray, draw: Random, _seeds: Sequence[bytes]) -> bytearray:
    """A short run becomes random bytes, zeros or 0xff."""
    if data:
        start = draw.randrange(len(data))
        count = min(draw.randint(1, 16), len(data) - start)
        data[start : start + count] = draw.choice((bytes(count), b"\xff" * count, draw.randbytes(count)))
    return data


def truncate(data: bytearray, draw: Random, _seeds: Sequence[bytes]) -> bytearray:
    """The end, or the beginning, is missing."""
    place = draw.randint(0, len(data))
    return data[:place] if draw.random() < 0.8 else data[place:]


def insert(data: bytearray, draw: Random, _seeds: Sequence[bytes]) -> bytearray:
    """Bytes that do not belong there."""
    place = draw.randint(0, len(data))
    more = draw.choice((draw.randbytes(draw.randint(1, 32)), b"\0", b"[" * DEEP, b"}", b'"', b"\xf0\x9f"))
    return data[:place] + more + data[place:]


def repeat(data: bytearray, draw: Random, _seeds: Sequence[bytes]) -> bytearray:
    """A piece stands twice."""
    start, end = sorted((draw.randint(0, len(data)), draw.randint(0, len(data))))
    return data[:end] + data[start:end] + data[end:]


def splice(data: bytearray, draw: Random, seeds: Sequence[bytes]) -> bytearray:
    """The beginning of one, the end of another."""
    other = draw.choice(seeds)
    return data[: draw.randint(0, len(data))] + other[draw.randint(0, len(other)) :]


def edit_size(data: bytearray, draw: Random, _seeds: Sequence[bytes]) -> bytearray:
    """A length field says something else: at the place where messages have theirs, or anywhere."""
    place = 4 if draw.random() < 0.7 else draw.randint(0, max(0, len(data) - 4))
    size = draw.choice((*SIZES, len(data), len(data) - 72, len(data) - 71))
    data[place : place + 4] = (size % 2**32).to_bytes(4, draw.choice(("little", "big")))
    return data


BYTE_MUTATIONS: tuple[Callable[[bytearray, Random, Sequence[bytes]], bytearray], ...] = (
    flip_bits,
    replace_bytes,
    truncate,
    insert,
    repeat,
    splice,
    edit_size,
)


def mutate_bytes(data: bytes, draw: Random, seeds: Sequence[bytes]) -> bytes:
    """One mutation of the bytes, sometimes two."""
    result = draw.choice(BYTE_MUTATIONS)(bytearray(data), draw, seeds)
    if draw.random() < 0.2:
        result = draw.choice(BYTE_MUTATIONS)(result, draw, seeds)
    return bytes(result)


def mutate_json(data: bytes, draw: Random) -> bytes:
    """The JSON with one to three places changed, mostly in canonical spelling."""
    document = json.loads(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        document = _edit(document, draw)
    if draw.random() < 0.9:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    else:
        text = json.dumps(document, indent=draw.choice((None, 1)))
    return text.encode(errors="surrogatepass")[:MOST_BYTES]


def _edit(node: Any, draw: Random) -> Any:
    """`node` with one random place in it changed."""
    if isinstance(node, dict | list) and node and draw.random() < 0.85:
        key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        if draw.random() < 0.12:
            _change_members(node, key, draw)
        else:
            node[key] = _edit(node[key], draw)
        return node
    return _tweak(node, draw) if draw.random() < 0.5 else _strange(draw)


def _change_members(node: Any, key: Any, draw: Random) -> None:
    """One member is lost, doubled or too many."""
    what = draw.randrange(3)
    if what == 0:
        del node[key]
    elif isinstance(node, dict):
        node[draw.choice(("extra", "kind", "unit", "", "__class__", str(key) + "x"))] = deepcopy(node[key])
    else:
        fitting = LONGEST_BYTES // (1 + len(json.dumps(node[key])))
        copies = min(draw.choice((1, 1, 1, 2, 2, LONG)), fitting)
        node.extend(deepcopy(node[key]) for _ in range(copies))


def _tweak(value: Any, draw: Random) -> Any:
    """A value close to the old one, of the same type."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return _strange(draw)
    if isinstance(value, int):
        return value + draw.choice((-1, 1, 2, 1000))
    if isinstance(value, float):
        return value * draw.choice((-1, 0.5, 0.99, 1.01, 2, 10, 1e6, 1e-6))
    place = draw.randint(0, len(value))
    if draw.random() < 0.4:
        return value[:place] + draw.choice("0123456789abcdef-") + value[place + 1 :]
    return value[:place] + draw.choice(("", "0", "f", "é", " ", "\n", "-", "Z")) + value[place + draw.randint(0, 1) :]


def _strange(draw: Random) -> Any:
    if draw.random() < 0.02:
        deep: Any = 0
        for _ in range(DEEP):
            deep = [deep]
        return deep
    return deepcopy(draw.choice(VALUES))  # a later edit may change it
