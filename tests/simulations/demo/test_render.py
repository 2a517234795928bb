"""The report: one file, readable, each table with who could have seen it."""

import re

import pytest

from simulations.demo import explain, render
from simulations.pages.page import cell, size

TABLES = (
    *("tasks", "statements", "parties", "holdings", "consent", "withdrawal", "other_purpose", "refusals", "vetoes"),
    *("budgets", "exchange", "stages", "rounds"),
)


def task(name, workload, epsilon):
    rounds = [
        {"round": number, "score": 0.5, "bytes_up": 1000, "bytes_down": 2000, "seconds": 1.0, "parties": ["a"]}
        for number in range(4)
    ]
    return {
        "name": name,
        "workload": workload,
        "epsilon": epsilon,
        "headline": "accuracy",
        "higher_is_better": True,
        "rounds": rounds,
        "updates": "lane, 10 bits, under masks",
        "rounds_done": 3,
        "final_score": 0.5,
    }


@pytest.fixture
def facts():
    block = render.table(
        "A table",
        "coordinator",
        {"party": "party", "share": "#share"},
        [{"party": "<script>alert(1)</script>", "share": 0.25}],
    )
    return {
        "version": "0.1.0",
        "started_at": "now",
        "machine": "here",
        "seconds": {"total": 1.0},
        "parties": [1, 2],
        "tasks": [task("plain", "running_pace", None), task("private", "running_pace", 1.0)],
        "budgets": [{"party": "a", "group": "3 people", "people": 3, "epsilon": 0.5, "cap": 1.0}],
        "explanation": ["Because."],
        "tables": dict.fromkeys(TABLES, block),
        "withdrawal": {"party": "a", "text": "gone"},
        "folder": "demo-out",
        "commands": ["paceline task list"],
    }


def test_the_page_loads_nothing_and_runs_nothing(facts):
    page = render.html(facts)
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert page.count("<svg") == 3


def test_what_others_wrote_is_shown_as_text(facts):
    assert "&lt;script&gt;" in render.html(facts)


def test_each_table_says_who_could_have_seen_it(facts):
    page = render.html(facts)
    assert page.count("<table>") == len(TABLES)
    assert page.count("could have been seen by") >= len(TABLES)


def test_both_reports_are_written(facts, tmp_path):
    page, data = render.write(facts, tmp_path)
    assert page.name == "report.html"
    assert '"plain"' in data.read_text()


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (True, "yes"), (12345, "12,345"), (0.12345, "0.123"), (2.0, "2"), ("x", "x")]
)
def test_figures_are_shown_as_people_read_them(value, shown):
    assert cell(value) == shown


@pytest.mark.parametrize(("count", "shown"), [(12, "12 B"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (3e9, "3.0 GB")])
def test_sizes_have_units(count, shown):
    assert size(count) == shown


@pytest.mark.parametrize(("ratio", "shown"), [(12.4, "12 times"), (0.057, "0.057 times")])
def test_ratios_read_well(ratio, shown):
    assert explain._times(ratio) == shown


def test_a_private_result_below_its_start_is_called_that():
    said = explain.against_start(0.55, 0.45)
    assert "names 55%" in said
    assert "ended 10.0 points below its start" in said


def test_a_private_result_above_its_start_says_by_how_much():
    assert "ended 12.5 points above its start" in explain.against_start(0.5, 0.625)
