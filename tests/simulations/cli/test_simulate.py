"""`paceline simulate` as it is typed."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import tomli_w

from federation import cli
from simulations.scenario import read
from simulations.sweep.folder import written


@pytest.fixture
def file(tmp_path, scenario):
    def made(**changes):
        path = tmp_path / "tiny.toml"
        path.write_text(written(scenario(**changes)))
        return path

    return made


def test_a_scenario_ends_with_its_report(file, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.run(["simulate", str(file()), "--out", str(out), "--set", "rounds=1", "--seeds", "5", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["runs"], said["finished"], said["failures"]) == (1, 1, {})
    assert said["points"][0]["seeds"] == [5]
    assert said["stamp"] == "simulation: no privacy claim"
    for name in ("report.html", "results.json", "results.parquet", "scenario.toml"):
        assert (out / name).is_file()

    assert cli.run(["simulate", str(out / "scenario.toml"), "--out", str(out)]) == 2
    assert "go on with --resume" in capsys.readouterr().err
    assert cli.run(["simulate", str(out / "scenario.toml"), "--out", str(out), "--resume"]) == 0
    assert "1 of 1 runs were finished before" in capsys.readouterr().err


def test_two_folders_are_compared(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    for number in ("1", "2"):
        folder = str(tmp_path / number)
        assert (
            cli.run(["simulate", str(file()), "--out", folder, "--set", f"name=run-{number}", "--set", "rounds=1"]) == 0
        )
    page = tmp_path / "compare.html"
    capsys.readouterr()
    assert cli.run(["simulate", "compare", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scenarios"] == ["run-1", "run-2"]
    assert page.is_file()
    assert cli.run(["simulate", "compare", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(page)]) == 0
    assert "mean error, s/km" in capsys.readouterr().out


def test_the_example_is_written_once_and_can_be_read(tmp_path, capsys):
    path = tmp_path / "new.toml"
    assert cli.run(["simulate", "--new", str(path)]) == 0
    assert f"paceline simulate {path}" in capsys.readouterr().out
    assert cli.run(["simulate", "--new", str(path)]) == 2
    assert "left as it is" in capsys.readouterr().err
    assert cli.run(["simulate", str(path), "--set", "workload=runing_pace"]) == 1
    assert "running_pace" in capsys.readouterr().err


BAD = [
    ({"roundz": 3}, "roundz: there is no such setting; did you mean 'rounds'?"),
    ({"data": {"pepole": 3}}, "data.pepole: there is no such setting; did you mean 'people'?"),
    ({"engine": "inlin"}, "engine: 'inlin' is none of 'inline', 'ray'; did you mean 'inline'?"),
    ({"format": "paceline-scenario-0"}, "format = 'paceline-scenario-0'; this Paceline reads 'paceline-scenario-1'"),
    ({"exchange": {"min_parties": 3}}, "exchange.min_parties = 3, but parties.count = 2: no round could ever count."),
    ({"parties": {"count": 9}}, "parties.count = 9, but data.people = 8: parties without people"),
    ({"sweep": {"rounds": []}}, '"rounds" = [] sweeps over nothing'),
    ({"sweep": {"rounds": 3}}, '"rounds" = 3 is one value; write a list, such as "rounds" = [3, …]'),
    ({"sweep": {"privacy": {"epsilon": [1, 2]}}}, 'stands in quotes; write "privacy.epsilon" = [...]'),
    ({"sweep": {"seeds": [[1], [2]]}}, "seeds cannot be swept over"),
    ({"sweep": {"name": ["a", "b"]}}, "name cannot be swept over"),
    ({"rounds": "many"}, "rounds: expected a whole number; found 'many'"),
    ({"sweep": {"data.pepole": [3]}}, "did you mean 'people'?"),
    ({"data": {"source": "runers"}}, "'ratings'; did you mean 'runners'?"),
    ({"data": {"source": "watch"}}, "has rows for exercise_recognition"),
    ({"data": {"source": "runners", "people": 8}}, 'people are for source = "invented"'),
    (
        {"privacy": {"unit": "person", "epsilom": 1}},
        "\n  privacy.epsilom: there is no such setting; did you mean 'epsilon'?",
    ),
    ({"privacy": {}}, "privacy is never left out"),
    ({"workload": "runing_pace"}, "; did you mean 'running_pace'?"),
    ({"seeds": [1, 1]}, "seeds: 1 stands twice"),
    ({"data": {"people": 8, "label_skew": 0.1}}, "label_skew is about classes"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[said[:40] for _, said in BAD])
def test_what_cannot_be_is_refused_in_words_and_leaves_nothing(tmp_path, scenario, capsys, words, said):
    path = tmp_path / "tiny.toml"
    path.write_text(tomli_w.dumps(scenario().model_dump(mode="json", exclude_unset=True) | words))
    assert cli.run(["simulate", str(path), "--out", str(tmp_path / "out")]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert "internal error" not in error
    assert not list(tmp_path.glob("out/runs/*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a scenario, or write one with"),
        (["nowhere.toml"], "there is no file nowhere.toml. Write one with: paceline simulate --new nowhere.toml"),
        (["/proc/self/mem"], "/proc/self/mem cannot be read: "),
        (["--seeds", "5-1", "FILE"], "expected numbers such as"),
        (["--seeds", "x", "FILE"], "expected numbers such as"),
        (["--set", "rounds", "FILE"], "expected key=value"),
        (["--jobs", "0", "FILE"], "--jobs"),
        (["--out", "/proc/none", "FILE"], "nothing can be written to /proc/none"),
        (["FILE", "FILE"], "a word too many: one scenario at a time"),
    ],
)
def test_wrong_words_exit_with_2(file, capsys, arguments, said):
    words = [str(file()) if word == "FILE" else word for word in arguments]
    assert cli.run(["simulate", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_comes_with_the_one_that_was_meant(file, capsys):
    path = file()
    assert cli.run(["simulate", str(path.with_name("tinny.toml"))]) == 2
    assert "did you mean 'tiny.toml'?" in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_scenario_is_told_how_to_go_on(file, capsys):
    folder = file().parent
    assert cli.run(["simulate", str(folder)]) == 2
    assert f"{folder} is a folder; expected a scenario, which is a file." in capsys.readouterr().err
    (folder / "scenario.toml").write_text("")
    assert cli.run(["simulate", str(folder)]) == 2
    assert f"{folder}/scenario.toml; missing runs are made with --out {folder} --resume" in capsys.readouterr().err


def test_file_that_is_no_toml_is_named(tmp_path, capsys):
    path = tmp_path / "notes.toml"
    path.write_text("Dear diary,")
    assert cli.run(["simulate", str(path)]) == 2
    assert "is no TOML" in capsys.readouterr().err


def test_a_report_that_finds_no_room_leaves_the_runs_and_says_how_to_go_on(file, tmp_path, capsys):
    out, path = tmp_path / "out", file(rounds=1)
    (out / "report.html").mkdir(parents=True)  # stands for whatever keeps a file from being written
    (out / "runs").mkdir()
    (out / "scenario.toml").write_text(written(read(path)))
    assert cli.run(["simulate", str(path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "report.html cannot be written (Is a directory). The finished runs are kept; make room" in error
    assert f"paceline simulate {out}/scenario.toml --out {out} --resume" in error
    assert len(list(out.glob("runs/*.json"))) == 1


def start(path, out, *more):
    words = [sys.executable, "-c", "from federation.cli import main; main()", "simulate", str(path), "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*words, "--jobs", "1", *more], env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def wait_for(found, process):
    end = time.monotonic() + 120
    while not found() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.processes
def test_ctrl_c_and_kill_9_keep_what_is_done(file, tmp_path):
    out, path = tmp_path / "out", file(seeds=[1, 2, 3, 4], rounds=20)

    def done():
        return {one.name: one.stat().st_mtime_ns for one in out.glob("runs/*.json")}

    first = start(path, out)
    wait_for(lambda: len(done()) > 0, first)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130
    assert f"Go on with: paceline simulate {out}/scenario.toml --out {out} --resume" in said
    kept = done()
    assert 1 <= len(kept) < 4

    second = start(out / "scenario.toml", out, "--resume")
    wait_for(lambda: len(done()) > len(kept), second)
    workers = psutil.Process(second.pid).children()
    second.kill()
    second.communicate(timeout=60)
    assert psutil.wait_procs(workers, timeout=60)[1] == [], "a worker that nobody listens to ends"

    third = start(out / "scenario.toml", out, "--resume")
    _, said = third.communicate(timeout=120)
    assert third.returncode == 0, said
    assert len(done()) == 4
    assert kept.items() <= done().items(), "what was done is not made again"
    assert list(out.glob("runs/*.json.*")) == []
