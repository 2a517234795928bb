"""The learning benchmark's figures as JSON and as a page."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simulations.benchmarks.record import commit, machine

COMMAND = "python -m simulations.benchmarks.learning"
DRAWN = ("private", "private_one_withdrew")


def write(folder: Path, figures: Mapping[str, Any], again: Sequence[str] = ()) -> None:
    """``learning.json`` with everything, ``learning.md`` to read; parts measured `again` have a commit of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    commits = {**figures.get("commits", {}), **dict.fromkeys(again, commit())} if again else {}
    whole = str(figures["commit"]).split(" (")[0] if again else commit()
    document = {**figures, "command": COMMAND, "machine": machine(), "commit": whole, "commits": commits}
    (folder / "learning.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "learning.md").write_text(page(document))


def page(document: Mapping[str, Any]) -> str:
    """The Markdown page."""
    parts = [
        "# How well it learns\n",
        f"`{document['command']}` on {document['machine']}, one thread, commit "
        f"{document['commit']}{_again(document['commits'])}. Every score is on people whose rows were not trained "
        "on.\n",
        _watch(document["watch"]),
        _private(document["watch-private"], document["terms"]["watch-private"]),
        _runners(document["runners"], document["terms"]["runners-private"]["privacy"]),
        _CHOICES,
    ]
    return "\n".join(parts)


def _again(commits: Mapping[str, str]) -> str:
    named = ", ".join(f"{part}: {own}" for part, own in commits.items())
    return f" ({named})" if named else ""


def _watch(folds: list[dict[str, Any]]) -> str:
    lines = [
        "## Exercises without differential privacy (`watch`)\n",
        "Accuracy over seven exercises; four parties with 3, 2, 2 and 1 people, and synthetic rows at the algorithm "
        "provider. Central: same model, same first weights, same number of epochs, all rows in one place. Seconds are "
        "wall time on a machine shared with other work; the same 12 rounds take 8.5 s of processor time.\n",
        "| held out | federated | central | seconds, federated |",
        "|---|---|---|---|",
    ]
    for fold in folds:
        who = " and ".join(str(person) for person in fold["held_out"])
        lines.append(f"| {who} | {fold['federated']:.3f} | {fold['central']:.3f} | {fold['seconds']:.1f} |")
    together, alone, seconds = (statistics.mean(f[key] for f in folds) for key in ("federated", "central", "seconds"))
    lines.append(f"| **mean** | **{together:.3f}** | **{alone:.3f}** | {seconds:.1f} |\n")
    return "\n".join(lines)


def _private(folds: list[dict[str, Any]], terms: Mapping[str, Any]) -> str:
    draws = len(folds[0]["private"])
    shared, own = terms["privacy"], terms["at_the_nodes"]
    lines = [
        "## Exercises at ε = 8 per person (`watch-private`)\n",
        f"{_words(shared)} Eight people train; four nodes and the algorithm provider share one noise under masks, of "
        "which one party may tell its share and one may drop out, so that σ, which is that of the whole sum, is "
        f"{shared['noise_multiplier'] / own['noise_multiplier']:.2f} times what ε asks of noise from one place. Here "
        "the same arithmetic runs without masks. Noise at nodes: each of the four nodes adds all of it, so that the "
        f"sum carries twice the noise of one, with the clip ({own['clip']:g}) and local steps (10) that suit it "
        f"better. Chance is 0.14. Mean ± standard deviation over {draws} noise draws. Seven: a person of "
        "the first party has withdrawn, as in the demo, and the public divisor still counts them. Below: how many of "
        f"the {2 * draws} draws of shared noise ended below the synthetic rows' model, where the training starts.\n",
        "| held out | synthetic rows only | noise at nodes | shared noise | shared, seven | below | no noise |",
        "|---|---|---|---|---|---|---|",
        *(_private_line(fold) for fold in folds),
    ]
    keys = ("synthetic_only", "private_noise_at_nodes", *DRAWN, "clipped_without_noise")
    start, at_nodes, all_there, seven, quiet = (statistics.mean(_mean(fold[key]) for fold in folds) for key in keys)
    below = sum(_below(fold) for fold in folds)
    of = f"{below} of {2 * draws * len(folds)}"
    means = f"{start:.3f} | {at_nodes:.3f} | **{all_there:.3f}** | {seven:.3f} | {of} | {quiet:.3f}"
    lines.append(f"| **mean** | {means} |\n")
    return "\n".join(lines)


def _private_line(fold: Mapping[str, Any]) -> str:
    who = " and ".join(str(person) for person in fold["held_out"])
    shown = ("private_noise_at_nodes", *DRAWN)
    found = [f"{_mean(fold[key]):.3f} ± {statistics.stdev(fold[key]):.3f}" for key in shown]
    start, quiet = fold["synthetic_only"], fold["clipped_without_noise"]
    return f"| {who} | {start:.3f} | {' | '.join(found)} | {_below(fold)} | {quiet:.3f} |"


def _below(fold: Mapping[str, Any]) -> int:
    """How many draws ended below the start."""
    return sum(value < fold["synthetic_only"] for key in DRAWN for value in fold[key])


def _mean(value: Any) -> float:
    return statistics.mean(value) if isinstance(value, list) else float(value)


def _runners(found: Mapping[str, Any], terms: Mapping[str, Any]) -> str:
    private = statistics.mean(found["private"])
    return "\n".join(
        [
            "## Pace over ten miles (`runners`, `runners-private`)\n",
            f"{_words(terms)} {sum(found['people']):,} runners at four parties by home state; "
            f"{found['held_out_people']} runners of all other states judge. Mean absolute error, s/km.\n",
            "| model | error | against federated without DP |",
            "|---|---|---|",
            *(
                f"| {name} | {value:.2f} | {value / found['federated'] - 1:+.2%} |"
                for name, value in (
                    ("synthetic rows only", found["first_weights"]),
                    ("central, no DP", found["central"]),
                    ("federated, no DP", found["federated"]),
                    ("federated, terms of ε = 1 but no noise", found["private_without_noise"]),
                    (f"federated, ε = 1, mean of {len(found['private'])} noise draws", private),
                    ("the worst of these draws", max(found["private"])),
                )
            ),
            "",
        ]
    )


def _words(terms: Mapping[str, Any]) -> str:
    return (
        f"Unit: person, add or remove one; ε = {terms['epsilon']:g} at δ = {terms['delta']:g} by RDP, "
        f"q = {terms['sampling_rate']:g}, σ = {terms['noise_multiplier']:g}, C = {terms['clip']:g}."
    )


_CHOICES = """## What was chosen, and on whom

- The settings in `simulations/tasks/*.toml` were found on the watch data's people 1 to 8 (split by person, two held out
  at a time) and on runners of the parties' own states. People 9 and 10 and all other states were scored only after
  that, and nothing was changed for their sake. The folds that hold out people 1 to 8 share people with that search;
  the last fold does not. The schema's plausible ranges were set with the ranges of all ten people in view.
- Things to hold against these figures: that the start delay helps was seen in a cross-validation over all states, and
  the other states were scored twice. Rows per person and pre-training epochs of `watch-private` were last changed, for
  speed, after the folds of people 1 to 6 had been seen. People 9 and 10 were scored under former settings of
  `watch-private` too; the present ones were looked for after demos had shown scores of theirs that fell after round 1
  (which was taken for the start: the start itself is lower, and is not evaluated in a run).
- The present terms of `watch-private` (6 rounds, 20 local steps of 0.25, clip 0.6, shared noise) were chosen among 216
  by a faster simulation of the same arithmetic on people 1 to 8, holding out the pairs of the first four folds, four
  draws each. Over all 28 pairs, six draws each, they ended at 0.727, with a person missing at 0.702; the former terms
  (10 local steps, clip 0.25) at 0.671 and 0.659 with all of the noise at each node, and at 0.694 and 0.683 with the
  noise shared. So about two fifths of the gain is the smaller noise itself, the rest is the longer step that it
  allows. Noise at the nodes was given 140 other terms, of which the best gained 0.03 on the four folds and nothing over
  the 28 pairs. They were committed before people 9 and 10 were scored with them.
- One draw says little: its standard deviation is 0.03 to 0.1, so a single run may end below its start.
- That search cost privacy which no ledger counts: it is a search on public data, by the project's authors. A real
  federation would spend budget on it, or take these settings as they are.
- `invent` draws arms from the geometry of textbook descriptions and from the axes that watch makers publish. Its author
  compared it with people 1 to 8 of this data (posture, spread, confusions) while writing it, and then gave internal
  and external rotation the same movement, because a textbook does not say how they would differ on a wrist.
- The private task trains a linear head on 15 statistics that are fixed formulas, so that noise hits 112 numbers instead
  of 14,000, and starts from synthetic people, which costs nobody anything.
"""
