"""Changes to a scenario from the command line: ``--set privacy.epsilon=4``, ``--seeds 1,2,5-9``."""

import tomllib
from collections.abc import Sequence
from typing import Any

from federation.errors import UsageError
from simulations.scenario import Scenario, read_words
from simulations.words import flat, merged

MOST_SEEDS = 1000
NOBODY_PROTECTED = {"unit": "none"}
"""Where this is asked for, what else the file says about privacy is left out, sweeps over it included."""


def overridden(scenario: Scenario, assignments: Sequence[str], seeds: str = "") -> Scenario:
    """`scenario` with each ``key=value`` in it; a key that was swept over has this one value from now on."""
    words = scenario.model_dump(mode="json", exclude_unset=True)
    for assignment in assignments:
        change = parsed(assignment)
        for key in flat(change):
            words.get("sweep", {}).pop(key, None)
        words = merged(words, change)
        if change.get("privacy") == NOBODY_PROTECTED:
            swept = {key: values for key, values in words.get("sweep", {}).items() if key.split(".")[0] != "privacy"}
            words |= {"privacy": NOBODY_PROTECTED, "sweep": swept}
    if seeds:
        words["seeds"] = seed_list(seeds)
    return read_words(words)


def parsed(assignment: str) -> dict[str, Any]:
    """One line of TOML as nested tables; a bare word is text.

    >>> parsed("privacy.epsilon=4"), parsed("data.source=watch")
    ({'privacy': {'epsilon': 4}}, {'data': {'source': 'watch'}})
    """
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {assignment}: expected key=value, such as --set privacy.epsilon=4")
    for text in (assignment, f"{key} = {_quoted(value.strip())}"):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            problem = error
    raise UsageError(f"--set {assignment}: {problem}. Expected key=value as in TOML.") from problem


def seed_list(text: str) -> list[int]:
    """Seeds as people write them.

    >>> seed_list("1,2,5-7")
    [1, 2, 5, 6, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and 0 <= int(last) - int(first) <= MOST_SEEDS):
            raise UsageError(f"--seeds {text}: expected numbers such as 1,2,3 or 1-5, found {part.strip()!r}.")
        seeds += range(int(first), int(last) + 1)
    return seeds


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
