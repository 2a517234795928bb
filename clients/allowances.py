"""Changes to the policy in node.toml by command, with the owner's comments kept."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from clients.settings import NodeFolder, NodeSettings, load, parse
from federation.consent import Purpose
from federation.errors import UsageError

Value = str | bool | float | list[str]


@dataclass(frozen=True)
class Allowance:
    """What to permit in addition: names are added to the lists, numbers replace the old ones."""

    purposes: tuple[Purpose, ...] = ()
    workloads: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()
    numbers: Mapping[str, float] | None = None
    published_scores: bool | None = None


def allow(folder: NodeFolder, allowance: Allowance) -> NodeSettings:
    """Write the allowance to node.toml; the new settings. Nothing is written unless the result is valid."""
    text = folder.settings.read_text(encoding="utf-8")
    changes = _changes(load(folder), allowance)
    for key, value in changes.items():
        text = _replaced(text, key, value, folder.settings)
    settings = parse(text, str(folder.settings))
    temporary = folder.settings.with_suffix(".toml.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder.settings)
    return settings


def _changes(settings: NodeSettings, allowance: Allowance) -> dict[str, Value]:
    policy = settings.policy
    lists = {
        "purposes": (policy.purposes, allowance.purposes),
        "workloads": (policy.workloads, allowance.workloads),
        "allow_unprotected": (policy.allow_unprotected, allowance.unprotected),
    }
    changes: dict[str, Value] = {
        key: list(dict.fromkeys([*map(str, old), *map(str, new)])) for key, (old, new) in lists.items() if new
    }
    changes |= dict(allowance.numbers or {})
    if allowance.published_scores is not None:
        changes["allow_published_scores"] = allowance.published_scores
    return changes


def _replaced(text: str, key: str, value: Value, path: Path) -> str:
    """`text` with ``key = value`` in its [policy] table; a comment behind the old value stays."""
    before = tomllib.loads(text)
    line = tomli_w.dumps({key: value}, multiline_strings=False).replace("\n", " ").strip()
    line = re.sub(r"\[\s+", "[", re.sub(r",\s*\]", "]", re.sub(r"\s+", " ", line)))
    pattern = re.compile(rf"^{key}[ \t]*=[ \t]*(?:\[[^\]\n]*\]|[^#\n]*?)(?P<comment>[ \t]*#.*)?$", re.MULTILINE)
    after = pattern.sub(lambda match: line + (match["comment"] or ""), text, count=1)
    if key not in before.get("policy", {}):
        after = re.sub(r"^\[policy\][^\n]*$", lambda match: f"{match[0]}\n{line}", text, count=1, flags=re.MULTILINE)
    before.setdefault("policy", {})[key] = value
    try:
        written = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        written = {}
    if written != before:  # a list over several lines, a dotted key: the owner's own hand
        raise UsageError(f"{path} is written in a way that this command cannot edit; write `{line}` under [policy].")
    return after
