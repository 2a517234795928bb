"""Outcomes as JSON text: what a run left behind, to be read again without loss."""

import dataclasses
import json
import math
from typing import Any

from pydantic import TypeAdapter, ValidationError

from federation.errors import UsageError
from simulations.outcome import Outcome, RoundOutcome

_OUTCOME = TypeAdapter(Outcome)
_ROUND = TypeAdapter(RoundOutcome)


def dump(outcome: Outcome | RoundOutcome) -> str:
    """One line of JSON; floats keep every bit."""
    return json.dumps(dataclasses.asdict(outcome), default=str)


def load(text: str | bytes, origin: str) -> Outcome:
    """The inverse of `dump`; `UsageError` that names `origin` for anything else."""
    try:
        return _OUTCOME.validate_json(text)
    except ValidationError as error:
        raise UsageError(f"{origin} is no result of a simulation; remove it, and that run is made again.") from error


def load_round(text: str | bytes) -> RoundOutcome:
    """One round, as a worker reports it."""
    return _ROUND.validate_json(text)


def plain(value: Any) -> Any:
    """`value` as strict JSON, which knows no NaN and no infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
