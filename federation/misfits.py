"""What is wrong with a file that somebody wrote, in words for whoever wrote it."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

MAX_LINES = 20
CHOICES = {"literal_error": "expected", "enum": "expected", "union_tag_invalid": "expected_tags"}
"""Where pydantic names the values that a key may have, by kind of problem."""


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
    items = error.errors(include_url=False)
    lines = [f"{_path([*place, *item['loc']]) or 'all'}: {_words(item, model)}" for item in items[:MAX_LINES]]
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


def _path(parts: Iterable[str | int]) -> str:
    return ".".join(map(str, parts))


def _words(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        return f"there is no such setting; {nearest(str(item['loc'][-1]), known_at(model, item['loc'][:-1]))}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] not in CHOICES:
        return message
    choices = [word.strip("' ") for word in item["ctx"][CHOICES[item["type"]]].replace(" or ", ", ").split(", ")]
    given = item["ctx"].get("tag", item["input"])
    return f"{given!r} is none of {', '.join(map(repr, choices))}" + alike(str(given), choices)


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
