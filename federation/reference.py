"""Writes docs/cli.md from the commands themselves: ``python -m federation.reference > docs/cli.md``."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from federation import cli

HEADER = """# Every command

Written from the program by `make docs`; a test compares the two. Every command also has `--help`. Exit codes: 0 done,
1 refused or failed, 2 wrong usage, 130 Ctrl-C. `--dir` picks the folder of a node or coordinator; without it
`$PACELINE_NODE` or `$PACELINE_SERVER` does, else the current folder. `PACELINE_DEBUG=1` shows tracebacks.
"""


def markdown() -> str:
    """The whole page."""
    parts = [HEADER]
    for name in cli.SUMMARIES:
        parts += [f"## paceline {name}\n", *_pages(f"paceline {name}", cli.load(name))]
    return "\n".join(parts).rstrip() + "\n"


def leaves() -> Iterator[str]:
    """Every command that does something, in full words: ``paceline node join``."""
    for name in cli.SUMMARIES:
        yield from (words for words, _ in _leaves(f"paceline {name}", cli.load(name)))


def _pages(words: str, command: Any) -> Iterator[str]:
    if hasattr(command, "commands") and not _runs(command):
        yield _text(command.help) + "\n"
    for leaf, found in _leaves(words, command):
        if leaf != words:
            yield f"### {leaf}\n"
        yield _text(found.help) + "\n"
        yield from _parameters(found)


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Commands in the order in which the group lists them."""
    if _runs(command):
        yield words, command
    if not hasattr(command, "commands"):
        return
    for name in command.list_commands(command.context_class(command)):
        inner = command.commands[name]
        if not inner.hidden:
            yield from _leaves(f"{words} {name}", inner)


def _runs(command: Any) -> bool:
    """Whether it does something itself: a command, or a group such as ``paceline simulate``."""
    return not hasattr(command, "commands") or bool(command.invoke_without_command)


def _parameters(command: Any) -> Iterator[str]:
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        yield "| argument or option | |\n|---|---|"
        yield "\n".join(rows) + "\n"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.human_readable_name.upper()}{'…' if parameter.nargs == -1 else ''}`"
        return f"| {name}{'' if parameter.required else ' (optional)'} | {_line(getattr(parameter, 'help', ''))} |"
    flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    return f"| {flags}{' (required)' if parameter.required else ''} | {_line(parameter.help)} |"


def _text(help_text: str | None) -> str:
    """Paragraphs as they are; an example becomes code."""
    text = inspect.cleandoc(help_text or "").replace("\b\n", "").replace("\f", "")
    return re.sub(r"^(\s*Examples?:) (paceline .*)$", r"\1 `\2`", text, flags=re.MULTILINE)


def _line(help_text: str | None) -> str:
    return " ".join((help_text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201
