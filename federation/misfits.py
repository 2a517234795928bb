"""What is wrong with a file of settings, in words for whoever wrote it."""

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError


def misfits(error: ValidationError, known: Iterable[str]) -> list[str]:
    """One line per problem, its place first; a key that does not exist comes with the known one that is most like it.

    >>> from pydantic import BaseModel, ConfigDict
    >>> class Settings(BaseModel):
    ...     model_config = ConfigDict(extra="forbid")
    ...     threads: int
    >>> try:
    ...     Settings.model_validate({"threads": "many", "treads": 1})
    ... except ValidationError as error:
    ...     misfits(error, Settings.model_fields)[1]
    "treads: there is no such setting; did you mean 'threads'?"
    """
    names = list(known)
    return [
        f"{'.'.join(map(str, item['loc'])) or 'all'}: "
        + (_unknown(str(item["loc"][-1]), names) if item["type"] == "extra_forbidden" else item["msg"])
        for item in error.errors(include_url=False)
    ]


def _unknown(name: str, known: list[str]) -> str:
    like = get_close_matches(name, known, n=1)
    hint = f"did you mean {like[0]!r}?" if like else f"there are {', '.join(sorted(known))}."
    return f"there is no such setting; {hint}"
