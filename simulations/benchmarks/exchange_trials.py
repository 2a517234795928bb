"""What was tried in the exchange beside what tasks can name: references, rotations, AdamW, ten million parameters.

Run: ``OMP_NUM_THREADS=1 python -m simulations.benchmarks.exchange_trials`` (fifteen minutes). Runs that
``docs/benchmarks/exchange_trials.jsonl`` holds are not made again. Writes that file and ``exchange_trials.md``.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from federation import flower
from simulations.benchmarks import exchange_bytes, exchange_large, exchange_trials_learning
from simulations.benchmarks.exchange_trials_learning import ADAMW, CHOSEN, FOLDS, LATE, ROUNDS, SGD
from simulations.benchmarks.record import commit, machine, table

MODULE = "simulations.benchmarks.exchange_trials"
COMMAND = f"OMP_NUM_THREADS=1 python -m {MODULE}"
NAME = "exchange_trials"
Table = Sequence[Mapping[str, Any]]


def main(out: Path) -> None:
    """Run what is missing, and write the documents."""
    out.mkdir(parents=True, exist_ok=True)
    rows = exchange_trials_learning.collect(out / f"{NAME}.jsonl")
    about = {"command": COMMAND, "machine": machine(), "commit": commit()}
    measured = {
        "learning": exchange_trials_learning.summary(rows),
        "costs": exchange_large.costs(MODULE),
        "bytes": exchange_bytes.sizes(),
    }
    (out / f"{NAME}.json").write_text(json.dumps({**about, **measured}, indent=2) + "\n", encoding="utf-8")
    (out / f"{NAME}.md").write_text(page(about, measured), encoding="utf-8")


def page(about: Mapping[str, str], measured: Mapping[str, Table]) -> str:
    """The Markdown document."""
    learning = measured["learning"]
    updates = [{key: row[key] for key in row if key != "optimiser"} for row in learning if row["optimiser"] == SGD]
    coded = [row for row in updates if row["rate"] == CHOSEN[SGD]]
    optimisers = [row for row in learning if row["updates"] in {"fp32", "urq 0.1"}]
    return f"""# Trials around the exchange

`{about["command"]}` on {about["machine"]}, commit {about["commit"]}.

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

{_optimisers_and_size(measured, optimisers)}"""


def _optimisers_and_size(measured: Mapping[str, Table], optimisers: Table) -> str:
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

One thread, a process for each codec; seconds of the processor, medians of {exchange_large.TIMES}, of a transformer
with 10,117,560 parameters (a float32 model has 40.5 MB). Lanes of {exchange_large.BITS} bits for
{exchange_large.PARTIES} parties of whom none drops. Memory is the peak above what was held before, inputs included.

{table(measured["costs"])}

## Bytes per party and round, both ways

What passes between a SuperNode and the SuperLink of Flower 1.41, counted by the same functions for its own messages
and for ours: `FedAvg.configure_train` makes the question (an `ArrayRecord` of the state dict, a `ConfigRecord`), the
answer has an `ArrayRecord` and a `MetricRecord` of two numbers; `get_object_tree` and `message_to_proto` of the message
without its content make `PushMessagesRequest` (up) and `PullMessagesResponse` (down), and `deflate` of every object
of `get_all_nested_objects` goes into a `PushObjectRequest` or `PullObjectResponse`. Headers of HTTP and TLS and the
small requests for objects are left out on both sides. Our messages are signed, with the headers of a task of
{exchange_large.PARTIES} parties; those of secure rounds are two questions with mask keys and sealed shares.

{table(measured["bytes"])}

Carrying one of our messages costs 1.1 KB down and 1.9 KB up in Flower's frames. With our header and signature an
update of few bits has 2.4 KB beside its payload, as much as 190,000 parameters take at a tenth of a bit.
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    flower.configure_logs()
    if sys.argv[1:2] and sys.argv[1] in exchange_large.STEPS:
        print(json.dumps(exchange_large.measured(sys.argv[1])))
    else:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/benchmarks"))
