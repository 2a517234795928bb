"""What a service provider alone does: fetch released models, to serve them to its users."""

from dataclasses import dataclass
from pathlib import Path

from clients.coordinator_api import open_api, task_path
from clients.pinned import write_whole
from clients.settings import NodeFolder
from federation.errors import EnrolmentError

MAX_RELEASE_BYTES = 1 << 30
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Fetched:
    """A release on this node's disk, as it came; ``paceline release verify`` checks it before it is served."""

    task: str
    file: Path
    size_bytes: int


def fetch_release(folder: NodeFolder, task: str) -> Fetched:
    """Download the release of a finished task to releases/TASK.zip; the cohort may, strangers may not."""
    content = open_api(folder).download(f"{task_path(task)}/release", MAX_RELEASE_BYTES)
    if not content.startswith(ZIP_MAGIC):
        raise EnrolmentError(f"what the coordinator sent as release of {task} is no ZIP archive; nothing was written.")
    place = folder.path / "releases"
    place.mkdir(exist_ok=True)
    file = place / f"{task}.zip"
    write_whole(file, content)
    return Fetched(task, file, len(content))
