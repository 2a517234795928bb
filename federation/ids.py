"""Names for things that travel or are stored, each with its own type."""

from typing import NewType

PartyId = NewType("PartyId", str)
"""Slug that the coordinator gave at invitation, such as ``city-runners``: [a-z0-9-], 1 to 40 characters."""

TaskDigest = NewType("TaskDigest", str)
"""SHA-256 of a manifest's canonical bytes, 64 lower-case hexadecimal digits."""

Fingerprint = NewType("Fingerprint", str)
"""SHA-256 of a raw Ed25519 public key (32 bytes), 64 lower-case hexadecimal digits."""

PersonNumber = NewType("PersonNumber", int)
"""A person inside one node's databases, 0 ≤ n < 2³²; never leaves the node."""

LedgerHead = NewType("LedgerHead", str)
"""SHA-256 that commits to a node's whole ledger of reservations, 64 hexadecimal digits; genesis is 64 zeros."""

GENESIS = LedgerHead("0" * 64)
