"""What coordinator and node say to one another: headers, each with at most one payload (see `federation.wire`)."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from federation.acceptance import Acceptance
from federation.errors import Refusal
from federation.ids import LedgerHead, PartyId, TaskDigest
from federation.terms import HEX64, SLUG, Part, later

DigestField = Annotated[str, Field(pattern=HEX64)]
TaskDigestField = Annotated[TaskDigest, Field(pattern=HEX64)]
Head = Annotated[LedgerHead, Field(pattern=HEX64)]
Party = Annotated[PartyId, Field(pattern=SLUG)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
SignatureField = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
MOST_PARTIES = 100
"""Of a secure round: every two of them share a mask."""
Survivors = Annotated[tuple[Party, ...], Field(min_length=1, max_length=MOST_PARTIES)]


MOST_DIFFERENCES = 64
"""In one message."""


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


class Advertisement(Part):
    """A party's mask key for one attempt, under its signature (`federation.secure`), 32 bytes each in hexadecimal.

    `commitment`: SHA-256 of the seed of its own mask, which shows whether shares of it were joined rightly.
    """

    party: Party
    public_key: DigestField
    mask_key: DigestField
    commitment: DigestField
    signature: SignatureField


Roster = Annotated[tuple[Advertisement, ...], Field(max_length=MOST_PARTIES)]


class ModelRequest(Request):
    """A question about weights.

    `carries`: where nodes keep a view (`federation.shared_view`), whether the payload is the whole view, differences,
    of which the nth goes on from the view with the nth of the digests `bases`, or nothing, for a party that has it.
    """

    carries: Literal["model", "differences", "nothing"] = later("model")
    bases: Annotated[tuple[DigestField, ...], Field(max_length=MOST_DIFFERENCES)] = later(())

    @model_validator(mode="after")
    def _differences_have_bases(self) -> Self:
        if bool(self.bases) != (self.carries == "differences"):
            raise ValueError(f"{self.carries} with {len(self.bases)} bases; differences have one each, others none")
        return self


class TrainRequest(ModelRequest):
    """Ask for an update of `phase`. The same (task, attempt) is the same question; attempts count over the task.

    `roster`: in a secure round, whose masks are to cancel. `variates`: under SCAFFOLD the round whose control variate
    of each party is counted in the coordinator's own, which then follows the model in the payload (and in `model`).
    """

    kind: Literal["train"] = "train"
    phase: Annotated[str, Field(min_length=1, max_length=40)]
    variates: dict[Party, Count] | None = later(None)
    roster: Roster | None = later(None)


class PrepareRequest(Request):
    """Ask for a mask key for training attempt `of_attempt`, with shares of its seed for each party that accepted.

    No payload; `model` is the digest of nothing. `acceptances` bring the keys to seal the shares with.
    """

    kind: Literal["prepare"] = "prepare"
    of_attempt: Count
    acceptances: Annotated[tuple[Acceptance, ...], Field(max_length=MOST_PARTIES)]


class AgreeRequest(Request):
    """Ask for a signature under who was left when the masked updates of `of_attempt` were in. No payload."""

    kind: Literal["agree"] = "agree"
    of_attempt: Count
    survivors: Survivors


class UnmaskRequest(Request):
    """Ask for shares: of the own mask of each of `survivors`, of the mask key of everybody else of the roster.

    The payload holds what those parties sealed for the one that is asked. `agreed`: signatures under `survivors`,
    needed where anybody of the roster dropped out.
    """

    kind: Literal["unmask"] = "unmask"
    of_attempt: Count
    survivors: Survivors
    agreed: Annotated[dict[Party, SignatureField], Field(max_length=MOST_PARTIES)]


class EvaluateRequest(ModelRequest):
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
    """The first weights, raw32, as payload."""

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


class PreparedAnswer(Answer):
    """A mask key; the payload is the sealed shares, for each party in the order of the points, all of one length."""

    kind: Literal["prepared"] = "prepared"
    advertisement: Advertisement


class AgreedAnswer(Answer):
    """A signature under the survivors of an attempt; it leaves nothing for another list of them."""

    kind: Literal["agreed"] = "agreed"
    agreement: SignatureField


class UnmaskedAnswer(Answer):
    """The payload is the opened shares, in the order of the roster, and behind them the sealed shares for the next
    attempt, whose mask key `advertisement` is; None after the last round.
    """

    kind: Literal["unmasked"] = "unmasked"
    advertisement: Advertisement | None = None


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
