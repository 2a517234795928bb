"""Which phase a round trains, whom the round asks, and what the sum of their updates is divided by.

The phases of a task take turns, one per round. A round whose phase reads people's rows is the round of DESIGN §5. A
round whose phase reads nobody's rows is asked of algorithm providers alone: there is nobody to hide, so it needs no
minimum of parties, and nobody is charged for it (Augenstein et al. 2020, Alg. 1: the generator's step follows from the
discriminator and public randomness, hence costs no privacy).
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from federation.codecs import lane
from federation.errors import ManifestError, TermsError
from federation.ids import PartyId
from federation.manifest import NOISE_REACH, Manifest, Member
from federation.roles import Step, may
from federation.terms import PersonTerms

if TYPE_CHECKING:
    from federation.workload import Phase, Workload

PEOPLE_REACH = 2.0
"""Lanes hold so many deviations of a sum of people who all point the same way, which real people never do."""


def turns(workload: "Workload", named: Sequence[str]) -> tuple["Phase", ...]:
    """The phases in the order in which rounds train them: those `named`, else all of the workload's in its order."""
    return tuple(workload.phase(name) for name in named) or workload.phases


def phase_of(workload: "Workload", manifest: Manifest, round_number: int) -> "Phase":
    """The phase that round `round_number`, counted from 1, trains."""
    order = turns(workload, manifest.training.phases)
    return order[(round_number - 1) % len(order)]


def on_people(order: Sequence["Phase"], rounds: Iterable[int]) -> int:
    """How many of `rounds`, counted from 1, read people's rows; each of them, or each attempt at it, is a charge."""
    return sum(order[(number - 1) % len(order)].reads_people for number in rounds)


def attempts(workload: "Workload", manifest: Manifest, phase: "Phase") -> int:
    """How often rounds like those of `phase` may be tried, all together: rounds on people, or rounds on nobody.

    On people under privacy terms as often as ε was computed for; else each round twice.
    """
    reading = on_people(turns(workload, manifest.training.phases), range(1, manifest.rounds + 1))
    if not phase.reads_people:
        return 2 * (manifest.rounds - reading)
    return manifest.privacy.max_attempts if isinstance(manifest.privacy, PersonTerms) else 2 * reading


def contributors(manifest: Manifest, phase: "Phase") -> tuple[Member, ...]:
    """Who is asked for updates of `phase`: whoever contributes to the task, or algorithm providers alone."""
    return manifest.contributors() if phase.reads_people else _providers(manifest)


def enough(manifest: Manifest, phase: "Phase", parties: Iterable[PartyId]) -> bool:
    """Whether the updates of `parties` make a round: `min_parties` with people, or one algorithm provider."""
    if phase.reads_people:
        return manifest.enough(parties)
    return not {member.party for member in _providers(manifest)}.isdisjoint(parties)


def divisor(manifest: Manifest, phase: "Phase") -> float:
    """The public constant that a sum of updates of `phase` is divided by.

    Where nobody's rows are read it is the number of algorithm providers: their public weight alone, which each update
    would be multiplied with and cancels.
    """
    return manifest.divisor() if phase.reads_people else float(len(_providers(manifest)))


def size(workload: "Workload", phase: "Phase", trains: Sequence[str]) -> int:
    """How many numbers a round of `phase` moves, narrowed to the prefixes `trains`."""
    from federation.workload import trained_names

    weights = workload.initial(0)
    return sum(weights[name].numel() for name in trained_names(weights, phase, trains))


def require_possible(workload: "Workload", manifest: Manifest) -> None:
    """Raise `ManifestError` unless the task's phases are the workload's, somebody can train each, and ε covers them."""
    order = turns(workload, manifest.training.phases)
    if len(workload.phases) > 1 and not manifest.training.phases:
        listed = ", ".join(f'"{phase.name}"' for phase in workload.phases)
        raise ManifestError(f"{workload.name} has several phases; write phases = [{listed}] under [training].")
    if not any(phase.reads_people for phase in order):
        raise ManifestError(
            f"no phase of task {manifest.name} reads people's rows; train it on one machine, or name another phase."
        )
    if manifest.training.scaffold and len(set(order)) > 1:
        raise ManifestError(
            f"scaffold keeps one slope of each party, but the rounds of task {manifest.name} train several phases. "
            "Write scaffold = false, or name one phase."
        )
    _require_levels(workload, manifest)
    idle = [phase.name for phase in order if not contributors(manifest, phase)]
    if idle:
        raise ManifestError(
            f"phase {idle[0]} of {workload.name} reads nobody's rows, so that an algorithm provider trains it; the "
            f"cohort of task {manifest.name} has none. Add one, or leave the phase out of `phases`."
        )
    needed = on_people(order, range(1, manifest.rounds + 1))
    if isinstance(manifest.privacy, PersonTerms) and manifest.privacy.max_attempts < needed:
        raise ManifestError(
            f"{needed} of {manifest.rounds} rounds read people's rows and need at least as many attempts, not "
            f"max_attempts = {manifest.privacy.max_attempts}."
        )


def _require_levels(workload: "Workload", manifest: Manifest) -> None:
    """Raise `TermsError` unless the levels of shared noise hold a person's update of this model, and the lanes a sum.

    Of a sum that is larger nobody sees that it is wrong: it comes back on the other side of the lanes.
    """
    from privacy.levels import steps_per_clip, sum_deviation

    terms, bits = manifest.privacy, manifest.exchange.up_bits
    if not (isinstance(terms, PersonTerms) and terms.noise == "shared"):
        return
    coordinates = lane.coordinates(size(workload, workload.phases[0], manifest.training.trains))
    steps_per_clip(terms.levels, coordinates)
    people = manifest.divisor()
    noise = NOISE_REACH * manifest.noise_deviation(terms)
    reach = sum_deviation(noise, PEOPLE_REACH * people, terms.levels, coordinates)
    if 2 ** (bits - 1) <= reach:
        raise TermsError(
            f"up_bits = {bits:g} cannot hold a sum of {people:g} people at {terms.levels} levels, and its noise; write "
            f"at least {math.ceil(math.log2(reach)) + 1}, or fewer levels."
        )


def _providers(manifest: Manifest) -> tuple[Member, ...]:
    return tuple(member for member in manifest.cohort if may(member.role, Step.TRAIN_ON_PUBLIC))
