"""Answers folded in as they arrive: GB/s of float32 on one core, and the coordinator's memory against the parties.

Memory is that of a process of its own, which reads signed answers one after the other, as the coordinator does from
its link.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from federation import codecs, wire
from federation.ids import Fingerprint, LedgerHead, PartyId, TaskDigest
from federation.manifest import Manifest, Member
from federation.messages import TrainRequest, UpdateAnswer
from federation.roles import Role
from federation.terms import TrainingTerms
from federation.workloads import find
from server import robust
from server.aggregation import Total, advance, check, fold, nothing
from server.coordinator import Model, Run
from simulations.benchmarks.exchange.jobs import Found, Job
from simulations.benchmarks.record import table, timed
from simulations.specimens import ISSUED, identity, manifest

SIZE = 10_000_000
PARTIES = (2, 8, 32, 128)
COMPARED = (5, 10, 20)
LEAST_GB_S = 3.0
KEY = identity("a party of the benchmark")
PACE = find("running_pace")
MEGA = 1e6
ZEROS = "0" * 64


def jobs() -> dict[str, Job]:
    """What is measured of aggregation, by name."""
    memories: dict[str, Job] = {f"memory, {parties} parties": partial(memory, parties) for parties in PARTIES}
    return {"speed": speeds, "accuracy": accuracies, **memories, "rules": rules}


def speeds() -> list[dict[str, Any]]:
    """GB of float32 per second and core, medians of nine."""
    vector = np.random.default_rng(1).standard_normal(SIZE).astype(np.float32)
    codec, total, party = codecs.find("raw32"), np.zeros(SIZE), PartyId("party-0")
    data, blob, terms = codec.encode(vector, 0), answer(vector, party), task(2)
    run = Run(terms, terms.digest(), PACE)

    def whole() -> None:
        fold(Total(total), check(blob, KEY.public_key, party, question(), (run, SIZE)))

    def decoded() -> None:
        came = codec.decode(data, SIZE, 0)
        robust.cut(came, 1e9)
        robust.add(total, came, 3.0)

    def at_once() -> None:
        np.add(total, vector * np.float64(3.0), out=total)

    actions: dict[str, tuple[Callable[[], object], float | None]] = {
        "decode: every value finite": (lambda: codec.decode(data, SIZE, 0), None),
        "length, against the contract's limit": (lambda: robust.length(vector), None),
        "add with a weight, in float64, block by block": (lambda: robust.add(total, vector, 3.0), None),
        "the same without blocks": (at_once, None),
        "decode, length, add": (decoded, LEAST_GB_S),
        "signature and SHA-256 of the message as well": (whole, None),
    }
    return [
        {"step": name, "GB/s": round(vector.nbytes / 1e9 / _median_s(action), 2), "target": target}
        for name, (action, target) in actions.items()
    ]


def _median_s(action: Callable[[], object]) -> float:
    """Seconds of the processor: other work on the machine counts only as far as it empties the caches."""
    return statistics.median(timed(lambda _: action(), 9).processor_s)


def accuracies() -> list[dict[str, Any]]:
    """Error of a sum of updates that mostly cancel, and what another order of arrival changes in it."""
    random = np.random.default_rng(2)
    updates = [random.standard_t(3, 200_000).astype(np.float32) for _ in range(PARTIES[-1])]
    weights = [float(rows) for rows in random.integers(1, 2000, len(updates))]
    exact = sum((np.longdouble(weight) * update for weight, update in zip(weights, updates, strict=True)))
    rows = []
    for name, adding in (("float64", _in_float64), ("float32", _in_float32), ("float32, compensated", _compensated)):
        found, again = adding(updates, weights), adding(updates[::-1], weights[::-1])
        scale = float(np.linalg.norm(np.asarray(exact, np.float64)))
        rows.append(
            {
                "sum in": name,
                "bytes per value": {"float32": 4}.get(name, 8),
                "error": float(f"{float(np.linalg.norm(np.asarray(found - exact, np.float64))) / scale:.1g}"),
                "means that arrival changes, as float32": float(
                    f"{np.mean((found / 1e5).astype(np.float32) != (again / 1e5).astype(np.float32)):.2g}"
                ),
            }
        )
    return rows


def _in_float64(updates: Sequence[robust.Rows], weights: Sequence[float]) -> robust.Vector64:
    total = np.zeros(len(updates[0]))
    for weight, update in zip(weights, updates, strict=True):
        robust.add(total, update, weight)
    return total


def _in_float32(updates: Sequence[robust.Rows], weights: Sequence[float]) -> robust.Vector64:
    total = np.zeros(len(updates[0]), np.float32)
    for weight, update in zip(weights, updates, strict=True):
        total += np.float32(weight) * update
    return total.astype(np.float64)


def _compensated(updates: Sequence[robust.Rows], weights: Sequence[float]) -> robust.Vector64:
    """Kahan's sum, which keeps what was rounded off in a second float32."""
    total, lost = np.zeros(len(updates[0]), np.float32), np.zeros(len(updates[0]), np.float32)
    for weight, update in zip(weights, updates, strict=True):
        term = np.float32(weight) * update - lost
        after = total + term
        lost, total = (after - total) - term, after
    return total.astype(np.float64)


def memory(parties: int) -> dict[str, Any]:
    """The most memory that a coordinator needs above its libraries, for answers of 10M values from so many parties."""
    vector = np.random.default_rng(3).standard_normal(SIZE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        command = [sys.executable, "-m", "simulations.benchmarks.exchange.aggregation", str(parties), str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdin is not None  # noqa: S101 - narrows the type; it is a pipe
            assert process.stdout is not None  # noqa: S101 - as above
            for member in crowd(parties):
                process.stdout.readline()  # it asks for the next answer
                file.write_bytes(answer(vector, member.party))
                process.stdin.write("here\n")
            peak = int(process.stdout.readline())
    return {
        "parties": parties,
        "peak above the libraries, MB": round(peak / MEGA),
        "in float32 models": round(peak / (4 * SIZE), 2),
        "all answers at once, MB": round(4 * SIZE * parties / MEGA),
    }


def coordinator(parties: int, file: Path) -> int:
    """The peak in bytes of a round whose answers come in `file`, one after the other, above that of a tiny round."""

    def arriving() -> Iterator[bytes]:
        for _ in range(parties):
            print("next", flush=True)
            sys.stdin.readline()
            yield file.read_bytes()

    _round(iter([answer(np.ones(3, np.float32), PartyId("party-0"))]), 1, 3)
    libraries = psutil.Process().memory_info().rss
    _round(arriving(), parties, SIZE)
    return _peak_bytes() - int(libraries)


def _peak_bytes() -> int:
    """This program's own peak; getrusage's would be at least that of the process that started it."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _round(blobs: Iterator[bytes], parties: int, size: int) -> None:
    """Check and fold answers of `size` values as they arrive, then move the model."""
    terms, asked, phase = task(parties), question(), PACE.phases[0]
    run, model = Run(terms, terms.digest(), PACE), Model(0, {"w": torch.ones(size)})
    total = nothing(terms, phase, size, parties)
    for member in terms.cohort:
        total = fold(total, check(next(blobs), KEY.public_key, member.party, asked, (run, size)))
    assert isinstance(total, Total)  # noqa: S101 - narrows the type; the task names a mean
    advance(model, ["w"], total, terms, phase)


def rules() -> list[dict[str, Any]]:
    """Seconds of each rule for a million values; its memory is all updates."""
    rows = []
    for parties in COMPARED:
        updates = np.random.default_rng(4).standard_normal((parties, SIZE // 10)).astype(np.float32)
        seconds = {}
        for name, rule in robust.RULES.items():
            start = time.process_time()
            rule(updates, (parties - 3) // 2)
            seconds[f"{name}, s"] = round(time.process_time() - start, 3)
        rows.append({"parties": parties, **seconds, "updates, MB": round(updates.nbytes / MEGA)})
    return rows


def crowd(parties: int) -> tuple[Member, ...]:
    """Parties of a hundred people each."""
    return tuple(
        Member(
            party=PartyId(f"party-{number}"),
            name=f"Party {number}",
            role=Role.DATA_PROVIDER,
            fingerprint=Fingerprint(f"{number:064x}"),
            people=100,
        )
        for number in range(parties)
    )


def task(parties: int) -> Manifest:
    """A contract with privacy terms, whose updates travel as they are."""
    base = manifest()
    changes = {
        "cohort": crowd(parties),
        "training": TrainingTerms(learning_rate=0.1),
        "exchange": base.exchange.model_copy(update={"up": "raw32", "up_bits": 0.0}),
    }
    return base.model_copy(update=changes)


def question() -> TrainRequest:
    """What all answers are to."""
    return TrainRequest(
        task=TaskDigest(ZEROS),
        round=1,
        attempt=0,
        nonce=ZEROS[:32],
        issued_at=ISSUED,
        expires_at=ISSUED,
        model=ZEROS,
        ledger_heads={},
        phase=PACE.phases[0].name,
    )


def answer(vector: robust.Rows, party: PartyId) -> bytes:
    """`vector` as `party` would send it; all parties of this benchmark have one key."""
    header = UpdateAnswer(
        task=TaskDigest(ZEROS),
        round=1,
        attempt=0,
        nonce=ZEROS[:32],
        party=party,
        ledger_head=LedgerHead(ZEROS),
        weight=0,
        snapshot=ZEROS,
    )
    return wire.pack(header, codecs.find("raw32").encode(vector, 0), KEY)


def page(head: str, found: Found) -> str:
    """The Markdown document."""
    return f"""# Aggregation

{head}
Updates of {SIZE:,} values; a float32 model of that size has {4 * SIZE / MEGA:.0f} MB.

## Speed

On one core, by the processor's clock, from memory: no answer was in a cache before.

{table(found.get("speed", ()))}

## What the sum is kept in

{PARTIES[-1]} updates that mostly cancel, with weights as different as numbers of rows are; errors against a sum in 80
bits. The last column is the share of coordinates that come out different if the same answers arrive in the opposite
order: in float64 none, so that engines and restarts give the same weights. That is why the sum is kept in float64.

{table(found.get("accuracy", ()))}

{_memory_section(found)}
## Rules that compare updates

`aggregation = "median"` and the others keep all updates of a round; seconds for {SIZE // 10:,} values.

{table(found.get("rules", ()))}
"""


def _memory_section(found: Found) -> str:
    memories = [line for name, line in found.items() if name.startswith("memory")]
    rounds = [line for name, line in found.items() if name.startswith("whole round")]
    return f"""## Memory

Peak of resident memory above what Python and its libraries take, of a process that checks and folds one answer after
the other and then moves the model: the model, its sum in float64 (two float32 models long), and one message, whose
payload is read where it lies. The next model, later, takes the place of the message.

{table(memories)}

### A whole round

The same in the code of a deployed round of a few parties, in float32 models. Beside model, sum and message there is the
question: a whole model, or its difference to the view that nodes share, which is kept beside the model. At the end the
next model and its bytes are held as they are stored, while the sum is still there. Under `adam` and `yogi` moments come
on top.

{table(rounds)}
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(coordinator(int(sys.argv[1]), Path(sys.argv[2])))
