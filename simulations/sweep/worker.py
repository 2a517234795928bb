"""One process that makes runs (``python -m``): reads a job per line, writes what happens as lines of JSON."""

import json
import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import IO, Any

from federation.errors import PacelineError, UsageError
from simulations import records
from simulations.garbage import importing
from simulations.outcome import RoundOutcome
from simulations.scenario import read_words
from simulations.sweep.folder import Folder
from simulations.sweep.making import make
from simulations.sweep.plan import Job


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Make the run of each line until there are no more; a run that fails is answered with its reason."""
    for line in requests:
        words = json.loads(line)
        job = Job(read_words(words["scenario"]), words["point"], words["seed"])
        try:
            _require_share(job, words["memory_bytes"])
            make(Folder(Path(words["folder"])), job, partial(_round, replies))
            _say(replies, {"done": True})
        except PacelineError as error:
            _say(replies, {"failed": str(error)})
        except OSError as error:
            traceback.print_exception(error)
            where = f"{error.filename}: " if error.filename else ""
            _say(replies, {"failed": f"{where}{error.strerror or error}. Make room, or name another --out."})
        except Exception as error:
            traceback.print_exception(error)
            _say(replies, {"failed": f"{type(error).__name__}: {error}"})


def ask(folder: Folder, job: Job, memory_bytes: int) -> str:
    """The line that asks a worker for `job`, which may take `memory_bytes`."""
    scenario = job.scenario.model_dump(mode="json", exclude_unset=True)
    words = {"folder": str(folder.path), "scenario": scenario, "point": job.point, "seed": job.seed}
    return json.dumps(words | {"memory_bytes": memory_bytes}) + "\n"


def _require_share(job: Job, memory_bytes: int) -> None:
    """What is free now is no measure: the runs beside this one have not taken theirs yet."""
    from simulations.foresight import require_memory

    try:
        require_memory(job.scenario, memory_bytes)
    except UsageError as error:
        raise UsageError(f"{error} Or make fewer runs side by side, with --jobs.") from error


def _round(replies: IO[str], done: RoundOutcome) -> None:
    _say(replies, {"round": records.dump(done)})


def _say(replies: IO[str], words: dict[str, Any]) -> None:
    replies.write(json.dumps(words) + "\n")
    replies.flush()


def main() -> None:
    """One thread: the others of the machine belong to the workers beside this one.

    SIGTERM ends it as an error would, so that what a run keeps in memory folders goes with it.
    """
    with importing():
        import torch

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

    torch.set_num_threads(1)
    replies, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
