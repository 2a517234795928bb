"""What is wrong with a file that somebody wrote, in words for whoever wrote it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from federation.terms import PRINTABLE, SLUG

MAX_LINES, MAX_CHARS = 20, 60
CHOICES = {"literal_error": "expected", "enum": "expected", "union_tag_invalid": "expected_tags"}
"""Where pydantic names the values that a key may have, by kind of problem."""

LIMITS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "finite_number": "a finite number",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
"""What was expected, by pydantic's kind of problem; the names in braces are those of its context."""

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": 'text in "quotes"',
    "tuple": "a list in [brackets]",
    "list": "a list in [brackets]",
    "dict": "a table",
    "model": "a table",
    "path": 'a path in "quotes"',
    "datetime": "a date with a time and a zone",
}
"""What was expected, by what pydantic's kind of problem begins with: int_type, int_parsing, int_from_float …"""

PATTERNS = {SLUG: "small letters, digits and -, at most 40", PRINTABLE: "one line of letters that can be printed"}
CHOICE = re.compile(r"\^\(([\w|-]+)\)\$")
"""A pattern that is a list of words."""


def misfits(error: ValidationError, model: type[BaseModel], place: Sequence[str | int] = ()) -> list[str]:
    """One line per problem, its place first. A key that does not exist, or a value that is none of a key's few, comes
    with the known one that is most like it. `place`: where in the file the values stood that `model` refused.

    >>> from pydantic import ConfigDict
    >>> class Settings(BaseModel):
    ...     model_config = ConfigDict(extra="forbid")
    ...     threads: int
    >>> try:
    ...     Settings.model_validate({"threads": "many", "treads": 1})
    ... except ValidationError as error:
    ...     misfits(error, Settings)[1]
    "treads: there is no such setting; did you mean 'threads'?"
    """
    items = [item for item in error.errors(include_url=False) if not _only_its_items(item)]
    lines = [_line([*place, *item["loc"]], _words(item, model)) for item in items[:MAX_LINES]]
    return lines + ([f"and {len(items) - MAX_LINES} more"] if len(items) > MAX_LINES else [])


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is none of `known`: the one most like it, or all of them.

    >>> nearest("lifers", ["runners", "lifters"])
    "did you mean 'lifters'?"
    """
    names = sorted(known)
    like = get_close_matches(name, names, n=1)
    return f"did you mean {like[0]!r}?" if like else f"there are {', '.join(names)}."


def alike(given: str, choices: Iterable[str]) -> str:
    """What to add to a message that lists `choices` already.

    >>> alike("runing_pace", ["running_pace"]), alike("x", ["running_pace"])
    ("; did you mean 'running_pace'?", '')
    """
    like = get_close_matches(given, list(choices), n=1)
    return f"; did you mean {like[0]!r}?" if like else ""


def _line(place: Sequence[str | int], words: str) -> str:
    """What is wrong with the parts together has no place; a table's own check names the keys in it itself."""
    path = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in place)
    return words if not path or words.startswith(f"{path}.") else f"{path}: {words}"


def _only_its_items(item: Mapping[str, Any]) -> bool:
    """A list whose wrong items pydantic left out before it counted: they have lines of their own."""
    return item["type"] == "too_short" and bool(len(item["input"]) >= item["ctx"]["min_length"])


def _words(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, context = str(item["type"]), item.get("ctx", {})
    if kind == "extra_forbidden":
        return f"there is no such setting; {nearest(str(item['loc'][-1]), known_at(model, item['loc'][:-1]))}"
    if kind == "missing":
        return "is missing and has no default"
    choices = _choices(kind, context)
    if choices:
        given = context.get("tag", item["input"])
        return f"{_shown(given)} is none of {', '.join(map(repr, choices))}" + alike(str(given), choices)
    wanted = _wanted(kind, context)
    return f"expected {wanted}; found {_shown(item['input'])}" if wanted else _sentence(item)


def _choices(kind: str, context: Mapping[str, Any]) -> list[str]:
    """The few values that a key may have; none where they are not listed."""
    if kind in CHOICES:
        return [word.strip("' ") for word in context[CHOICES[kind]].replace(" or ", ", ").split(", ")]
    listed = CHOICE.fullmatch(context["pattern"]) if kind == "string_pattern_mismatch" else None
    return listed[1].split("|") if listed else []


def _wanted(kind: str, context: Mapping[str, Any]) -> str:
    """What a value should have been; nothing where pydantic's own message says it best."""
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
    if kind in LIMITS:
        return LIMITS[kind].format(**{name: _plain(value) for name, value in context.items()})
    return KINDS.get(kind.partition("_")[0], "")


def _plain(value: object) -> str:
    """A limit as people write it: 1 and 100,000, not 1.0 and 1e+05."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _shown(value: object) -> str:
    """A value of the file in as many letters as tell which; of a table or list only that it is one."""
    if isinstance(value, Mapping | list | tuple):
        return f"{'a table' if isinstance(value, Mapping) else 'a list'} of {len(value)}"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}…"


def _sentence(item: Mapping[str, Any]) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def known_at(model: type[BaseModel], place: Sequence[str | int]) -> set[str]:
    """The keys that may stand in the table at `place` of a file that `model` reads."""
    found = {model}
    for part in place:
        inner = {one for outer in found if part in outer.model_fields for one in _models(_annotation(outer, part))}
        found = inner or found  # a number in a list and the tag of a union are no tables of their own
    return {_alias(name, one) for one in found for name in one.model_fields}


def _alias(name: str, model: type[BaseModel]) -> str:
    return model.model_fields[name].alias or name


def _annotation(model: type[BaseModel], part: str | int) -> object:
    return model.model_fields[str(part)].annotation


def _models(annotation: object) -> set[type[BaseModel]]:
    """The models inside an annotation such as ``tuple[Member, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in get_args(annotation) for model in _models(part)}
