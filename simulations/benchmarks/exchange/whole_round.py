"""The coordinator's memory in one whole round: the question, the answers, the next model, the commit.

In a process of its own, over the code of a deployed round; only the link is another one: answers come in a file, one
after the other.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from federation import codecs, wire
from federation.ids import LedgerHead, PartyId, TaskDigest
from federation.link import Reply
from federation.manifest import Manifest, Member
from federation.messages import UpdateAnswer
from privacy.noise import os_source
from server.coordinator import Coordinator, Model, Run
from server.rounds import collect, commit
from server.settings import ServerFolder
from server.store import Invited, ServerStore, open_url
from simulations.benchmarks.exchange import aggregation
from simulations.benchmarks.exchange.jobs import Job
from simulations.specimens import identity

PARTIES = 4
DOWN = {"raw32": 0.0, "ecq": 0.5}
WEIGHT = "head.weight"
SECRET, EXPIRES = "the coordinator of the benchmark", timedelta(days=1)


def jobs() -> dict[str, Job]:
    """What is measured, by name."""
    return {f"whole round, {down}": partial(measured, down) for down in DOWN}


def measured(down: str) -> dict[str, Any]:
    """Peaks above the libraries, in float32 models of 10M values, of the two halves of a round."""
    vector = np.random.default_rng(5).standard_normal(aggregation.SIZE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "simulations.benchmarks.exchange.whole_round", down, folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdin is not None  # noqa: S101 - narrows the type; it is a pipe
            assert process.stdout is not None  # noqa: S101 - as above
            while (said := json.loads(process.stdout.readline())).get("party"):
                (Path(folder) / "answer").write_bytes(_answer(said, vector[: said["size"]]))
                process.stdin.write("here\n")
    model = 4 * aggregation.SIZE
    return {"models as": down} | {stage: round(peak / model, 1) for stage, peak in said["peaks"].items()}


def _answer(asked: Mapping[str, Any], vector: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    header = UpdateAnswer(
        task=TaskDigest(asked["task"]),
        round=1,
        attempt=0,
        nonce=asked["nonce"],
        party=PartyId(asked["party"]),
        ledger_head=LedgerHead(aggregation.ZEROS),
        weight=0,
        snapshot=aggregation.ZEROS,
    )
    return wire.pack(header, codecs.find("raw32").encode(vector, 0), identity(asked["party"]))


@dataclass(frozen=True)
class FromFile:
    """A link whose answers another process writes into a file when it is told to."""

    file: Path
    size: int

    def reachable(self) -> frozenset[PartyId]:
        """Everybody."""
        return frozenset(member.party for member in aggregation.crowd(PARTIES))

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        """Each answer, as soon as the one before is done with."""
        for party, blob in requests.items():
            asked, _ = wire.read_request(blob, identity(SECRET).public_key, len(blob))
            words = {"party": party, "task": asked.task, "nonce": asked.nonce, "size": self.size}
            print(json.dumps(words), flush=True)
            sys.stdin.readline()
            yield Reply(party, self.file.read_bytes())


def round_of(size: int, down: str, folder: Path) -> dict[str, int]:
    """The peak of resident memory in each half of a round over `size` values."""
    folder.mkdir()
    store = open_url(f"sqlite:///{folder}/coordinator.sqlite")
    manifest = _task(down)
    for member in manifest.cohort:
        _join(store, member)
    store.add_task(manifest)
    coordinator = Coordinator(ServerFolder(folder), identity(SECRET), store, store.clock, lambda _: None, os_source())
    run, model = Run(manifest, manifest.digest(), aggregation.PACE), Model(0, {WEIGHT: torch.ones(size)})
    store.commit_initial(run.digest, b"the first weights")
    _forget_peak()
    collected = collect(coordinator, FromFile(folder.parent / "answer", size), run, model, manifest.cohort)
    peaks = {"question, answers, sum": _peak_bytes()}
    _forget_peak()
    assert collected.total.parties == tuple(member.party for member in manifest.cohort)  # noqa: S101 - or it tells nothing
    commit(coordinator, run, model, collected, collected.total)  # type: ignore[arg-type]  # in clear, so a Readable
    peaks["next model, commit"] = _peak_bytes()
    store.close()
    return peaks


def _task(down: str) -> Manifest:
    base = aggregation.task(PARTIES)
    exchange = base.exchange.model_copy(update={"down": down, "down_bits": DOWN[down]})
    return base.model_copy(update={"exchange": exchange})


def _join(store: ServerStore, member: Member) -> None:
    now, key = store.clock(), identity(member.party).public_key.hex()
    store.invite(Invited(member.party, member.name, member.role, key, now, now + EXPIRES))
    store.join(key, key, f"ssh {key}", int(key[:12], 16))


def _forget_peak() -> None:
    """From now on the peak is that of what comes."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, place = sys.argv[1], Path(sys.argv[2])
    round_of(30_000, name, place / "tiny")
    libraries = int(psutil.Process().memory_info().rss)
    found = round_of(aggregation.SIZE, name, place / "large")
    print(json.dumps({"peaks": {stage: peak - libraries for stage, peak in found.items()}}))
