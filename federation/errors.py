"""The error tree.

::

    PacelineError                    privacy.errors
    ├── PrivacyError                 privacy.errors: a guarantee would not hold
    │   ├── TermsError               absurd or contradicting privacy terms
    │   ├── BoundError               values that cannot be clipped or noised
    │   ├── SecaggError              keys, shares or masks that do not fit together
    │   └── BudgetExhausted          a person's lifetime cap would be passed
    ├── Refused                      a node or the coordinator says no; carries a closed `Refusal` code
    ├── WireError                    bytes that are not a message of ours
    ├── SignatureError               wrong, missing or foreign signature
    ├── ManifestError                a task that cannot be, or is not the one agreed upon
    ├── WorkloadError                unknown workload, or another version than agreed upon
    ├── SchemaError                  rows that do not fit the schema
    │   └── ImportRejected           a file that was not imported, with its line numbers
    ├── EnrolmentError               tokens, fingerprints, membership
    ├── StoreError                   database locked, disk full, another version
    │   └── LedgerRolledBack         the ledger is older than what others have seen of it
    ├── AuditError                   a log that was cut, rewritten or rolled back; a proof that does not hold
    ├── LinkError                    the other side cannot be reached
    ├── RoundFailed                  a round that ended without an update, with a reason per party
    └── UsageError                   wrong words on the command line (exit code 2)
"""

from collections.abc import Mapping
from enum import StrEnum

from privacy.errors import BoundError, PacelineError, PrivacyError, SecaggError, TermsError

__all__ = [
    "AuditError",
    "BoundError",
    "BudgetExhausted",
    "EnrolmentError",
    "ImportRejected",
    "LedgerRolledBack",
    "LinkError",
    "ManifestError",
    "PacelineError",
    "PrivacyError",
    "Refusal",
    "Refused",
    "RoundFailed",
    "SchemaError",
    "SecaggError",
    "SignatureError",
    "StoreError",
    "TermsError",
    "UsageError",
    "WireError",
    "WorkloadError",
]


class Refusal(StrEnum):
    """Why a node does not take part, as it may be told to the coordinator: a closed list, never a free text."""

    BAD_MESSAGE = "bad-message"
    BAD_SIGNATURE = "bad-signature"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    UNKNOWN_TASK = "unknown-task"
    NOT_ACCEPTED = "not-accepted"
    WRONG_WORKLOAD = "wrong-workload"
    WRONG_ROLE = "wrong-role"
    POLICY = "policy"
    PAUSED = "paused"
    NO_CONSENT = "no-consent"
    BUDGET_EXHAUSTED = "budget-exhausted"
    LEDGER_ROLLED_BACK = "ledger-rolled-back"
    ATTEMPT_LOST = "attempt-lost"
    STALE_VIEW = "stale-view"
    UNSAFE = "unsafe-round"
    STORE = "store"
    INTERNAL = "internal"


class Refused(PacelineError):
    """A gate said no. `code` may travel to the other side; the message stays here."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code


class BudgetExhausted(PrivacyError):
    """A reservation would take a person past the lifetime cap; nothing was reserved."""


class WireError(PacelineError):
    """Bytes that are not a message of ours: wrong length, left-over bytes, absurd sizes."""


class SignatureError(PacelineError):
    """A signature is missing, wrong, or by a key that is not pinned."""


class ManifestError(PacelineError):
    """A task that cannot be, or is not the one that was agreed upon."""


class WorkloadError(PacelineError):
    """An unknown workload, or another version than was agreed upon."""


class SchemaError(PacelineError):
    """Rows that do not fit the workload's schema."""


class ImportRejected(SchemaError):
    """A file that was not imported; the message lists what was wrong, with line numbers."""


class EnrolmentError(PacelineError):
    """A token, a fingerprint or a membership list that does not hold."""


class StoreError(PacelineError):
    """The database cannot be used: locked, full, damaged, or of another version. Fail closed."""


class LedgerRolledBack(StoreError):
    """The ledger is older than what others have seen of it (a restored backup); no training."""


class AuditError(PacelineError):
    """A log was cut, rewritten or rolled back, or a proof about it does not hold."""


class LinkError(PacelineError):
    """The other side cannot be reached; the message says what to check."""


class RoundFailed(PacelineError):
    """A round ended without an update; the weights did not move."""

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = dict(reasons)


class UsageError(PacelineError):
    """Wrong words on the command line, or a file of settings that cannot be read."""

    exit_code = 2
