"""Says in words what privacy cost in this run, with the figures that decide it."""

import math
from dataclasses import dataclass

from federation.manifest import Manifest
from federation.terms import PersonTerms
from federation.trust import honest_survivors
from federation.workload import trained_names
from federation.workloads import find

CHANCE = 1 / 7


@dataclass(frozen=True)
class Pair:
    """One workload without and with differential privacy; scores of the last model of each task.

    `private_start`: what the private task's first weights, made of synthetic rows alone, score on the same people.
    """

    plain_score: float
    private_score: float
    private_start: float
    private: Manifest
    people: int


def parameters(manifest: Manifest) -> int:
    """How many numbers a round of this task moves."""
    workload = find(manifest.workload.name)
    weights = workload.initial(0)
    return sum(weights[name].numel() for name in trained_names(weights, workload.phases[0], manifest.training.trains))


def noise_to_signal(manifest: Manifest) -> float:
    """Length of one round's noise over the longest step that clipped people could take together.

    m times the variance (σC)² is on each of P numbers (`noises`), so the sum's noise has length σC√(mP); the people who
    are expected in a round, qN, move the sum by at most qNC.
    """
    if not isinstance(manifest.privacy, PersonTerms):
        return 0.0
    expected = manifest.privacy.sampling_rate * sum(member.people for member in manifest.cohort)
    return manifest.privacy.noise_multiplier * math.sqrt(noises(manifest) * parameters(manifest)) / expected


def noises(manifest: Manifest) -> float:
    """How many times the variance that one noise for all would have is in the sum.

    Where each node adds its own: as many as have people. Where all contributors share it: as many more as there are
    than must survive and be honest.
    """
    terms = manifest.privacy
    if isinstance(terms, PersonTerms) and terms.noise == "shared":
        return len(manifest.contributors()) / honest_survivors(manifest, terms)
    return sum(1 for member in manifest.cohort if member.people)


def words(watch: Pair, runners: Pair) -> list[str]:
    """Three paragraphs: the loss on the watch, the absence of one among the runners, what would help."""
    lost = watch.plain_score - watch.private_score
    worse = runners.private_score / runners.plain_score - 1
    return [
        f"The watch loses. Without differential privacy the model names {watch.plain_score:.0%} of the exercises of "
        f"two people whom it never saw; with ε = {_epsilon(watch)} per person it names {watch.private_score:.0%} "
        f"({abs(lost) * 100:.0f} points {'fewer' if lost >= 0 else 'more'}; guessing gives {CHANCE:.0%}). The noise "
        f"must hide any one person completely, and there are only {watch.people} people to hide among. In one round "
        f"the noise of all parties together is {_times(noise_to_signal(watch.private))} as long as the longest step "
        f"that these people could take together. {_of_nodes(watch.private)}"
        f"{against_start(watch.private_start, watch.private_score)}",
        f"The runners lose next to nothing. At the much stricter ε = {_epsilon(runners)} the error on people who were "
        f"never trained on is {runners.private_score:.4g} against {runners.plain_score:.4g} s/km without privacy "
        f"({_apart(worse)}). The noise has the same purpose, but {runners.people:,} people stand against it: it is "
        f"{_times(noise_to_signal(runners.private))} as long as the step that they can take together. A person's "
        "share of the model shrinks with the number of people, while the noise that hides a person stays the same.",
        "So privacy of persons is dear for a handful of people and nearly free for thousands. With few people it "
        "becomes cheaper when fewer numbers are trained, when the algorithm provider starts from synthetic rows, and "
        "when the parties share one noise under masks instead of each adding its own, as the watch's task does here.",
    ]


def _of_nodes(manifest: Manifest) -> str:
    """What sharing the noise spared."""
    shared, own = noises(manifest), sum(1 for member in manifest.cohort if member.people)
    if shared >= own:
        return ""
    return (
        f"It would be {math.sqrt(own / shared):.2g} times that if each node had added all of the noise: here they "
        "share it, under masks that only come off the sum of all updates. "
    )


def against_start(start: float, score: float) -> str:
    """Whether the people's noised updates improved an accuracy or spoilt it."""
    before = (
        f"The model that it starts from has seen synthetic people only and names {start:.0%} on the same two people"
    )
    points = f"{abs(score - start) * 100:.1f} points"
    if score < start:
        return (
            f"{before}: in this run the private training ended {points} below its start, so the noise cost more than "
            "the people could teach, and the pre-trained model alone would have served them better."
        )
    return f"{before}: the private training ended {points} above its start."


def _apart(share: float) -> str:
    """A difference as a share, in words where a tenth of a percent would round to nothing."""
    return f"{share:+.1%}" if abs(share) >= 0.0005 else "less than 0.1% apart"


def _epsilon(pair: Pair) -> str:
    return f"{pair.private.privacy.epsilon:.4g}" if isinstance(pair.private.privacy, PersonTerms) else "∞"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 2 else f"{ratio:.2g} times"
