"""The root of the error tree, with the mathematical errors (the rest is in `federation.errors`)."""


class PacelineError(Exception):
    """Any failure that we foresaw: its message says what was found, what was expected, what to do next.

    `exit_code` is what the command line returns: 1 for refused or failed, 2 for wrong usage.
    """

    exit_code = 1


class PrivacyError(PacelineError):
    """A privacy guarantee would not hold; nothing was trained, nothing was spent."""


class TermsError(PrivacyError):
    """Privacy terms that are absurd (σ = NaN, q > 1) or contradict one another."""


class BoundError(PrivacyError):
    """Values that cannot be clipped or noised: wrong shape, wrong type, wrong size."""


class SecaggError(PrivacyError):
    """Keys, shares or masks of secure aggregation that do not fit together; nothing was masked or unmasked."""
