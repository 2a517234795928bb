"""Privacy terms as people write them: of ε and σ one may be left out."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from federation.manifest import Manifest
from federation.misfits import alike, misfits
from federation.terms import NoisedScores, Part, PersonTerms, PublishedScores, TrainingTerms, Unprotected


class PersonDraft(Part):
    """`PersonTerms` as a person writes them: `noise_multiplier` or `epsilon` is computed from the other.

    `levels` left out of shared noise are chosen by the number of trained parameters, `colluding` is then 1.
    """

    unit: Annotated[str, Field(pattern="^(person|record)$")] = "person"
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1000)] | None = None
    clip: Annotated[float, Field(gt=0, le=1e6)]
    rows_per_person: Annotated[int, Field(ge=1, le=100_000)]
    max_attempts: Annotated[int, Field(ge=1, le=100_000)] | None = None
    delta: Annotated[float, Field(gt=0, lt=0.1)]
    epsilon: Annotated[float, Field(gt=0, le=100)] | None = None
    noise: Annotated[str, Field(pattern="^(node|shared)$")] = "node"
    levels: Annotated[int, Field(ge=0, le=2**20)] = 0
    colluding: Annotated[int, Field(ge=0, le=100)] = 0


class NoisedDraft(Part):
    """`NoisedScores` as a person writes them."""

    disclosure: Annotated[str, Field(pattern="^noised$")]
    every_rounds: Annotated[int, Field(ge=1)] = 1
    noise_multiplier: Annotated[float, Field(ge=0.1, le=1000)] | None = None
    max_evaluations: Annotated[int, Field(ge=1, le=100_000)] | None = None
    delta: Annotated[float, Field(gt=0, lt=0.1)]
    epsilon: Annotated[float, Field(gt=0, le=100)] | None = None


UNITS = ("none", "person", "record")
"""What privacy may protect."""

_PLACES: tuple[tuple[type[BaseModel], str], ...] = (
    (PersonDraft, "privacy"),
    (PersonTerms, "privacy"),
    (Unprotected, "privacy"),
    (NoisedDraft, "evaluation"),
    (NoisedScores, "evaluation"),
    (PublishedScores, "evaluation"),
    (TrainingTerms, "training"),
)
"""The parts of a task file that are read one by one, with the table that each stands in."""


def problems(error: ValidationError) -> str:
    """What is wrong with a task file that one of the models of a contract refused, one line per problem."""
    model, place = next(((part, (name,)) for part, name in _PLACES if part.__name__ == error.title), (Manifest, ()))
    return listed(misfits(error, model, place))


def listed(lines: Sequence[str], what: str = "task") -> str:
    """`lines` under a heading.

    >>> listed(["rounds: must be above 0"])
    'this is not a valid task:\\n  rounds: must be above 0'
    """
    return "\n  ".join([f"this is not a valid {what}:", *lines])


def privacy_problems(words: object) -> list[str]:
    """What is wrong with a ``[privacy]`` table, each key by itself; that the numbers agree is checked by a contract."""
    if not isinstance(words, dict) or "unit" not in words:
        return ['privacy: needs unit = "none", "person" or "record"; privacy is never left out']
    if words["unit"] not in UNITS:
        known = ", ".join(map(repr, UNITS))
        return [f"privacy.unit: {words['unit']!r} is none of {known}{alike(str(words['unit']), UNITS)}"]
    model: type[BaseModel] = Unprotected if words["unit"] == "none" else PersonDraft
    try:
        model.model_validate(words)
    except ValidationError as error:
        return misfits(error, model, ("privacy",))
    return []
