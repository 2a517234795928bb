"""Who is asked in a round: parties that accepted, are not revoked, and are connected."""

from datetime import timedelta

from federation import phases
from federation.errors import RoundFailed
from federation.ids import PartyId
from federation.link import Link
from federation.manifest import Manifest, Member
from federation.roles import Step, may
from federation.workload import Phase
from server.coordinator import Coordinator, Run
from server.shares import DEALT_WRONGLY

POLL_S = 0.1
GRACE_S = 10.0
"""How long a round waits for parties beyond `min_parties`; a node that restarts is back by then."""


def draw(coordinator: Coordinator, link: Link, run: Run, phase: Phase) -> tuple[Member, ...]:
    """Who is asked for updates of `phase` now; waits for them up to the round's deadline, or raises `RoundFailed`."""
    manifest, start = run.manifest, coordinator.clock()
    grace = start + timedelta(seconds=min(GRACE_S, manifest.round_deadline_s))
    deadline = start + timedelta(seconds=manifest.round_deadline_s)
    while True:
        willing = admitted(coordinator, run, phase)
        present = tuple(member for member in willing if member.party in link.reachable())
        now = coordinator.clock()
        enough = phases.enough(manifest, phase, (member.party for member in present))
        if enough and (len(present) == len(willing) or now >= grace):
            return present
        if now >= deadline:
            raise _too_few(manifest, phase, willing, present)
        coordinator.sleep(POLL_S)


def admitted(coordinator: Coordinator, run: Run, phase: Phase) -> tuple[Member, ...]:
    """Contributors to `phase` that accepted this very task, whose key is still theirs and active, and who failed no
    attempt by wrong shares: who could fail one could fail all, and each is charged.
    """
    accepted = coordinator.store.accepted(run.digest) - coordinator.store.marked(run.digest, DEALT_WRONGLY)
    active = coordinator.store.active_party_keys()
    contributors = phases.contributors(run.manifest, phase)
    return tuple(member for member in contributors if member.party in accepted and member.party in active)


def initialiser(coordinator: Coordinator, link: Link, run: Run) -> PartyId:
    """The cohort's algorithm provider, once it is connected; `RoundFailed` if there is none by the deadline."""
    willing = coordinator.store.accepted(run.digest) & coordinator.store.active_party_keys().keys()
    providers = [m.party for m in run.manifest.cohort if may(m.role, Step.INITIALISE) and m.party in willing]
    deadline = coordinator.clock() + timedelta(seconds=run.manifest.round_deadline_s)
    while providers and coordinator.clock() < deadline:
        here = link.reachable()
        for party in providers:
            if party in here:
                return party
        coordinator.sleep(POLL_S)
    raise RoundFailed(
        f"task {run.manifest.name} needs the first weights, but no algorithm provider of its cohort accepted it and "
        "is connected. Start its node (`paceline node up`), then `paceline task resume`.",
        {str(party): "unreachable" for party in providers},
    )


def _too_few(manifest: Manifest, phase: Phase, willing: tuple[Member, ...], present: tuple[Member, ...]) -> RoundFailed:
    here = {member.party for member in present}
    accepted = {member.party for member in willing}
    reasons: dict[str, str] = {}
    for member in phases.contributors(manifest, phase):
        if member.party not in here:
            gone = "not accepted, left, revoked, or dealt wrong shares"
            reasons[member.party] = "unreachable" if member.party in accepted else gone
    missing = ", ".join(f"{party} ({why})" for party, why in reasons.items())
    found = f"{sum(member.people > 0 for member in present)} parties with people are connected"
    needed = f"needs {manifest.exchange.min_parties} of them"
    if not phase.reads_people:
        found, needed = "no algorithm provider is connected", f"needs one for phase {phase.name}"
    return RoundFailed(
        f"{found}; task {manifest.name} {needed}. Missing: {missing}. "
        "Start their nodes (`paceline node up`), then `paceline task resume`.",
        reasons,
    )


def evaluators(coordinator: Coordinator, link: Link, run: Run) -> tuple[PartyId, ...]:
    """Connected parties of the cohort whose role may score the model on people, and who accepted the task."""
    willing = coordinator.store.accepted(run.digest) & coordinator.store.active_party_keys().keys() & link.reachable()
    return tuple(
        member.party
        for member in run.manifest.cohort
        if may(member.role, Step.EVALUATE_PEOPLE) and member.party in willing
    )
