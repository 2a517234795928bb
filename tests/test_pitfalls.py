"""The page of pitfalls names all eighteen, and only tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/pitfalls.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_each_of_the_eighteen_names_a_test():
    lines = re.findall(r"^\| (\d+) \|.*`tests/", PAGE, re.MULTILINE)
    assert [int(number) for number in lines] == list(range(1, 19))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_named_test_exists(file, name):
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
