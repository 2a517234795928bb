"""One valid specimen of every document and message, the same bytes each time: for tests, vectors and the fuzzer."""

import hashlib
import math
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation import audit, wire
from federation.acceptance import ACCEPTANCE, Acceptance, accept
from federation.consent import Purpose
from federation.errors import Refusal
from federation.ids import LedgerHead, PartyId, TaskDigest
from federation.manifest import Manifest, Member, WorkloadPin
from federation.messages import (
    Answer,
    EvaluateRequest,
    InitialAnswer,
    InitialiseRequest,
    RefusalAnswer,
    Request,
    ScoresAnswer,
    TrainRequest,
    UpdateAnswer,
)
from federation.roles import Role
from federation.signing import (
    Identity,
    Membership,
    SignedManifest,
    SignedMembership,
    canonical,
    sign_digest,
    sign_membership,
)
from federation.terms import ExchangeTerms, NoisedScores, PersonTerms, PublishedScores, TrainingTerms, Unprotected
from privacy.accounting import SampledGaussian, SampledSkellam, epsilon

ISSUED = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = ISSUED + timedelta(minutes=5)
EXPIRES = ISSUED + timedelta(days=30)
ROLES = {
    PartyId("city-runners"): Role.DATA_PROVIDER,
    PartyId("coach-lab"): Role.TRAINER,
    PartyId("model-makers"): Role.ALGORITHM_PROVIDER,
}
RUNNERS, COACHES, MAKERS = ROLES


def identity(name: str) -> Identity:
    """The key of a made-up party (or of ``coordinator``); everybody can compute it, so it protects nothing."""
    return Identity(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"specimen {name}".encode()).digest()))


def members(people: int = 100) -> tuple[Member, ...]:
    """A cohort: two parties with people, one algorithm provider."""
    return tuple(
        Member(
            party=party,
            name=party.replace("-", " ").title(),
            role=role,
            fingerprint=identity(party).fingerprint,
            people=0 if role is Role.ALGORITHM_PROVIDER else people,
        )
        for party, role in ROLES.items()
    )


def person_terms(sampling_rate: float = 0.25, noise_multiplier: float = 1.0, max_attempts: int = 12) -> PersonTerms:
    """Privacy terms whose ε follows from the other numbers."""
    spent = epsilon(SampledGaussian(sampling_rate, noise_multiplier), max_attempts, 1e-3)
    return PersonTerms(
        sampling_rate=sampling_rate,
        noise_multiplier=noise_multiplier,
        clip=0.5,
        rows_per_person=32,
        max_attempts=max_attempts,
        delta=1e-3,
        epsilon=math.ceil(spent * 1000) / 1000,
    )


def noised_scores() -> NoisedScores:
    """Evaluation terms whose ε follows from the other numbers."""
    spent = epsilon(SampledGaussian(1.0, 20.0), 10, 1e-3)
    return NoisedScores(
        disclosure="noised",
        noise_multiplier=20.0,
        max_evaluations=10,
        delta=1e-3,
        epsilon=math.ceil(spent * 1000) / 1000,
    )


def manifest() -> Manifest:
    """A task of ten rounds under person-level privacy, with noised evaluation."""
    return Manifest(
        name="spring-watch",
        title="Exercise recognition, spring",
        workload=WorkloadPin(name="exercise_recognition", version=1, digest=hashlib.sha256(b"source").hexdigest()),
        purpose=Purpose.TRAIN_MOTION_MODELS,
        rounds=10,
        privacy=person_terms(),
        training=TrainingTerms(learning_rate=0.1, public_weight=2.0, public_people=20),
        exchange=ExchangeTerms(up="int8_block", down="raw16", min_parties=2),
        evaluation=noised_scores(),
        cohort=members(),
        coordinator=identity("coordinator").fingerprint,
        issued_at=ISSUED,
        expires_at=EXPIRES,
    )


def open_manifest() -> Manifest:
    """The same task without differential privacy, with published scores."""
    changed = {"privacy": Unprotected(unit="none"), "evaluation": PublishedScores(disclosure="published")}
    return Manifest.model_validate(dict(manifest()) | changed)


def shared_manifest(parties: int = 6, colluding: int = 1, min_parties: int = 3) -> Manifest:
    """A task of that many data providers, who share the noise of their people."""
    names = [PartyId(f"runners-{number}") for number in range(1, parties + 1)]
    spent = epsilon(SampledSkellam(0.5, 4.0, 256), 12, 1e-3)
    sharing = {"noise": "shared", "levels": 256, "colluding": colluding, "epsilon": math.ceil(spent * 1000) / 1000}
    changed = {
        "name": "shared-watch",
        "privacy": PersonTerms.model_validate(dict(person_terms(0.5, 4.0)) | sharing),
        "exchange": ExchangeTerms(up="lane", up_bits=16, secure=True, min_parties=min_parties),
        "evaluation": PublishedScores(disclosure="published"),
        "cohort": tuple(
            Member(
                party=name,
                name=name.title(),
                role=Role.DATA_PROVIDER,
                fingerprint=identity(name).fingerprint,
                people=50,
            )
            for name in names
        ),
    }
    return Manifest.model_validate(dict(manifest()) | changed)


def signed_manifest(task: Manifest | None = None) -> SignedManifest:
    """`task` (or the specimen) with the signatures of coordinator and algorithm provider."""
    task = task or manifest()
    digest = task.digest()
    return SignedManifest(
        manifest=task,
        signatures=(
            sign_digest(identity("coordinator"), digest, "coordinator", "", ISSUED),
            sign_digest(identity(MAKERS), digest, "algorithm-provider", MAKERS, ISSUED),
        ),
    )


def acceptance() -> Acceptance:
    """The yes of a data provider to the specimen task, under a nonce that is always the same."""
    key = identity(RUNNERS)
    unsigned = accept(key, RUNNERS, manifest().digest(), NOW).model_copy(update={"nonce": "07" * 16})
    body = canonical(unsigned.model_dump(mode="json", exclude={"signature"}))
    return unsigned.model_copy(update={"signature": key.sign(ACCEPTANCE, body).hex()})


def membership() -> SignedMembership:
    """The coordinator's third list of parties."""
    return sign_membership(identity("coordinator"), Membership(version=3, issued_at=ISSUED, members=members(people=0)))


def checkpoint() -> audit.Checkpoint:
    """A checkpoint of a log with three entries."""
    leaves = [audit.leaf_hash(entry) for entry in (b"one", b"two", b"three")]
    return audit.sign_checkpoint(identity(RUNNERS), len(leaves), audit.root(leaves), NOW)


def requests(payload: bytes) -> tuple[tuple[Request, bytes], ...]:
    """One request of each kind, with `payload` where there is one."""
    task, model = manifest().digest(), hashlib.sha256(payload).hexdigest()
    heads = {party: LedgerHead(hashlib.sha256(party.encode()).hexdigest()) for party in ROLES}

    def common(attempt: int) -> dict[str, object]:
        return {
            "task": task,
            "round": 3,
            "attempt": attempt,
            "nonce": f"{attempt:032x}",
            "issued_at": NOW,
            "expires_at": NOW + timedelta(seconds=120),
            "model": model,
            "ledger_heads": heads,
        }

    return (
        (TrainRequest.model_validate(common(1) | {"phase": "classify"}), payload),
        (EvaluateRequest.model_validate(common(2)), payload),
        (InitialiseRequest.model_validate(common(3)), b""),
    )


def answers(payload: bytes) -> tuple[tuple[Answer, bytes], ...]:
    """One answer of each kind, with `payload` where there is one; all by the data provider."""
    sums = {"rows": 40.25, "correct": 31.0, "loss": 1e-7, "bias": -3.5e21}
    common = _answer(manifest().digest())
    return (
        (InitialAnswer.model_validate(common), payload),
        (UpdateAnswer.model_validate(common | {"weight": 0, "snapshot": "ab" * 32}), payload),
        (ScoresAnswer.model_validate(common | {"disclosure": "noised", "people": 100, "sums": sums}), b""),
        (RefusalAnswer.model_validate(common | {"code": Refusal.NO_CONSENT}), b""),
    )


def parts(blob: bytes) -> tuple[bytes, bytes]:
    """The header's bytes and the payload of a message, unchecked: to be damaged and sealed again."""
    end = -wire.SIGNATURE_BYTES
    header = len(blob) + end - int.from_bytes(blob[len(wire.MAGIC) : wire.PREFIX_BYTES], "little")
    return blob[header:end], blob[wire.PREFIX_BYTES : header]


def _answer(task: TaskDigest) -> dict[str, object]:
    return {
        "task": task,
        "round": 3,
        "attempt": 4,
        "nonce": "0f" * 16,
        "party": RUNNERS,
        "ledger_head": "cd" * 32,
    }
