"""Writes a file of results so that whoever looks sees all of it or none."""

import os
from pathlib import Path


def write(path: Path, content: str | bytes) -> Path:
    """Put `content` (text as UTF-8) in the place of whatever was at `path`, durably; `OSError` that names `path`."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
