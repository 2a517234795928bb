"""Nested tables, as TOML has them, with dotted keys."""

from collections.abc import Mapping
from typing import Any


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as one, values as text.

    >>> flat({"data": {"source": "watch"}, "rounds": 3})
    {'data.source': 'watch', 'rounds': '3'}
    """
    found: dict[str, str] = {}
    for name, value in tables.items():
        own = flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": str(value)}
        found |= own
    return found


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of `new` go into those of `old`; anything else replaces what was there.

    >>> merged({"data": {"people": 5, "gain": 0.1}}, {"data": {"people": 7}})
    {'data': {'people': 7, 'gain': 0.1}}
    """
    return {**old} | {
        key: merged(old[key], value) if isinstance(value, dict) and isinstance(old.get(key), dict) else value
        for key, value in new.items()
    }
