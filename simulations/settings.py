"""Where real data that pip cannot install lies: the part of the environment that simulations read."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from federation.errors import UsageError

VARIABLE = "PACELINE_DATA"


@dataclass(frozen=True)
class PublicFile:
    """A public file that scenarios and benchmarks can read; `origin` says where it can be had."""

    name: str
    content: str
    licence: str
    origin: str


LIFTERS = PublicFile(
    "powerlifting_2017_half.parquet",
    "106,123 competition entries of 44,574 lifters in 25 federations",
    "public domain",
    "OpenPowerlifting, state of December 2017, athletes as random integers: https://www.openpowerlifting.org/data",
)
WALKERS = PublicFile(
    "spsw_har_people_1_12.parquet",
    "phone and watch recordings of 12 people during 5 activities",
    "CC BY 4.0",
    "GeoTec, Smartphone and smartwatch HAR dataset, people 1 to 12: https://doi.org/10.5281/zenodo.8398688",
)
WALKERS_TABLE = PublicFile(
    "spsw_har_people_1_12.csv", "age, sex, height and weight of these 12 people", "CC BY 4.0", WALKERS.origin
)
PUBLIC = (LIFTERS, WALKERS, WALKERS_TABLE)
READ_BY = {"lifters": (LIFTERS,), "walkers": (WALKERS,)}
"""What a scenario reads, by the source of its people."""


def data_folder() -> Path:
    """The folder that $PACELINE_DATA names, or `UsageError` that says what belongs into it."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        raise UsageError(f"${VARIABLE} is not set; expected the folder of public data files.\n{_wanted(PUBLIC)}")
    folder = Path(named)
    if not folder.is_dir():
        raise UsageError(f"${VARIABLE} is {named}, which is no folder.\n{_wanted(PUBLIC)}")
    return folder


def data_file(name: str) -> Path:
    """The file called `name` in the data folder, or `UsageError` that says where it can be had."""
    path = data_folder() / name
    if not path.is_file():
        known = tuple(file for file in PUBLIC if file.name == name) or PUBLIC
        raise UsageError(f"{path} is not there.\n{_wanted(known)}")
    return path


def has(name: str) -> bool:
    """Whether `data_file` would find `name`; tests that need it skip where it would not."""
    named = os.environ.get(VARIABLE, "")
    return bool(named) and (Path(named) / name).is_file()


def _wanted(files: tuple[PublicFile, ...]) -> str:
    lines = [f"  {file.name}: {file.content} ({file.licence}). {file.origin}" for file in files]
    return "\n".join([f"Put these files into a folder and set {VARIABLE} to it:", *lines])


def set_for_ray(*, local: bool, token: str) -> None:
    """Put into the environment what `ray_environment` says; `UsageError` where Ray was imported with other values."""
    wanted = ray_environment(local=local, token=token)
    if "ray" in sys.modules and any(os.environ.get(name) != value for name, value in wanted.items()):
        raise UsageError("Ray was imported by this process before, with other settings; run the scenario in a new one.")
    os.environ.update(wanted)


def ray_environment(*, local: bool, token: str) -> dict[str, str]:
    """What Ray reads when it is imported: nothing calls home, a late call starts no second Ray, and what we start
    ourselves is for this process only.

    Without the second group Ray listens on every interface and runs the code of whoever connects. Its variable for
    the loopback interface is named after the systems on which that is the default.
    """
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_AUTO_CONNECT": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    if not local:
        return {**quiet, "RAY_NUM_REDIS_GET_RETRIES": "2"}  # else it tries for twelve minutes
    return {**quiet, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
