"""Rules that no linter knows: docs/contributing.md names them in words."""

import ast
import re
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("privacy", "federation", "clients", "server", "simulations")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TEXTS = [
    path
    for pattern in ("*.md", "*.toml", "*.txt", "Makefile", ".importlinter", "docs/**/*.md", "simulations/**/*.toml")
    for path in sorted(ROOT.glob(pattern))
]
LONGEST_FILE, LONGEST_FUNCTION = 320, 40


def named(path):
    return str(path.relative_to(ROOT))


def test_only_settings_read_the_environment():
    readers = {named(path) for path in SOURCES if re.search(r"\bos\.(environ|getenv|putenv)\b", path.read_text())}
    assert {name for name in readers if not name.endswith("settings.py")} == set()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_file_is_a_short_essay_that_says_what_it_is_for(path):
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, f"{named(path)} has no docstring"
    assert docstring.splitlines()[0].endswith((".", ":")), "the first line is one sentence"
    assert text.count("\n") <= LONGEST_FILE, "split it into a package"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_functions_are_short(path):
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    bodies = {node.name: (node.end_lineno or 0) - node.body[0].lineno + 1 for node in functions}
    assert {name for name, lines in bodies.items() if lines > LONGEST_FUNCTION} == set(), "the options do not count"


FORBIDDEN = {
    "pickle": r"^\s*(import|from) (pickle|cloudpickle|dill|joblib|shelve|marshal)\b",
    "torch.load": r"\btorch\.load\(",
    "eval": r"(?<![\w.])(eval|exec)\(",
    "unfinished work": r"\b(TODO|FIXME|XXX)\b|\bNotImplementedError\b",
    "printed traceback of a user's mistake": r"traceback\.print_exc\(\)",
}
ALLOWED = {("printed traceback of a user's mistake", "federation/cli.py")}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_code_holds_no(what):
    found = {named(path) for path in SOURCES if re.search(FORBIDDEN[what], path.read_text(), re.MULTILINE)}
    assert {name for name in found if (what, name) not in ALLOWED} == set()


def test_numpy_never_loads_pickles():
    loads = {
        named(path)
        for path in SOURCES
        if "allow_pickle=True" in path.read_text() and path != ROOT / "simulations" / "datasets.py"
    }
    assert loads == set(), "only simulations/datasets.py may, after it checked the pinned hash"


@pytest.mark.parametrize("path", SOURCES + TEXTS, ids=named)
def test_no_machine_is_named(path):
    assert not re.search(
        r"(?<![\w.])/(work|root|home/\w+|opt/\w+)/|\bpypi\.org\b|download\.pytorch\.org", path.read_text()
    )


def test_tests_are_not_a_package():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_continuous_integration_runs_what_people_run():
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "exec make check"
    assert script.stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "chaos", "fuzz", "clean"])
def test_make_knows(target):
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_constraints_pin_every_direct_dependency():
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != "paceline":
            assert name in pins, f"{name} has no exact version in constraints.txt"
            assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is outside {requirement}"
