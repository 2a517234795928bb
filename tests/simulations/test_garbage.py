"""Python looks for garbage when it can find some."""

import gc
import subprocess
import sys
import tomllib

import pytest

from simulations import engine
from simulations.benchmarks.simulation.first_result import PRIVATE, SCENARIO
from simulations.garbage import importing, settled
from simulations.scenario import read_words

HEAVY = ("opacus", "scipy", "dp_accounting", "sympy", "polars", "httpx", "flwr", "ray", "matplotlib", "jinja2", "typer")


@pytest.fixture(autouse=True)
def _nothing_frozen():
    yield
    gc.unfreeze()


def test_nothing_is_searched_while_modules_are_imported_and_what_they_leave_is_not_either():
    with importing():
        assert not gc.isenabled()
        kept = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert not any(found is kept for found in gc.get_objects())


def test_searches_go_on_after_an_import_that_failed():
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_what_stayed_during_the_rounds_can_be_garbage_after_them():
    with settled():
        assert gc.get_freeze_count() > 0
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_run_imports_what_it_needs_in_any_case_without_full_searches_and_nothing_else():
    script = f"""
import gc, sys
full = []
gc.callbacks.append(lambda phase, found: full.append(phase) if found["generation"] == 2 else None)
from simulations.sweep import making
try:
    making.make(None, None, None)
except AttributeError:
    print("simulations.engine" in sys.modules, len(full) < 3, sorted({set(HEAVY)} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "True True []\n"


@pytest.mark.parametrize(
    ("words", "clips"),
    [
        (SCENARIO, False),
        (SCENARIO + PRIVATE, True),
        (SCENARIO + PRIVATE + 'noise = "shared"\n', False),
        ('engine = "ray"\n' + SCENARIO + PRIVATE, False),
    ],
)
def test_opacus_is_imported_before_the_first_round_by_a_process_that_clips_with_it(monkeypatch, words, clips):
    called = []
    monkeypatch.setattr(engine.person_level, "bound", lambda updates, clip: called.append(len(updates)))
    engine.import_libraries(read_words(tomllib.loads(words)))
    assert called == [0] * clips
