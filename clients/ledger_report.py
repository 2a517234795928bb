"""What the ledgers say: budget spent by groups of people, and whether every log is what was written."""

from datetime import UTC, datetime
from typing import Any

from clients import budget, people
from clients.pinned import write_whole
from clients.policy import Policy
from clients.settings import NodeFolder, load
from clients.store import NodeStore, open_store, verify
from clients.store.ledger import Reserved, entries_after
from clients.store.moments import from_micros
from federation.audit import parse_checkpoint, root, sign_checkpoint, verify_checkpoint
from federation.errors import StoreError
from federation.ids import GENESIS, TaskDigest
from federation.manifest import parse
from federation.signing import Identity
from privacy.accounting import epsilon_from_rdp


def spending(folder: NodeFolder) -> dict[str, Any]:
    """Groups of people with the same history, charges by task and step, and what the figures mean."""
    policy = load(folder).policy
    with open_store(folder) as store:
        return {
            "cap": {"epsilon": policy.max_epsilon, "delta": policy.delta},
            "sentence": f"ε per person (unit: person; adjacency: add or remove one person) by RDP at δ = "
            f"{policy.delta:g}, over all tasks; at most ε = {policy.max_epsilon:g} (max_epsilon in node.toml).",
            "groups": _groups(store, policy),
            "charges": _charges(store),
        }


def verified(folder: NodeFolder) -> dict[str, Any]:
    """Check all logs, and that the audit log only grew since the last signed checkpoint; sign a new one."""
    identity, path = Identity.load(folder.identity), folder.path / "checkpoint.json"
    with open_store(folder) as store:
        found, leaves = verify(store), [entry.leaf for entry in store.audit_entries()]
        head = budget.head(store)
    before = parse_checkpoint(path.read_bytes()) if path.is_file() else None
    if before is not None:
        verify_checkpoint(before, identity.public_key)
        if before.size > len(leaves) or root(leaves[: before.size]).hex() != before.root:
            raise StoreError(
                f"the audit log is not a continuation of the {before.size} entries that were signed at "
                f"{before.at:%Y-%m-%d %H:%M}: it was cut off or rewritten. Put the newest node.sqlite back."
            )
    now = sign_checkpoint(identity, len(leaves), root(leaves), datetime.now(UTC))
    write_whole(path, now.model_dump_json(indent=2).encode())
    return {
        "audit_entries": found.audit_entries,
        "audit_root": now.root,
        "consent_events": found.consent_events,
        "reservations": found.reservations,
        "ledger_head": head,
        "continues_checkpoint_of": None if before is None else before.at,
        "checkpoint": str(path),
    }


def _groups(store: NodeStore, policy: Policy) -> list[dict[str, Any]]:
    known, found = people.everyone(store), []
    rest = known.copy()
    for group in budget.table(store):
        if known.isdisjoint(group.people):
            continue  # who was erased is nobody's row here; their charges stay in the ledger
        spent = epsilon_from_rdp(group.curve, policy.delta) if group.charges else 0.0
        left = max(0.0, policy.max_epsilon - spent)
        found.append(
            {"people": len(group.people & known), "charges": group.charges, "epsilon": spent, "remaining": left}
        )
        rest -= group.people
    if rest:
        found.append({"people": len(rest), "charges": 0, "epsilon": 0.0, "remaining": policy.max_epsilon})
    return found


def _charges(store: NodeStore) -> list[dict[str, Any]]:
    """One line per task and step with its terms; `people` is the most that one attempt charged."""
    names = {task.digest: parse(task.manifest_json).name for task in store.accepted_tasks()}
    lines: dict[tuple[TaskDigest, str, float, float], dict[str, Any]] = {}
    with store.reading() as tx:
        for entry in entries_after(tx, 0, GENESIS):
            charge = entry.charge
            if not isinstance(charge, Reserved):
                continue
            key = (charge.task, charge.step, charge.sampling_rate, charge.noise_multiplier)
            line = lines.setdefault(key, {"attempts": 0, "people": 0})
            line["attempts"] += 1
            line["people"] = max(line["people"], len(charge.people))
            line["at"] = from_micros(entry.at).isoformat(timespec="seconds")
    return [
        {"task": names.get(task, task[:12]), "step": step, "sampling_rate": q, "noise_multiplier": sigma, **line}
        for (task, step, q, sigma), line in lines.items()
    ]
