"""What coordinator and node say to one another: headers, each with at most one payload (see `federation.wire`)."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from federation.errors import Refusal
from federation.ids import LedgerHead, PartyId, TaskDigest
from federation.terms import HEX64, SLUG, later

DigestField = Annotated[str, Field(pattern=HEX64)]
TaskDigestField = Annotated[TaskDigest, Field(pattern=HEX64)]
Head = Annotated[LedgerHead, Field(pattern=HEX64)]
Party = Annotated[PartyId, Field(pattern=SLUG)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Header(BaseModel):
    """A signed header; unknown keys, NaN and coercions are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Request(Header):
    """What every request says. The payload is the model, all weights in sorted order, coded as `down` says.

    `ledger_heads` gives back to each party the last head that the coordinator saw of its ledger.
    """

    task: TaskDigestField
    round: Count
    attempt: Count
    nonce: Nonce
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    model: DigestField
    ledger_heads: dict[Party, Head]


class InitialiseRequest(Request):
    """Ask the algorithm provider for the first weights (no payload; `model` is the digest of nothing)."""

    kind: Literal["initialise"] = "initialise"


class TrainRequest(Request):
    """Ask for an update of `phase`. The same (task, attempt) is the same question; attempts count over the task.

    `variates`: under SCAFFOLD the round whose control variate of each party is counted in the coordinator's own, which
    then follows the model in the payload (and in `model`).
    """

    kind: Literal["train"] = "train"
    phase: Annotated[str, Field(min_length=1, max_length=40)]
    variates: dict[Party, Count] | None = later(None)


class EvaluateRequest(Request):
    """Ask for the scores of these weights on held-out people or public rows; `attempt` counts evaluations."""

    kind: Literal["evaluate"] = "evaluate"


class Answer(Header):
    """What every answer says."""

    task: TaskDigestField
    round: Count
    attempt: Count
    nonce: Nonce
    party: Party
    ledger_head: Head


class InitialAnswer(Answer):
    """The first weights, fp32, as payload."""

    kind: Literal["initial"] = "initial"


class UpdateAnswer(Answer):
    """An update of the trained weights, coded as `up` says.

    `weight`: 0 under privacy terms (the divisor is public); the number of rows only where the node waived privacy.
    `snapshot`: Merkle-style commitment to the consent snapshot that permitted it; says nothing about who.
    `variate`: under SCAFFOLD, where the change of the control variate follows the update in the payload, the round that
    left the variate which changed; None for a party that starts at zero.
    """

    kind: Literal["update"] = "update"
    weight: Count
    snapshot: DigestField
    variate: Count | None = later(None)


class ScoresAnswer(Answer):
    """Scores: exact sums under consent to publish (`people` counts them), or noised sums (`people` = declared)."""

    kind: Literal["scores"] = "scores"
    disclosure: Literal["published", "noised", "public-rows"]
    people: Count
    sums: dict[str, float]


class RefusalAnswer(Answer):
    """The node does not take part, with a code from a closed list."""

    kind: Literal["refusal"] = "refusal"
    code: Refusal
