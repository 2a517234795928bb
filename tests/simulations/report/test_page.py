"""The report of a simulation: one file that says what came out, what it cost, what may be claimed."""

import re
from xml.etree import ElementTree

import pytest

from simulations import report
from simulations.report import figures, grid, page, plots
from simulations.sweep import Folder, Swept, jobs


@pytest.fixture
def swept(tmp_path, scenario, outcome):
    def made(sweep=None, failures=None, **changes):
        wanted = scenario(seeds=[1, 2], title="<b>Tiny</b>", **({"sweep": sweep} if sweep else {}))
        found = jobs(wanted)
        outcomes = tuple(outcome(0.5 + 0.01 * n, job.seed, point=job.point, **changes) for n, job in enumerate(found))
        return Swept(Folder(tmp_path), wanted, found, outcomes, failures or {})

    return made


AXES = [
    {},
    {"rounds": [2, 3, 4]},
    {"exchange.up": ["raw32", "int8_block"]},
    {"rounds": [2, 3], "exchange.up": ["raw32", "int8_block"]},
    {"rounds": [2, 3], "exchange.up": ["raw32", "int8_block"], "data.people": [8, 9]},
]


@pytest.mark.parametrize("axes", AXES, ids=lambda axes: " × ".join(axes) or "none")
def test_page_is_one_file_with_every_plot(swept, axes):
    shown = page.html(swept(axes))
    assert "<script" not in shown
    assert not re.search(r'(src|href)="(?!#)', shown)
    assert shown.count("<svg") == (7 if axes else 6)
    assert "&lt;b&gt;Tiny&lt;/b&gt;" in shown
    assert '<p class="stamp">simulation: no privacy claim</p>' in shown
    assert "rounds = 2" in shown.split("<pre>")[1], "the scenario itself"
    assert "prefers-color-scheme: dark" in shown


def test_plots_are_well_formed_and_take_the_colours_of_the_page(swept):
    found = swept(AXES[3])
    drawn = page.drawn(figures.points(found.outcomes))
    for svg in drawn.values():
        ElementTree.fromstring(svg)
        assert "var(--ink)" in svg
        assert not re.search(r"#1c2733|#0b6e99", svg)


def test_without_differential_privacy_nothing_is_promised(swept):
    rounds = tuple(done.__class__(**done.__dict__ | {"epsilon": 0.0}) for done in swept().outcomes[0].rounds)
    shown = page.html(swept(rounds=rounds))
    assert "nothing is promised to a person" in shown
    assert "no DP" in shown


def test_what_was_never_evaluated_is_said_and_not_drawn(swept):
    rounds = tuple(done.__class__(**done.__dict__ | {"scores": {}}) for done in swept().outcomes[0].rounds)
    found = swept(AXES[1], rounds=rounds, people=(), parties={})
    assert figures.best(figures.points(found.outcomes)) is None
    assert grid.of_the_sweep(figures.points(found.outcomes)) == ""
    assert plots.of_parties(figures.points(found.outcomes)) == ""
    assert "Every run" in page.html(found)


def test_failed_runs_stand_on_the_page(swept):
    assert "out of memory" in page.html(swept(failures={"seed 2": "out of memory"}))


def test_all_three_files_are_written(swept):
    found = swept(AXES[1])
    written = report.write(found)
    assert {written.page.name, written.json.name, written.parquet.name} == {
        "report.html",
        "results.json",
        "results.parquet",
    }
    assert all(path.is_file() for path in (written.page, written.json, written.parquet))
