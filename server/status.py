"""What an operator sees of a coordinator and of its tasks, as plain values."""

from collections import Counter
from functools import lru_cache
from typing import Any

from cryptography import x509

from federation import phases, workloads
from federation.manifest import Manifest
from federation.signing import Identity
from federation.terms import PersonTerms
from server import settings as server_settings
from server import supervisor, tasks, traffic
from server.settings import ServerFolder
from server.store import PartyRound, ServerStore, Task, without_password


def coordinator(store: ServerStore, folder: ServerFolder) -> dict[str, Any]:
    """The coordinator itself."""
    settings = server_settings.load(folder)
    certificate = x509.load_pem_x509_certificate(folder.server_certificate.read_bytes())
    return {
        "name": settings.name,
        "address": settings.address,
        "fingerprint": Identity.load(folder.identity_key).fingerprint,
        "running": supervisor.running(folder) is not None,
        "database": without_password(settings.database_url(folder)),
        "certificate_until": certificate.not_valid_after_utc.isoformat(),
        "parties": sum(party.active for party in store.parties()),
        "open_invitations": sum(item.expires_at > store.clock() for item in store.invitations()),
        "tasks": dict(sorted(Counter(task.state.value for task in store.tasks()).items())),
        "log_entries": store.audit_size(),
    }


def parties(store: ServerStore) -> list[dict[str, Any]]:
    """Members and former members, then those invited."""
    joined = [
        {
            "party": party.id,
            "name": party.name,
            "role": party.role.value,
            "state": "member" if party.active else "revoked" if party.revoked_at else "left",
            "since": (party.revoked_at or party.left_at or party.joined_at).isoformat(timespec="minutes"),
            "fingerprint": party.fingerprint,
        }
        for party in store.parties()
    ]
    invited = [
        {
            "party": item.party,
            "name": item.name,
            "role": item.role.value,
            "state": "invited" if item.expires_at > store.clock() else "invitation expired",
            "since": item.created_at.isoformat(timespec="minutes"),
            "fingerprint": None,
        }
        for item in store.invitations()
    ]
    return joined + invited


def task_line(store: ServerStore, task: Task) -> dict[str, Any]:
    """One task in a listing."""
    manifest, rounds = task.manifest(), store.rounds(task.digest)
    return {
        "name": task.name,
        "title": manifest.title,
        "workload": manifest.workload.name,
        "state": task.state.value,
        "round": rounds[-1].round if rounds else None,
        "rounds": manifest.rounds,
        "parties": len(manifest.cohort),
        "expires_at": manifest.expires_at.isoformat(timespec="minutes"),
    }


def task_contract(store: ServerStore, task: Task) -> dict[str, Any]:
    """The contract with who signed and accepted it."""
    signed = store.signed_manifest(task.name)
    return {
        "digest": task.digest,
        "state": task.state.value,
        "manifest": signed.manifest.model_dump(mode="json"),
        "signed": [signature.signer for signature in signed.signatures],
        "accepted": sorted(store.accepted(task.digest)),
    }


def task_status(store: ServerStore, name: str) -> dict[str, Any]:
    """How far a task is: rounds, what each party did, scores, bytes, ε spent so far.

    The bytes are of rounds (`server.traffic`), those of scores stand beside them; of a party they are of everything.
    """
    task = store.task(name)
    manifest = task.manifest()
    rounds, acted = store.rounds(task.digest), store.party_rounds(task.digest)
    took = traffic.by_round(manifest, store.traffic(task.digest))
    ready, _ = tasks.acceptances(store, manifest)
    charged, limit = charges(store, task)
    return {
        "name": task.name,
        "digest": task.digest,
        "state": task.state.value,
        "message": task.message,
        "round": rounds[-1].round if rounds else None,
        "rounds": manifest.rounds,
        "attempts": charged,
        "max_attempts": limit,
        "min_parties": manifest.exchange.min_parties,
        "ready_parties": len(ready),
        **_bytes(sum(took.values(), traffic.Compared())),
        "score_bytes": sum(item.bytes_up + item.bytes_down for item in acted if item.kind == "evaluate"),
        "seconds_per_round": sum(row.seconds for row in rounds) / max(1, len(rounds) - 1),
        **_privacy(manifest, charged),
        "score": _score(store, task, manifest),
        "parties": _acted(manifest, store.accepted(task.digest), acted),
        "history": _history(store, task, manifest, took),
    }


def charges(store: ServerStore, task: Task) -> tuple[int, int]:
    """How often training attempts read people's rows, and how often they may; the others cost nobody anything."""
    manifest = task.manifest()
    workload = workloads.find(manifest.workload.name)
    order = phases.turns(workload, manifest.training.phases)
    reading = next(phase for phase in order if phase.reads_people)
    made = phases.on_people(order, store.attempted_rounds(task.digest))
    return made, phases.attempts(workload, manifest, reading)


def _privacy(manifest: Manifest, charged: int) -> dict[str, Any]:
    terms = manifest.privacy
    if not isinstance(terms, PersonTerms):
        return {"epsilon": None, "epsilon_limit": None, "delta": None, "unit": "none"}
    return {
        "epsilon": _epsilon(terms, charged) if charged else 0.0,
        "epsilon_limit": terms.epsilon,
        "delta": terms.delta,
        "unit": "person",
    }


@lru_cache(maxsize=64)
def _epsilon(terms: PersonTerms, charged: int) -> float:
    from privacy import accounting

    return accounting.epsilon(terms.person_cost(), charged, terms.delta)


def _score(store: ServerStore, task: Task, manifest: Manifest) -> dict[str, Any] | None:
    """The headline of the last scored round, by party."""
    scores = store.evaluations(task.digest)
    if not scores:
        return None
    headline = workloads.find(manifest.workload.name).headline
    last = max(item.round for item in scores)
    return {
        "name": headline,
        "round": last,
        "by_party": {item.party: item.summary.get(headline) for item in scores if item.round == last},
    }


def _bytes(took: traffic.Compared) -> dict[str, Any]:
    """What rounds took, both ways; `ratio` is how many times fewer bytes that is than fp32."""
    return {
        "bytes_up": took.up,
        "bytes_down": took.down,
        "fp32_up": took.fp32_up,
        "fp32_down": took.fp32_down,
        "ratio": took.ratio,
    }


def _history(
    store: ServerStore, task: Task, manifest: Manifest, took: dict[int, traffic.Compared]
) -> list[dict[str, Any]]:
    """One line per committed round, with the headline score of its model and all bytes that it took."""
    headline, scores = workloads.find(manifest.workload.name).headline, store.evaluations(task.digest)
    return [
        {
            "round": row.round,
            "attempt": row.attempt,
            "committed_at": row.committed_at.isoformat(timespec="milliseconds"),
            "seconds": row.seconds,
            **_bytes(took.get(row.round, traffic.Compared())),
            "parties": list(row.parties),
            "shrink": row.shrink,
            "scores": {item.party: item.summary.get(headline) for item in scores if item.round == row.round},
        }
        for row in store.rounds(task.digest)
    ]


def _acted(manifest: Manifest, accepted: set[Any], acted: list[PartyRound]) -> list[dict[str, Any]]:
    lines = []
    for member in manifest.cohort:
        own = [item for item in acted if item.party == member.party]
        lines.append(
            {
                "party": member.party,
                "role": member.role.value,
                "accepted": member.party in accepted,
                "answered": sum(item.outcome == "answered" for item in own),
                "missed": sum(item.outcome != "answered" for item in own),
                "last": (own[-1].code or own[-1].outcome) if own else None,
                "bytes_up": sum(item.bytes_up for item in own),
                "bytes_down": sum(item.bytes_down for item in own),
            }
        )
    return lines
