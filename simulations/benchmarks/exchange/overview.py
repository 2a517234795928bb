"""The page of the exchange: what each part found in short, beside what was promised."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from simulations.benchmarks.exchange import large, learning, secagg
from simulations.benchmarks.exchange.codecs import LONG
from simulations.benchmarks.exchange.parts import AGGREGATION, CODECS, LARGE, LEARNING, SECAGG, TRAFFIC, TRIALS
from simulations.benchmarks.exchange.told import Told
from simulations.benchmarks.record import table

ACCURACY, ERRORS, SPEEDS = "exchange_accuracy.png", "exchange_errors.png", "exchange_speeds.png"
SECURE, TRAFFIC_PLOT = "exchange_secagg.png", "exchange_bytes.png"
RULER = f"""\
What passes between a SuperNode and the SuperLink of Flower 1.41, counted by the same functions for its own messages and
for ours: `FedAvg.configure_train` makes the question (an `ArrayRecord` of the state dict, a `ConfigRecord`), the answer
has an `ArrayRecord` and a `MetricRecord` of two numbers; `get_object_tree` and `message_to_proto` of the message
without its content make `PushMessagesRequest` (up) and `PullMessagesResponse` (down), and `deflate` of every object
of `get_all_nested_objects` goes into a `PushObjectRequest` or `PullObjectResponse`. Headers of HTTP and TLS and the
small requests for objects are left out on both sides. Our messages are signed, with the headers of a task of
{large.PARTIES} parties; those of secure rounds are two questions with mask keys and sealed shares.
"""
Table = Sequence[Mapping[str, Any]]


def page(told: Mapping[str, Told]) -> str:
    """The Markdown document."""
    sections = (_accuracy, _errors, _speeds, _secure, _traffic, _folding, _trials)
    return "\n".join(line for section in (_opening, *sections) for line in section(told)) + "\n"


def _opening(told: Mapping[str, Told]) -> Iterator[str]:
    yield "# The exchange\n"
    yield "`paceline bench exchange` measures what is missing in `exchange.jsonl`, a line for each measurement, and"
    yield "writes this page and those that it names. `--only PART` measures a part alone, `--again` anew.\n"
    yield table(
        [
            {
                "part": f"`{one.part}`",
                "measured": f"{len(one.lines)} of {one.jobs}",
                "on": one.places if one.lines else None,
            }
            for one in told.values()
        ]
    )


def _accuracy(told: Mapping[str, Told]) -> Iterator[str]:
    found = learning.points([*told[LEARNING.name].found.values()])
    yield "\n## Accuracy against bits\n"
    yield f"{told[LEARNING.name].head}\n"
    yield from _figure("Accuracy against bits per value", ACCURACY, bool(found))
    yield "Real people with a watch, real walkers, and invented people in sixteen parties, on people held out; bits are"
    yield "those of a message as it was sent, headers and keys included. Bars, and ± in the table: standard error"
    yield "of the mean difference to fp32 in the same runs. Bits of both ways are their mean. Accuracy over"
    yield "rounds, ratios and what the people are: [learning with fewer bits](exchange_learning.md).\n"
    yield table(
        [
            {
                "people": point.people,
                "exchange": point.case.name,
                "bits up": f"{point.up:.3f}",
                "bits down": f"{point.down:.3f}",
                "accuracy (%)": f"{mean(point.late):.1f}",
                "against fp32 (points)": point.told(point.lost),
                "promised for ≤ 0.5 points": point.case.goal or None,
            }
            for point in found
        ]
    )


def _errors(told: Mapping[str, Told]) -> Iterator[str]:
    part = told[CODECS.name]
    yield "\n## Error against bits\n"
    yield f"{part.head}\n"
    yield from _figure("Error against bits per value, with the theoretical limits", ERRORS, part.complete)
    yield '"Error" is ‖x̂ − x‖² / ‖x‖², the normalised mean square error. An unbiased code of Gaussian values needs'
    yield '½ log₂(1 + 1/error) bits per value; "above" is what is spent beyond that, and the target is that of both'
    yield "vectors. ecq is biased: it carries what receivers lack. Sums of lanes, and the bias of all codecs, are on"
    yield "the page of [codecs](exchange_codecs.md).\n"
    yield table(compared(part.found.get("error", ())))


def compared(rows: Table) -> list[dict[str, Any]]:
    """A line for each codec and budget, with the figures of all vectors side by side."""
    lines: dict[tuple[str, float | None], dict[str, Any]] = {}
    for row in rows:
        first = {"codec": row["codec"], "bits asked": row["budget"]}
        line = lines.setdefault((row["codec"], row["budget"]), first)
        of = f"{row['vectors']}: " if row["vectors"] == rows[0]["vectors"] else "watch: "
        line |= {f"{of}bits": row["bits spent"], f"{of}error": row["error"], f"{of}above": row["gap, bits"]}
    targets = {(row["codec"], row["budget"]): row["target"] for row in rows}
    return [line | {"target": targets[key]} for key, line in lines.items()]


def _speeds(told: Mapping[str, Told]) -> Iterator[str]:
    part = told[CODECS.name]
    yield "\n## Speed of codecs\n"
    yield f"{part.head}\n"
    yield from _figure("Speed of codecs against bits per value", SPEEDS, part.complete)
    yield f"{LONG:,} values, the best of seven by the processor's clock: the seconds of all threads count. Targets are"
    yield "those of encoding / decoding.\n"
    yield table(part.found.get("speed", ()))


def _secure(told: Mapping[str, Told]) -> Iterator[str]:
    part = told[SECAGG.name]
    yield "\n## Secure aggregation beside Flower's SecAgg+\n"
    yield f"{part.head}\n"
    yield from _figure("Time of secure aggregation against the number of parties", SECURE, part.complete)
    yield "Flower's functions run in the same process, in the order of its modifier and workflow. One thread,"
    yield "milliseconds of the processor; messages and serialisation are left out on both sides; every sum of ours was"
    yield 'compared with that in clear. "Most drop": as many as may. What is called, all steps, and what one who drops'
    yield "costs are on the page of [secure aggregation](secagg.md).\n"
    yield table(beside(secagg.tables(part.found)))


def beside(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """A line for each system, number of parties and size."""
    lines = []
    for party, sent in zip(tables["party"], tables["bytes"], strict=True):
        of = {key: party[key] for key in ("parties", "values", "system")}
        ours = [row for row in tables["coordinator"] if all(row[key] == of[key] for key in of)]
        lines.append(
            of
            | {"mask, ms": party["mask, ms"], "target": party["target"]}
            | {"coordinator, all answer, ms": ours[0]["both, ms"], "its target": ours[0]["target"]}
            | {"most drop, ms": ours[-1]["both, ms"], "bytes sent / lanes": sent["ratio"]}
        )
    return lines


def _traffic(told: Mapping[str, Told]) -> Iterator[str]:
    part = told[TRAFFIC.name]
    yield "\n## Bytes per party and round, both ways\n"
    yield f"{part.head}\n"
    yield from _figure(
        "Bytes of a party and round beside an uncompressed FedAvg of Flower", TRAFFIC_PLOT, part.complete
    )
    yield RULER
    yield table([line for lines in part.found.values() for line in lines])


def _folding(told: Mapping[str, Told]) -> Iterator[str]:
    part = told[AGGREGATION.name]
    yield "\n## Answers folded in as they arrive\n"
    yield f"{part.head}\n"
    yield "Float32 answers of 10,000,000 values on one core. What the sum is kept in, memory against the number of"
    yield "parties, and rules that compare updates are on the page of [aggregation](aggregation.md).\n"
    yield table(part.found.get("speed", ()))


def _trials(told: Mapping[str, Told]) -> Iterator[str]:
    yield "\n## What was tried besides\n"
    yield f"{told[TRIALS.name].head}\n"
    yield f"{told[LARGE.name].head}\n"
    yield "References that both ends agree on, a rotation for all or for each party, AdamW at the nodes, and what ten"
    yield "million parameters take are on the page of [trials](exchange_trials.md)."


def _figure(words: str, file: str, drawn: bool) -> Iterator[str]:
    if drawn:
        yield f"![{words}]({file})\n"
