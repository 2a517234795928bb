"""The page of what was tried in the exchange beside what tasks can name: references, rotations, AdamW."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulations.benchmarks.exchange import large
from simulations.benchmarks.exchange.jobs import Found
from simulations.benchmarks.exchange.trials_learning import ADAMW, CHOSEN, FOLDS, LATE, ROUNDS, SGD, summary
from simulations.benchmarks.record import table

Table = Sequence[Mapping[str, Any]]


def page(head: str, trained: Found, costs: Found) -> str:
    """The Markdown document; `trained`: runs of `trials_learning`, `costs`: of `large`."""
    learning = summary([*trained.values()])
    updates = [{key: row[key] for key in row if key != "optimiser"} for row in learning if row["optimiser"] == SGD]
    coded = [row for row in updates if row["rate"] == CHOSEN[SGD]]
    optimisers = [row for row in learning if row["updates"] in {"fp32", "urq 0.1"}]
    return f"""# Trials around the exchange

{head}

What tasks cannot name, tried before it would become a term. Local training and codecs are those of nodes; stores and
contracts are left out. *watch*: 8 parties of one person, two others judge; *invented*: 64 people with skewed classes
in 16 parties. Both learn the 14,119 numbers of `exercise_recognition` in 2 local epochs a round; {ROUNDS} rounds,
at most {FOLDS} folds with other people held out in each, ± standard deviation between folds. Accuracy is the mean
of the last {LATE} rounds; "against fp32" compares within folds, with the same optimiser and rate. Differences of a
point are chance here.

## Rotations and references

"Error" is ‖x̂ - x‖² / ‖x‖², of the mean update and of one party's. Parties turn their updates by a rotation each, but
for the lines that say "one rotation for all". "References": DIANA (Mishchenko et al. 2019, Algorithm 1) with
the pace 1 / (1 + v), at which references settle soonest. "Half drawn": 8 of the 16 parties take part in each round,
with fp32 all.

{table([{key: row[key] for key in row if key != "rate"} for row in coded])}

**A rotation each wins.** Errors of an unbiased code average out over parties only if they are independent. Updates of
the first rounds are alike; turned by one rotation they are rounded alike, so that the errors of all parties add up. A
rotation drawn from nonce and party costs no byte and no time: the first mean is half as wrong, and later ones, when
parties pull apart, no more. In accuracy both are alike but for chance. Tasks draw it so (`federation.codecs.seeds`).

**References lose.** At few bits the pace is slow (0.09 at 0.1 bit) because each message is mostly noise, which the
reference keeps; meanwhile updates of several local steps from a moving model change from round to round and shrink.
The difference to the reference becomes longer than the update, and the error larger than without. At half a bit the
error is a tenth smaller, which no accuracy shows. They would also put a state of one model on each node, break where a
round is lost or a party is not drawn, and under privacy terms send what depends on earlier rounds' rows without
being counted. They do not become a term.

{_optimisers_and_size(optimisers, [line for kind in costs.values() for line in kind])}"""


def _optimisers_and_size(optimisers: Table, costs: Table) -> str:
    kept = ("people", "folds", "optimiser", "rate", "updates", "accuracy (%)", "against fp32 (points)")
    return f"""## AdamW at the nodes

Moments begin at zero in each round, since nodes keep no state; weight decay 0.01. Rates were compared in the first
fold only; the other folds take SGD with {CHOSEN[SGD]:g} and AdamW with {CHOSEN[ADAMW]:g}.

{table([{key: row[key] for key in kept} for row in optimisers])}

AdamW was to become a term if it gained more than a point on both sets of people. It gains none: the rate that is better
on invented people in the first fold is far worse on the watch's. At a tenth of a bit it loses much more there than SGD
does, probably because its steps do not shrink with the slopes, and the error of a code is a multiple of an update's
length.

## Ten million parameters

One thread, a process for each codec; seconds of the processor, medians of {large.TIMES}, of a transformer
with 10,117,560 parameters (a float32 model has 40.5 MB). Lanes of {large.BITS} bits for
{large.PARTIES} parties of whom none drops. Memory is the peak above what was held before, inputs included.

{table(costs)}
"""
