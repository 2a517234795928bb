"""Values that go into the node's store and come out of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from federation.consent import Purpose
from federation.ids import PartyId, PersonNumber, TaskDigest
from federation.messages import Advertisement
from privacy.secagg.secrets import Secrets


@dataclass(frozen=True)
class AcceptedTask:
    """A task that this node's owner accepted; `left_at` is set once the owner took the acceptance back."""

    digest: TaskDigest
    signed_json: str
    accepted_at: datetime
    left_at: datetime | None

    @property
    def manifest_json(self) -> str:
        """The manifest alone, without its signatures."""
        document = json.loads(self.signed_json)
        return json.dumps(document.get("manifest", document))


@dataclass(frozen=True)
class Answered:
    """An answer with the processing that made it; `people` is None where nobody's rows were read."""

    task: TaskDigest
    round_number: int
    attempt: int
    kind: str
    blob: bytes
    purpose: Purpose
    people: BitMap | None
    snapshot: str
    at: datetime


@dataclass(frozen=True)
class Variate:
    """A party's control variate after a round, float64 (trained parameters,), and whose rows it was made from."""

    task: TaskDigest
    round_number: int
    vector: npt.NDArray[np.float64] = field(repr=False)
    people: BitMap = field(repr=False)
    purpose: Purpose
    expires_at: datetime


@dataclass(frozen=True)
class Dealt:
    """A node's new secrets for an attempt of a secure round, with the shares of them that it dealt itself.

    `seal_keys`: to which the others' shares were sealed.
    """

    secrets: Secrets
    own_shares: bytes = field(repr=False)
    seal_keys: dict[PartyId, str]


@dataclass(frozen=True)
class MaskState:
    """Where a node stands in an attempt of a secure round: with secrets before its update is masked, with a context
    after.

    `own_shares`, `seal_keys`: as they were dealt. `roster`: mask keys of who takes part. `survivors`: the list of
    them that this node bore out, if it did.
    """

    secrets: Secrets | None
    own_shares: bytes = field(repr=False)
    context: bytes | None
    seal_keys: dict[PartyId, str]
    roster: dict[PartyId, Advertisement]
    survivors: tuple[PartyId, ...] | None


@dataclass(frozen=True)
class Activity:
    """One processing of people's rows."""

    number: int
    task: TaskDigest
    round_number: int
    attempt: int
    kind: str
    purpose: Purpose
    snapshot: str
    consent_sequence: int
    people: BitMap
    at: datetime


@dataclass(frozen=True)
class Imported:
    """One import: the file under data/, its rows, whose they are, and what was in it (hashes of recordings).

    `recorded`: whom a recording is of, where it is of one person.
    """

    workload: str
    file: str
    rows: int
    people: BitMap
    sha256: str
    held_out: bool
    recordings: tuple[str, ...] = ()
    recorded: Mapping[str, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Dataset:
    """A registered import."""

    number: int
    workload: str
    file: str
    rows: int
    people: BitMap
    sha256: str
    held_out: bool
    at: datetime


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit log; `body` is canonical JSON, `leaf` its Merkle leaf hash."""

    number: int
    at: datetime
    kind: str
    body: str
    leaf: bytes


@dataclass(frozen=True)
class ConsentEvent:
    """One statement as the log holds it.

    It permits use from `counts_from` (None: never) until `counts_until` (None: open). `of_age_years`: the limit of age
    that the person was shown to have reached, 0 for none, `GUARDED` where a guardian spoke.
    """

    sequence: int
    person: PersonNumber
    purpose: Purpose
    state: str
    actor: str
    of_age_years: int
    notice_version: str
    at: datetime
    recorded_at: datetime
    counts_from: datetime | None
    counts_until: datetime | None
    evidence: str


@dataclass(frozen=True)
class PersonActivity:
    """One processing of a person's rows, with the statement that permitted it; None would be a fault to report."""

    activity: Activity
    consent: ConsentEvent | None


@dataclass(frozen=True)
class Verified:
    """How much was found to be as it was written."""

    reservations: int
    consent_events: int
    audit_entries: int
