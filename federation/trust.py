"""Who has to be trusted with what, for the promises of a task to hold."""

from federation import quorum
from federation.manifest import Manifest
from federation.terms import PersonTerms

INVENTED = (
    "The coordinator issues the certificates of parties and could invent some: count only parties whose fingerprint "
    "you confirmed with them."
)


def trust(manifest: Manifest) -> str:
    """The trust that a task asks of its parties and of the people behind them, as plain text."""
    if not isinstance(manifest.privacy, PersonTerms):
        return _in_sums(manifest) if manifest.exchange.secure else _in_the_coordinator(manifest)
    return _in_shares(manifest, manifest.privacy) if manifest.privacy.noise == "shared" else _in_nobody(manifest)


def honest_survivors(manifest: Manifest, terms: PersonTerms) -> int:
    """How many parties' shares of the noise are in every sum, even if the terms' `colluding` parties tell theirs."""
    smallest = quorum.smallest_sum(len(manifest.contributors()), manifest.exchange.min_parties)
    return smallest - terms.colluding


def _in_nobody(manifest: Manifest) -> str:
    seen = "The coordinator sees sums over parties only." if manifest.exchange.secure else ""
    return (
        "Trusted with this: nobody. Each node adds all of the noise before its update leaves, so that the promise "
        f"holds against the coordinator and all other parties together. {seen}".strip()
    )


def _in_the_coordinator(manifest: Manifest) -> str:
    return (
        f"Trusted with this: the coordinator. It sees each party's update as it is, {len(manifest.contributors())} of "
        "them in a round, and nothing but its word keeps it from looking into one."
    )


def _in_sums(manifest: Manifest) -> str:
    parties, smallest = _counts(manifest)
    most = min(quorum.most_colluding(parties), smallest - 2)
    return (
        f"Trusted with this: {parties - most} of {parties} parties that this node's owner confirmed by fingerprint. "
        f"While at most {most} side with the coordinator it sees sums over at least {smallest} parties and no update "
        f"alone. The sums, and the model that is made of them, are not noised. {INVENTED}"
    )


def _in_shares(manifest: Manifest, terms: PersonTerms) -> str:
    parties, smallest = _counts(manifest)
    honest = honest_survivors(manifest, terms)
    if terms.colluding:
        others = "one party" if terms.colluding == 1 else f"{terms.colluding} parties"
        against = f"the coordinator and {others} together"
        within = " A party that only looks at the model counts among them, for it knows its own share."
    else:
        against = "the coordinator alone"
        within = " It does not hold against the parties themselves, each of which knows its own share."
    return (
        f"Trusted with this: {parties - terms.colluding} of {parties} parties that this node's owner confirmed by "
        f"fingerprint. Each adds one share of the noise under its mask and {honest} shares are enough. A sum is over "
        f"at least {smallest} parties ({quorum.threshold(parties)} of {parties} open it, min_parties = "
        f"{manifest.exchange.min_parties}), of which at least {honest} must be honest survivors: so the promise holds "
        f"against {against}.{within} {INVENTED}"
    )


def _counts(manifest: Manifest) -> tuple[int, int]:
    parties = len(manifest.contributors())
    return parties, quorum.smallest_sum(parties, manifest.exchange.min_parties)
