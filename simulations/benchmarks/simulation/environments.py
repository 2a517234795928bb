"""An environment of its own for each peer, made once in a cache folder: what they depend on clashes with ours."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from federation.errors import LinkError

PACKAGE = Path("simulations") / "benchmarks" / "simulation" / "peers"
"""Where peers find our programs, below the folder that `code` makes."""


@dataclass(frozen=True)
class Pip:
    """How packages are had here: options for every call, and an index with CPU builds of torch, "" for the default."""

    flags: tuple[str, ...] = ()
    torch_index: str = ""


@dataclass(frozen=True)
class Environment:
    """A peer's packages beside torch."""

    name: str
    packages: tuple[str, ...]


PFL = Environment("pfl", ("pfl==0.6.*",))
FLOWER = Environment("flower", ("flwr[simulation]==1.41.*",))


def python(cache: Path, environment: Environment, pip: Pip) -> Path:
    """The interpreter of `environment`, installed now unless the cache has it; `LinkError` where pip fails."""
    torch = f"torch=={version('torch').partition('+')[0]}"
    folder, wanted = cache / environment.name, "\n".join((torch, *environment.packages))
    stamp, found = folder / "installed.txt", folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    index = ("--index-url", pip.torch_index) if pip.torch_index else ()
    _run(folder, [sys.executable, "-m", "venv", str(folder)])
    _run(folder, [str(found), "-m", "pip", "install", *pip.flags, *index, torch])
    _run(folder, [str(found), "-m", "pip", "install", *pip.flags, torch, *environment.packages])
    stamp.write_text(wanted, "utf-8")
    return found


def code(cache: Path) -> Path:
    """A folder from which a peer can import our programs for it, and nothing else of paceline."""
    folder = cache / "code"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(__file__).parent / "peers", folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    for package in PACKAGE.parents[:-1]:
        (folder / package / "__init__.py").touch()
    return folder


def _run(folder: Path, command: list[str]) -> None:
    log = folder / "install.log"
    with log.open("ab") as out:
        done = subprocess.run(command, stdout=out, stderr=out, check=False)
    if done.returncode != 0:
        last = " | ".join(log.read_text("utf-8", "replace").strip().splitlines()[-3:])
        raise LinkError(
            f"{' '.join(command[2:5])} failed for the environment {folder.name}: {last}. See {log}; name a package "
            "index with --torch-index or --pip-flags, or leave this peer out with --only."
        )
