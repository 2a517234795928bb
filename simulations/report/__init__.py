"""What a simulation leaves behind: report.html for people, results.json and results.parquet for machines."""

from dataclasses import dataclass
from pathlib import Path

from simulations import whole
from simulations.report.files import write_json, write_parquet
from simulations.sweep import Swept

PAGE = "report.html"


@dataclass(frozen=True)
class Written:
    """The files of one report."""

    page: Path
    json: Path
    parquet: Path


def write(swept: Swept) -> Written:
    """Write the report of all finished runs into the folder of the sweep."""
    from simulations.report import page

    out = swept.folder.path
    return Written(
        whole.write(out / PAGE, page.html(swept)),
        write_json(out, swept.scenario, swept.outcomes, swept.failures),
        write_parquet(out, swept.outcomes),
    )
