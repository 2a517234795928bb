"""The commands of a node: ``paceline node``, ``consent``, ``budget`` and ``audit``."""

from clients.cli import contracts, desk, erasing, files, ledgers, membership, running
from clients.cli.apps import audit, budget, consent, node

__all__ = [
    "audit",
    "budget",
    "consent",
    "contracts",
    "desk",
    "erasing",
    "files",
    "ledgers",
    "membership",
    "node",
    "running",
]
