"""Canonical JSON (RFC 8785): one spelling of each value, for what is hashed and signed."""

import json
from typing import Any

import rfc8785

MOST = 2**53 - 1
"""The largest whole number that canonical JSON holds exactly."""


def dumps(value: Any) -> bytes:
    """RFC 8785 bytes of plain JSON values; `rfc8785.CanonicalizationError` or `UnicodeError` for what has none.

    The standard library writes the same bytes as the reference in a tenth of the time, except for floats, whose
    notation RFC 8785 decides, and for the order of keys beyond ASCII; a test compares both.
    """
    if _is_simple(value):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return rfc8785.dumps(value)


def _is_simple(value: Any) -> bool:
    """Whether both write it the same way."""
    if value is None or isinstance(value, (str, bool)):
        return True
    if isinstance(value, int):
        return -MOST <= value <= MOST
    if isinstance(value, dict):
        return all(isinstance(key, str) and key.isascii() and _is_simple(item) for key, item in value.items())
    return isinstance(value, (list, tuple)) and all(map(_is_simple, value))
