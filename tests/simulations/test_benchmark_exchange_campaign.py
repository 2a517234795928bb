"""One command measures all parts of the exchange, keeps what is done, and writes every page from what is kept."""

import json
import os
import pickle
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from federation.errors import PacelineError, UsageError
from simulations.benchmarks.exchange import campaign, pages, parts
from simulations.benchmarks.kept import Kept
from simulations.benchmarks.record import machine
from simulations.cli.bench import exchange

SPENT = {"bits spent": 0.1, "error": 9.5, "gap, bits": 0.03, "target": 0.03}
CODECS = {
    "error": [
        {"vectors": vectors, "values": 9, "codec": "urq", "budget": 0.1, **SPENT}
        for vectors in ("1M values, Student's t", "updates of the watch task")
    ],
    "lanes": [
        {"vectors": vectors, "bits per value": 8, "error": 0.002}
        for vectors in ("1M values, Student's t, the same", "updates of the watch task")
    ],
    "bias": [{"codec": "urq", "bias²": 0.002}],
    "speed": [{"codec": "urq", "budget": 0.1, "encode, MB/s": 280, "decode, MB/s": 302, "target": "150 / 150"}],
}


def learned(setting, case, accuracy):
    run = {"setting": setting, "case": case, "fold": 0, "draw": 0, "accuracy": 2 * [accuracy]}
    run |= {"values": 1000, "parties": [4, 4]}
    return run | {"bytes_up": [0, 16_000], "bytes_down": [0, 16_000]}


def masked(name):
    party = {"parties": 10, "values": 1_000_000, "system": name}
    drops = [party | {"dropped": dropped, "both, ms": 5.0 + dropped, "target": None} for dropped in (0, 3)]
    mask = party | {"mask, ms": 2.0, "target": None}
    return {"party": [mask], "coordinator": drops, "bytes": [party | {"ratio": 1.01}]}


def sent(size):
    way = {"parameters": size, "exchange": "ours, secure"}
    return [way | {"up": "1,234", "down": "5,678"}]


FOUND = {
    "exchange_codecs": CODECS,
    "secagg": {name: masked(name) for name in ("ours", "Flower")},
    "exchange_bytes": {size: sent(size) for size in ("14k", "10M")},
    "aggregation": {"speed": [{"step": "decode", "GB/s": 30.7}], "memory, 2 parties": {"parties": 2}},
    "exchange_large": {"urq": [{"step": "urq, encode", "ms": 211}]},
    "exchange_learning": {
        case: learned("watch", case, accuracy)
        for case, accuracy in (("raw32, both ways", 0.8), ("urq 0.1 up", 0.79), ("ecq 0.5 down", 0.78))
    },
    "exchange_trials": {},
}


@pytest.fixture
def made_up(monkeypatch):
    """Parts whose jobs return `FOUND` at once, here instead of in other processes; which ran is kept."""
    ran = []

    def job(part, name):
        ran.append(f"{part}: {name}")
        return FOUND[part][name]

    def jobs(part):
        return {name: partial(job, part, name) for name in FOUND[part]}

    changed = tuple(replace(part, jobs=partial(jobs, part.name), at_once=1) for part in parts.PARTS)
    for module in (campaign, pages, parts):
        monkeypatch.setattr(module, "PARTS", changed)

    def here(part, wish):
        campaign.measure(part, wish.kept, wish.only, lambda _: None)
        return 0

    monkeypatch.setattr(campaign, "alone", here)
    return ran


def wish(tmp_path, *only, again=False):
    return campaign.Wish(tmp_path / "out", only, again)


def test_the_page_holds_what_every_part_found_and_where(tmp_path, made_up):
    page = campaign.run(wish(tmp_path), lambda _: None)
    text = page.read_text()
    assert page == tmp_path / "out" / "exchange.md"
    assert "| watch | urq 0.1 up | 32.000 | 32.000 | 79.0 | -1.00 | 320 × up, n ≥ 16 |" in text
    assert "| urq | 0.1 | 0.1 | 9.5 | 0.03 | 0.1 | 9.5 | 0.03 | 0.03 |" in text
    assert "| urq | 0.1 | 280 | 302 | 150 / 150 |" in text
    assert "| 10 | 1000000 | Flower | 2.0 | – | 5.0 | – | 8.0 | 1.01 |" in text
    assert "| 10M | ours, secure | 1,234 | 5,678 |" in text
    assert "| decode | 30.7 |" in text
    assert f"`paceline bench exchange --only secagg` on {machine()}, commit " in text
    for file in ("accuracy", "errors", "speeds", "secagg", "bytes"):
        assert f"(exchange_{file}.png)" in text
        assert (tmp_path / "out" / f"exchange_{file}.png").stat().st_size > 8_000
    for file in ("exchange_codecs.md", "exchange_learning.md", "secagg.md", "aggregation.md"):
        assert f"]({file})" in text
        assert (tmp_path / "out" / file).is_file()


def test_what_is_done_is_kept_and_again_measures_what_is_asked_for(tmp_path, made_up):
    campaign.run(wish(tmp_path, "secagg", "ours"), lambda _: None)
    assert made_up == ["secagg: ours"]
    campaign.run(wish(tmp_path, "secagg,aggregation"), lambda _: None)
    assert made_up[1:] == ["secagg: Flower", "aggregation: speed", "aggregation: memory, 2 parties"]
    campaign.run(wish(tmp_path, "secagg", "Flower", again=True), lambda _: None)
    assert made_up[4:] == ["secagg: Flower"]
    lines = [json.loads(line)["name"] for line in (tmp_path / "out" / "exchange.jsonl").read_text().splitlines()]
    assert sorted(lines) == sorted(set(made_up))


def test_a_page_without_some_parts_names_the_command_that_measures_them(tmp_path, made_up):
    page = campaign.run(wish(tmp_path, "secagg", "ours"), lambda _: None)
    text = page.read_text()
    assert "Not measured yet: `paceline bench exchange --only exchange_learning`." in text
    assert "1 of 2 measurements are missing." in text
    assert "exchange_secagg.png" not in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["exchange.jsonl", "exchange.md", "secagg.md"]
    campaign.run(wish(tmp_path, "exchange_codecs: error"), lambda _: None)
    text = (page.parent / "exchange_codecs.md").read_text()
    assert "| 1M values, Student's t | 9 | urq | 0.1 |" in text
    assert "## Bias" in text
    assert "Not measured." in text


def test_measurements_of_several_commits_are_told_apart(tmp_path, made_up):
    campaign.run(wish(tmp_path, "secagg"), lambda _: None)
    kept = wish(tmp_path).kept
    lines = [json.loads(line) for line in kept.file.read_text().splitlines()]
    kept.file.write_text("".join(json.dumps(line | {"commit": line["name"][8:]}) + "\n" for line in lines))
    told = pages.tell(next(part for part in pages.PARTS if part.name == "secagg"), kept.parts())
    assert told.places == f"{machine()}, commit ours (1), Flower (1)"


def test_a_part_that_fails_leaves_the_others_alone_and_is_named(tmp_path, made_up, monkeypatch):
    whole = campaign.alone
    monkeypatch.setattr(campaign, "alone", lambda part, asked: 1 if part.name == "secagg" else whole(part, asked))
    with pytest.raises(PacelineError, match=r"secagg failed, as said above; .*exchange\.md holds the rest\. Run"):
        campaign.run(wish(tmp_path), lambda _: None)
    assert "| decode | 30.7 |" in (tmp_path / "out" / "exchange.md").read_text()


@pytest.fixture
def alone(monkeypatch):
    """How to measure a part that is the only one there is."""

    def measure(part, kept):
        monkeypatch.setattr(campaign, "every", part.names)
        said = []
        campaign.measure(part, kept, (), said.append)
        return said

    return measure


def test_a_measurement_whose_people_are_not_here_is_left_out(tmp_path, alone):
    def missing():
        raise UsageError("no walkers here")

    kept = Kept(tmp_path / "kept.jsonl")
    said = alone(parts.Part("some", "", lambda: {"one": missing, "two": lambda: 2}), kept)
    assert said == ["some: one left out: no walkers here", "some: two done"]
    assert list(kept.parts()) == ["some: two"]


def test_jobs_that_run_side_by_side_are_kept_as_they_end(tmp_path, alone):
    slow, quick = partial(time.sleep, 0.3), partial(abs, -2)
    part = parts.Part("some", "", lambda: {"slow": slow, "quick": quick}, at_once=2)
    assert alone(part, Kept(tmp_path / "kept.jsonl")) == ["some: quick done", "some: slow done"]


def test_a_job_that_fails_ends_the_part_without_those_that_wait(tmp_path, alone):
    waiting = {f"{number}": partial(os.system, f"sleep 0.1; touch {tmp_path}/{number}") for number in range(20)}
    part = parts.Part("some", "", lambda: {"wrong": partial(int, "x"), **waiting}, at_once=2)
    with pytest.raises(ValueError, match="invalid literal"):
        alone(part, Kept(tmp_path / "kept.jsonl"))
    assert len(list(tmp_path.iterdir())) < 10


def test_a_part_is_measured_in_a_process_of_its_own(tmp_path):
    asked = wish(tmp_path, "secagg: 16 parties", "16 bits")
    assert campaign.alone(parts.SECAGG, asked) == 0
    (line,) = asked.kept.parts().values()
    assert line["name"] == "secagg: 16 parties, 84,000 values, ours, 16 bits"
    assert line["found"]["party"][0]["mask, ms"] > 0


def test_the_help_names_every_part():
    assert all(part.name in str(exchange.__doc__) for part in parts.PARTS)


def test_every_job_of_a_part_that_runs_several_at_once_can_be_sent_to_another_process():
    for part in parts.PARTS:
        if part.at_once > 1:
            assert pickle.loads(pickle.dumps([*part.jobs().values()]))


def test_the_committed_pages_are_those_that_the_kept_figures_make(tmp_path):
    docs = Path(__file__).parents[2] / "docs" / "benchmarks"
    kept = Kept(docs / "exchange.jsonl")
    told = {part.name: pages.tell(part, kept.parts()) for part in parts.PARTS}
    made = pages.documents(told) | {"exchange.md": pages.overview.page(told)}
    stale = [name for name, text in made.items() if (docs / name).read_text() != text]
    assert stale == [], "paceline bench exchange writes them"
    assert [one.part for one in told.values() if not one.complete] == [], "paceline bench exchange measures them"
