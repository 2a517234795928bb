"""Changes to the policy in node.toml by command, with the owner's comments kept."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tomli_w

from clients.settings import NodeFolder, NodeSettings, load, parse
from federation.consent import Purpose
from federation.errors import UsageError
from federation.ids import Fingerprint, PartyId
from federation.terms import HEX64, SLUG

Value = str | bool | float | list[str] | dict[str, str]


@dataclass(frozen=True)
class Allowance:
    """What to permit in addition: names are added to the lists, numbers and fingerprints replace the old ones."""

    purposes: tuple[Purpose, ...] = ()
    workloads: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()
    numbers: Mapping[str, float] | None = None
    published_scores: bool | None = None
    share_noise_with: Mapping[PartyId, Fingerprint] = field(default_factory=dict)


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


def fingerprints_named(words: Sequence[str]) -> dict[PartyId, Fingerprint]:
    """Fingerprints by party from ``PARTY=FINGERPRINT``; blanks, colons and capitals do not matter."""
    found = {}
    for word in words:
        party, _, told = word.partition("=")
        digits = re.sub(r"[\s:]", "", told).lower()
        if not re.match(SLUG, party.strip()) or not re.match(HEX64, digits):
            raise UsageError(
                f"{word!r} names no party with its fingerprint; expected PARTY=FINGERPRINT, such as coaches=3f9a… with "
                "all 64 digits as the party reads them to you (`paceline node check` shows them their own)."
            )
        found[PartyId(party.strip())] = Fingerprint(digits)
    return found


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
    if allowance.share_noise_with:
        listed = {**policy.share_noise_with, **allowance.share_noise_with}
        changes["share_noise_with"] = {str(party): str(told) for party, told in listed.items()}
    return changes


def _replaced(text: str, key: str, value: Value, path: Path) -> str:
    """`text` with ``key = value`` in its [policy] table; a comment behind the old value stays."""
    before = tomllib.loads(text)
    line = _line(key, value)
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


def _line(key: str, value: Value) -> str:
    """``key = value`` in TOML on one line."""
    if isinstance(value, dict):
        return f"{key} = {{ {', '.join(_line(name, inner) for name, inner in value.items())} }}"
    line = tomli_w.dumps({key: value}, multiline_strings=False).replace("\n", " ").strip()
    return re.sub(r"\[\s+", "[", re.sub(r",\s*\]", "]", re.sub(r"\s+", " ", line)))
