"""Finished parts of a long study, so that one that was cut off goes on where it stood."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulations.benchmarks.record import commit


@dataclass(frozen=True)
class Kept:
    """One JSON file for each part in `folder`, with the commit that measured it."""

    folder: Path

    def part(self, name: str, measure: Callable[[], Any]) -> Any:
        """What was kept under `name`, or is measured now and kept."""
        file = self.folder / f"{name}.json"
        if not file.is_file():
            found = {"commit": commit(), "found": measure()}
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found), "utf-8")
        return json.loads(file.read_text("utf-8"))["found"]

    def forget(self) -> None:
        """Delete all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)
