"""The comparison of simulators compares like with like: one person's update is the same in ours and in a peer's."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from clients.training import person_updates, person_updates_plain, picked
from federation import workloads
from federation.errors import LinkError, PacelineError, UsageError, WorkloadError
from federation.schema import Rows
from federation.workload import flatten, trained_names
from simulations.benchmarks.record import commit, machine
from simulations.benchmarks.simulation import campaign, environments, first_result, models, pages, parts
from simulations.benchmarks.simulation.ours import inline
from simulations.benchmarks.simulation.peers import work


@pytest.mark.parametrize("name", work.WORKS)
def test_a_persons_update_is_what_a_peer_computes(name):
    about, workload = work.WORKS[name], models.workload(name)
    rows, weights = workload.invent(1, 2, about.rows), workload.initial(0)
    names, phase = trained_names(weights, workload.phases[0]), workload.phases[0]
    fast, plain = (
        torch.cat([some for _, some in path(workload, phase, weights, names, rows, models.terms(about), about.rows, 3)])
        for path in (person_updates, person_updates_plain)
    )
    _, index, _ = picked(rows.person.numpy(), about.rows, 3)
    for person in range(2):
        torch.manual_seed(0)
        module = work.module(name)
        own = rows.take(torch.from_numpy(index[person]))
        work.train(module, about, own.fields["x"], own.fields["y"])
        theirs = torch.from_numpy(flatten(models.from_module(name, module), names) - flatten(weights, names))
        assert theirs.abs().max() > 1e-3
        for ours in (fast[person], plain[person]):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_windows_in_which_nothing_moves_teach_many_people_what_they_teach_one():
    """All instants under a maximum are equally large there, and share the slope."""
    workload, terms = models.workload("convolutional"), models.terms(work.WORKS["convolutional"])
    rows, weights = workload.invent(1, 2, 10), workload.initial(0)
    still = Rows({**rows.fields, "x": rows.fields["x"][..., :1].expand_as(rows.fields["x"]).clone()}, rows.person)
    names, phase = trained_names(weights, workload.phases[0]), workload.phases[0]
    fast, plain = (
        torch.cat([some for _, some in path(workload, phase, weights, names, still, terms, 10, 3)])
        for path in (person_updates, person_updates_plain)
    )
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-5)


def test_the_convolutional_model_has_the_size_that_the_comparison_names():
    assert models.parameters("convolutional") == 19_718


def test_peers_read_the_rows_that_were_written(tmp_path):
    about = work.WORKS["trivial"]
    work.write(tmp_path, about, 5)
    x, y = work.read(tmp_path, about)
    assert x.shape == (5, 10, 4)
    assert y.shape == (5, 10)
    assert 0 <= int(y.min()) < int(y.max()) < about.classes


def test_a_party_of_the_whole_round_trains_the_sampled_people(tmp_path, capsys, monkeypatch):
    work.write(tmp_path, work.WORKS["trivial"], 8)
    asked = ["inline", "--work", "trivial", "--folder", str(tmp_path), "--registered", "40", "--sampled", "20"]
    monkeypatch.setattr("sys.argv", [*asked, "--rounds", "3", "--threads", "1", "--parties", "2"])
    inline.main()
    said = json.loads(capsys.readouterr().out)
    assert said["rounds"] == 1, "two of three rounds are warm-up"
    assert said["people_per_s"] > 0
    with pytest.raises(WorkloadError, match="is not installed"):
        workloads.find("bench_trivial")


def wish(tmp_path, **changes):
    place = parts.Place(tmp_path / "cache", environments.Pip())
    return replace(campaign.Wish(place, tmp_path / "out", ("trivial-1000-50-", "plain,updates"), 2, False), **changes)


@pytest.fixture
def measured(monkeypatch):
    """Every measurement is made up; which parts were asked for is kept."""
    asked = []

    def answer(part, place):
        asked.append(part.name)
        if part.program.name == "plain" and part.threads == 2:
            return {"failed": "not done after 420 s"}
        return {
            "people_per_s": 100.0 * part.threads,
            "people_per_processor_s": 90.0,
            "first_round_s": 0.5,
            "peak_rss_mb": 300,
        }

    monkeypatch.setattr(campaign, "measured", answer)
    monkeypatch.setattr(campaign.limit, "rates", lambda threads: {"one product": 100.0})
    monkeypatch.setattr(campaign.first_result, "measured", lambda repeats: {"first round": [2.5] * repeats})
    return asked


def test_a_stopped_comparison_goes_on_where_it_was(tmp_path, measured):
    said = []
    page = campaign.run(wish(tmp_path), said.append)
    assert measured == 2 * [f"trivial-1000-50-{name}-t{threads}" for name in ("updates", "plain") for threads in (1, 2)]
    campaign.run(wish(tmp_path), said.append)
    assert len(measured) == 8, "nothing is measured twice"
    campaign.run(wish(tmp_path, again=True), said.append)
    assert len(measured) == 16
    text = page.read_text()
    assert "| plain PyTorch loop | 1 | 100 | 100 … 100 | 90 | 0.50 | 300 | – |" in text
    assert "| plain PyTorch loop | 2 | – | not done after 420 s | – | – | – | – |" in text
    assert "| people per second, local training | ≥ 300 | not measured |" in text
    assert "2 cores at 100 · 10⁹ each could do no more than" in text


def test_the_page_names_the_commit_of_what_was_kept_beside_that_of_what_is_measured_each_time(tmp_path, measured):
    former = {"machine": "another", "commit": "former", "found": {"failed": "not done after 420 s"}}
    asked = wish(tmp_path, repeats=1)
    asked.place.kept.restore([{"name": "trivial-1000-50-plain-t1-r0", **former}])
    text = campaign.run(asked, lambda _: None).read_text()
    assert f" on {machine()} and another, commit {commit()} (3), former (1)." in text
    assert f"\nThe machine's limit and the first result: on {machine()}, commit {commit()}." in text


def test_a_comparison_of_no_part_names_those_that_there_are(tmp_path):
    with pytest.raises(
        UsageError, match=r"no part has a name with nonsense; parts are: convolutional-1000-50-updates-t1,"
    ):
        campaign.run(wish(tmp_path, only=("nonsense",)), print)


def test_promises_are_told_from_the_best_number_of_threads():
    def part(program, threads, rate, registered=1000):
        about = {"work": "convolutional", "registered": registered, "sampled": 50, "program": program}
        return about | {"threads": threads, "title": program, "answers": [{"people_per_s": rate}, {"failed": "no"}]}

    found = [part("inline-1", 2, 300.0), part("inline-4", 2, 280.0), part("pfl", 1, 90.0), part("pfl", 2, 60.0)]
    lines = list(pages.promises({"parts": [*found, part("pfl", 1, 1.0, 100)]}))
    assert "| whole rounds against pfl | ≥ 3 × | 3.3 × |" in lines
    assert "| people per second, whole rounds | ≥ 300 | 300 |" in lines
    assert "| whole rounds against Flower with Ray | ≥ 8 × | not measured |" in lines


def test_a_peer_that_cannot_be_installed_says_what_pip_said(tmp_path):
    (tmp_path / "broken").mkdir()
    with pytest.raises(
        LinkError, match=r"nonsense failed for the environment broken: .*No module named nonsense\. See"
    ):
        environments._run(tmp_path / "broken", [sys.executable, "-m", "nonsense"])


def test_peers_import_our_programs_and_nothing_else_of_paceline(tmp_path):
    home = environments.code(tmp_path)
    program = (
        "import sys; from simulations.benchmarks.simulation.peers import clock, work;"
        "print(work.__file__, sorted(name for name in sys.modules if name.split('.')[0] in"
        " ('privacy', 'federation', 'clients', 'server')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(home / environments.PACKAGE / "work.py"), "[]"]


def test_time_is_taken_until_the_words_stand_on_the_terminal_and_only_of_programs_that_end_well():
    slow = [
        sys.executable,
        "-c",
        "import sys, time; print('0 of 5'); time.sleep(0.3); assert sys.stderr.isatty(); print('1 of 5')",
    ]
    assert 0.3 < first_result.until_shown(slow, first_result.SHOWN) < 30
    for end in ("print('0 of 5')", "print('1 of 5'); raise SystemExit(3)"):
        with pytest.raises(PacelineError, match="no page was written"):
            first_result.until_shown([sys.executable, "-c", end], first_result.SHOWN)
