"""``python -m simulations.chaos --kills 60``: see the package."""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from federation.errors import PacelineError
from simulations.benchmarks.record import commit, machine
from simulations.chaos.stage import KINDS, TASK, Stage, found, victims
from simulations.chaos.verdict import Committed, Verdict, committed, judge
from simulations.shell import Shell

RECOVERY_S = 240.0
ROUNDS = 5000


@dataclass(frozen=True)
class Kill:
    """One kill: what, when (seconds into a pause), after which round, and how long until the next commit."""

    kind: str
    pause_s: float
    after_round: int
    recovered_s: float


def main() -> int:
    """Torment a federation, judge it, write the result; exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m simulations.chaos")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for chaos.json and chaos.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paceline-chaos-") as folder:
        kills, verdict = torment(Path(folder).resolve(), given.kills, random.Random(given.seed))  # noqa: S311
    if given.out:
        write(given.out, given.kills, given.seed, kills, verdict)
    print(summary(kills, verdict))
    return 0 if verdict.clean else 1


def torment(path: Path, count: int, dice: random.Random) -> tuple[list[Kill], Verdict]:
    """`count` kills over all kinds in random order at random instants, each followed by recovery; then the verdict."""
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    dice.shuffle(kinds)
    kills: list[Kill] = []
    seen: list[Committed] = []
    with Shell(path / "logs") as shell:
        stage = found(path, shell, ROUNDS)
        _wait_for_round(stage, 1)
        for kind in kinds:
            pause = dice.uniform(0.0, 3.0)
            time.sleep(pause)
            before = committed(stage.coordinator)
            _kill(stage, kind, dice)
            recovered = _recover(stage, kind, before.last)
            seen.append(committed(stage.coordinator))
            kills.append(Kill(kind, round(pause, 2), before.last, round(recovered, 1)))
            print(
                f"{len(kills):3} {kind:18} after round {before.last:4}: next commit in {recovered:5.1f} s", flush=True
            )
    return kills, judge(path, seen)


def _kill(stage: Stage, kind: str, dice: random.Random) -> None:
    """End one process of this kind with SIGKILL; it may take a moment until there is one."""
    deadline = time.monotonic() + RECOVERY_S
    while time.monotonic() < deadline:
        alive = victims(stage, kind)
        if alive:
            dice.choice(alive).kill()
            return
        time.sleep(0.2)
    raise PacelineError(f"no process of kind {kind} is running; read the logs in {stage.path}")


def _recover(stage: Stage, kind: str, last: int) -> float:
    """What an operator's service manager does: start supervisors again, resume the task; until the next commit."""
    started = time.monotonic()
    while time.monotonic() - started < RECOVERY_S:
        stage.restart_dead()
        if committed(stage.coordinator).last > last:
            return time.monotonic() - started
        _resume(stage)
        time.sleep(0.5)
    raise PacelineError(f"no round was committed within {RECOVERY_S:g} s after {kind} was killed")


def _resume(stage: Stage) -> None:
    """`task resume`; it refuses while the task is running, which is fine."""
    stage.shell.attempt("task", "resume", TASK, "--dir", stage.coordinator)


def _wait_for_round(stage: Stage, number: int) -> None:
    deadline = time.monotonic() + RECOVERY_S
    while committed(stage.coordinator).last < number:
        if time.monotonic() > deadline:
            raise PacelineError(f"round {number} was not committed within {RECOVERY_S:g} s; see {stage.path / 'logs'}")
        time.sleep(0.2)


def summary(kills: list[Kill], verdict: Verdict) -> str:
    """The result in a few lines."""
    counts = f"{len(verdict.lost)} lost committed rounds, {len(verdict.doubled)} rounds applied twice"
    lines = [
        f"{len(kills)} kill -9: {counts}, {len(verdict.uncharged)} uncharged trainings",
        f"{verdict.charged} reservations checked, {verdict.recomputed} rounds recomputed from the nodes' answers",
    ]
    return "\n".join(lines + verdict.lost + verdict.doubled + verdict.uncharged)


def write(out: Path, count: int, seed: int, kills: list[Kill], verdict: Verdict) -> None:
    """chaos.json with every kill, and chaos.md with a line per kind."""
    out.mkdir(parents=True, exist_ok=True)
    command = f"python -m simulations.chaos --kills {count} --seed {seed}"
    raw = {"command": command, "machine": machine(), "commit": commit(), "kills": [asdict(kill) for kill in kills]}
    (out / "chaos.json").write_text(json.dumps(raw | {"verdict": asdict(verdict)}, indent=2) + "\n", "utf-8")
    rows = ["| kind of process | kills | median recovery (s) | worst (s) |", "|---|---|---|---|"]
    for kind in KINDS:
        times = sorted(kill.recovered_s for kill in kills if kill.kind == kind)
        if times:
            rows.append(f"| {kind} | {len(times)} | {times[len(times) // 2]} | {times[-1]} |")
    head = f"# Chaos\n\n`{command}` on {machine()}, commit {commit()}.\n\n"
    text = head + "\n".join(rows) + "\n\n" + summary(kills, verdict).replace("\n", "\n\n") + "\n"
    (out / "chaos.md").write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
