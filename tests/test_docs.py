"""The documentation says what the program does, and its links lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest

from federation import cli, reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = sorted(reference.leaves())


def named(path):
    return str(path.relative_to(ROOT))


def commands_in(page):
    """Every ``paceline …`` line in a console block, without prompt, comment and what follows a pipe."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\$ (?:\S*/)?paceline (.*)", line)
            if found:
                yield re.split(r"\s+[#|>&]", re.sub(r"\$\([^)]*\)", "TOKEN", found[1]))[0]


def parsed(line):
    """The command that a line names, and the words after it; all options are known."""
    words = shlex.split(line)
    command = cli.program() if words[0].startswith("-") else cli.load(words.pop(0))
    while words and isinstance(command, click.Group) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    assert used <= known, f"paceline {line}: no such option"
    return command, words


def bare_group(command):
    return isinstance(command, click.Group) and not command.invoke_without_command


def test_the_page_of_commands_is_what_the_program_says():
    assert (ROOT / "docs" / "cli.md").read_text() == reference.markdown(), "run: make docs"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does_with_an_example_and_speaks_json(command):
    _, name, *rest = command.split()
    found = cli.load(name)
    for word in rest:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    assert f"Example: {command}" in " ".join((found.help or "").split())
    assert any("--json" in option.opts for option in found.params)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_line_in_the_documentation_exists(page):
    for line in commands_in(page):
        command, _ = parsed(line)
        assert not bare_group(command), f"paceline {line}: no such command"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_a_sentence_names_exists(page):
    """A sentence may also name a group, such as `paceline attack`."""
    for found in re.findall(r"`paceline\s+([a-z-][^`]*)`", page.read_text()):
        command, words = parsed(" ".join(found.split()))
        assert not (words and bare_group(command)), f"paceline {found}: no such command"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = (page.parent / path) if path else page
        assert found.exists(), f"{named(page)}: {target}"
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}, target
