"""Scenarios that come with Paceline, each a commented TOML file in this folder."""

from importlib.resources import files

EXAMPLE = "example"
"""The one that ``paceline simulate --new`` writes: every key, with its meaning."""


def names() -> list[str]:
    """Every scenario of this folder."""
    return sorted(file.name.removesuffix(".toml") for file in files(__name__).iterdir() if file.name.endswith(".toml"))


def text(name: str) -> str:
    """The file of the scenario called `name`."""
    return files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
