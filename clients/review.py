"""A contract in words, for the person who answers for this node's people."""

from dataclasses import dataclass
from datetime import datetime

from clients.enrolment import Offer, main_step
from clients.pinned import Members, Pinned
from clients.policy import Policy, admit, cost_per_person, strangers_to_noise
from federation import workloads
from federation.consent import Purpose
from federation.errors import PacelineError, WorkloadError
from federation.ids import PartyId, TaskDigest
from federation.manifest import Manifest
from federation.phases import turns
from federation.roles import Role, Step
from federation.signing import verify_manifest
from federation.terms import NoisedScores, PersonTerms, PublishedScores
from federation.trust import trust

PURPOSES = {
    Purpose.TRAIN_MOTION_MODELS: "training motion models together with others",
    Purpose.IMPROVE_OWN_SERVICE: "improving a party's own service",
    Purpose.INJURY_RESEARCH: "research on injuries",
    Purpose.PUBLISH_SCORES: "publishing scores",
}


@dataclass(frozen=True)
class Party:
    """Somebody in the cohort, perhaps this node itself.

    `known`: what this node knows of the fingerprint, in words.
    """

    party: str
    name: str
    role: Role
    people: int
    fingerprint: str
    known: str


@dataclass(frozen=True)
class Review:
    """What `node review` shows: paragraphs by heading, the parties, and what still stands in the way."""

    task: str
    digest: TaskDigest
    state: str
    paragraphs: dict[str, str]
    parties: tuple[Party, ...]
    objections: tuple[str, ...]


def review(offer: Offer, pinned: Pinned, members: Members, policy: Policy, at: datetime) -> Review:
    """The contract of `offer` as it concerns this node."""
    manifest = offer.signed.manifest
    return Review(
        task=manifest.name,
        digest=manifest.digest(),
        state=offer.state,
        paragraphs={
            "what": f"{manifest.title}: {manifest.rounds} rounds of {manifest.workload.name}, "
            f"version {manifest.workload.version}.",
            "purpose": f"{PURPOSES[manifest.purpose]} ({manifest.purpose}).",
            **({"takes turns": _turns(manifest)} if manifest.training.phases else {}),
            "reads": _reads(manifest, pinned.role),
            "privacy": _privacy(manifest, policy),
            "trust": f"{trust(manifest)}{_known(manifest, members, policy, pinned)}",
            "scores": _scores(manifest, pinned.role),
            "leaves this node": _leaves(manifest, pinned.role),
            "until": f"{manifest.expires_at:%Y-%m-%d %H:%M %Z}. What was spent of a person's budget stays spent.",
        },
        parties=tuple(
            Party(m.party, m.name, m.role, m.people, m.fingerprint, _heard_of(m.party, members, policy, pinned))
            for m in manifest.cohort
        ),
        objections=tuple(_objections(offer, pinned, members, policy, at)),
    )


def _heard_of(party: PartyId, members: Members, policy: Policy, pinned: Pinned) -> str:
    if party == pinned.party:
        return "this node"
    if party in policy.share_noise_with:
        return "listed under share_noise_with"
    return "confirmed before" if party in members.fingerprints else "NEW to this node"


def _turns(manifest: Manifest) -> str:
    """Which phase comes when, and whose rows it reads."""
    try:
        order = turns(workloads.find(manifest.workload.name), manifest.training.phases)
    except WorkloadError as error:
        return str(error)
    rows = "; ".join(f"{p.name} reads {'people' if p.reads_people else 'nobody'}'s rows" for p in dict.fromkeys(order))
    return f"rounds train {', '.join(phase.name for phase in order)}, over and over; {rows}."


def _reads(manifest: Manifest, role: Role) -> str:
    if role is Role.ALGORITHM_PROVIDER:
        return "nobody's data: synthetic rows only."
    schema = workloads.find(manifest.workload.name).schema
    if schema.history:
        items = f"which of {len(schema.target.classes)} items ({schema.target.name}) a person took up, in which order"
        return f"{items}; only of people whose consent covers the purpose."
    columns = ", ".join(f"{column.name} [{column.unit}]" for column in schema.columns)
    window = f", in windows of {schema.window.samples} samples at {schema.window.rate_hz:g} Hz" if schema.window else ""
    return f"{columns}; target {schema.target.name}{window}; only of people whose consent covers the purpose."


def _privacy(manifest: Manifest, policy: Policy) -> str:
    terms = manifest.privacy
    if not isinstance(terms, PersonTerms):
        return (
            "NONE. Updates leave without noise; single people could be recognised in them. Allowed only if "
            "allow_unprotected in node.toml names this task."
        )
    from privacy.statement import statement

    promise = statement(
        terms.unit, terms.mechanism(), terms.max_attempts, terms.delta, terms.clip, terms.rows_per_person
    )
    mine = cost_per_person(manifest, policy.delta)
    own = f"In this node's own terms: at most ε = {mine:.3f} of {policy.max_epsilon:g} (δ = {policy.delta:g})."
    return f"{promise.sentence()} {own}"


def _known(manifest: Manifest, members: Members, policy: Policy, pinned: Pinned) -> str:
    """How many of the parties that a secure sum relies on this node's owner knows."""
    if not manifest.exchange.secure:
        return ""
    parties, terms = manifest.contributors(), manifest.privacy
    if isinstance(terms, PersonTerms) and terms.noise == "shared" and pinned.role is not Role.ALGORITHM_PROVIDER:
        strangers, others = strangers_to_noise(policy, manifest, pinned.party), len(parties) - 1
        without = f", all but {', '.join(member.party for member in strangers)}" if strangers else ""
        return (
            f" share_noise_with in node.toml lists {others - len(strangers)} of the {others} others{without}; "
            f"at least {others - terms.colluding} must be."
        )
    known = sum(member.party in members.fingerprints for member in parties)
    return f" Here {known} of these {len(parties)} were confirmed before; `paceline node accept` confirms all listed."


def _scores(manifest: Manifest, role: Role) -> str:
    if manifest.evaluation is None:
        return "none are asked for."
    who = "held-out people of this node" if role in (Role.TRAINER, Role.SERVICE_PROVIDER) else "other parties' people"
    if isinstance(manifest.evaluation, PublishedScores):
        every = manifest.evaluation.every_rounds
        return f"exact scores of {who} whose consent covers publish-scores, every {every} rounds."
    return (
        f"noised scores of {who}, at most {manifest.evaluation.max_evaluations} times; ε = "
        f"{manifest.evaluation.epsilon:g} at δ = {manifest.evaluation.delta:g} for each of them."
    )


def _leaves(manifest: Manifest, role: Role) -> str:
    size = "the trained weights' update" if not manifest.training.trains else f"updates of {manifest.training.trains}"
    if role is Role.ALGORITHM_PROVIDER:
        return f"first weights and {size}, made from synthetic rows."
    noise = _treated(manifest)
    if manifest.training.scaffold:
        size += " and of this node's control variate (SCAFFOLD; kept here until the task ends or somebody withdraws)"
    codec, bits = manifest.exchange.up, manifest.exchange.up_bits
    coded = f"{codec} in about {bits:g} bits per number" if bits else codec
    return (
        f"per round {size}, {noise}, coded as {coded}; a keyed commitment to the consent snapshot; the "
        f"ledger's head; or a refusal with a code. Never rows, pseudonyms, counts or losses.{_combined(manifest)}"
    )


def _combined(manifest: Manifest) -> str:
    """How the coordinator makes one update of all, where it does more than add them up."""
    training = manifest.training
    rule = "" if training.aggregation == "mean" else f" The coordinator combines updates by {training.aggregation}"
    if training.byzantine:
        rule += f", so that {training.byzantine} hostile parties change little"
    cut = f" Updates longer than {training.norm_limit:g} are cut to that length." if training.norm_limit else ""
    return (f"{rule}." if rule else "") + cut


def _treated(manifest: Manifest) -> str:
    hidden = " under a mask that only a sum over parties takes off" if manifest.exchange.secure else ""
    if not isinstance(manifest.privacy, PersonTerms):
        return f"as it is{hidden}"
    noised = "noised with this node's share" if manifest.privacy.noise == "shared" else "noised"
    return f"clipped, summed over people and {noised}{hidden}"


def _objections(offer: Offer, pinned: Pinned, members: Members, policy: Policy, at: datetime) -> list[str]:
    """Why `node accept` would refuse, as things are now."""
    manifest, found = offer.signed.manifest, []
    checks = (
        lambda: verify_manifest(offer.signed, pinned.coordinator, at),
        lambda: workloads.agreed(manifest),
        lambda: members.strangers(manifest.cohort),
        lambda: admit(policy, manifest, pinned.party, pinned.role, main_step(pinned.role)),
        lambda: _admit_scores(policy, manifest, pinned),
    )
    for check in checks:
        try:
            check()
        except PacelineError as error:
            found.append(str(error))
    return found


def _admit_scores(policy: Policy, manifest: Manifest, pinned: Pinned) -> None:
    """A node that would refuse to score may accept all the same; its owner should know."""
    if isinstance(manifest.evaluation, PublishedScores | NoisedScores) and pinned.role is Role.TRAINER:
        admit(policy, manifest, pinned.party, pinned.role, Step.EVALUATE_PEOPLE)
