"""The top program: lazy commands, exit codes, messages."""

import json
import subprocess
import sys
from importlib import metadata

import click
import pytest

from federation import cli, console
from federation.errors import PacelineError, Refusal, Refused, UsageError

HEAVY = ("torch", "flwr", "sqlmodel", "pydantic", "httpx", "opacus", "polars", "matplotlib")


def call(monkeypatch, raised):
    @click.command()
    def command():
        raise raised

    monkeypatch.setattr(cli, "load", lambda name: command)
    return cli.run(["node"])


def test_help_lists_every_command_and_imports_none():
    program = (
        "import sys; from federation import cli; assert cli.run(['--help']) == 0;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in cli.SUMMARIES:
        assert f" {name} " in done.stdout


def test_every_entry_point_has_a_summary_and_the_other_way_round():
    names = {point.name for point in metadata.entry_points(group=cli.GROUP)}
    assert {name for name in names if "." not in name} == set(cli.SUMMARIES)


def test_version_is_that_of_the_distribution(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"paceline {metadata.version('paceline')}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["workload", "nonsense"], ["workload", "check"]])
def test_wrong_words_exit_with_2(arguments, capsys):
    assert cli.run(arguments) == 2
    assert "Usage: paceline" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(PacelineError("a"), 1), (Refused(Refusal.POLICY, "a"), 1), (UsageError("a"), 2)],
)
def test_foreseen_errors_are_one_line_with_their_exit_code(monkeypatch, capsys, error, code):
    assert call(monkeypatch, error) == code
    assert capsys.readouterr().err == "error: a\n"


def test_ctrl_c_exits_with_130(monkeypatch):
    assert call(monkeypatch, KeyboardInterrupt()) == 130


def test_a_question_answered_with_no_exits_with_1(monkeypatch, capsys):
    assert call(monkeypatch, click.Abort()) == 1
    assert capsys.readouterr().err == "error: nothing was done.\n"


def test_unforeseen_errors_are_one_line_and_a_traceback_only_when_asked(monkeypatch, capsys):
    monkeypatch.delenv("PACELINE_DEBUG", raising=False)
    assert call(monkeypatch, ValueError("first\nsecond")) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: internal error (ValueError: first)")
    assert "Traceback" not in text
    assert "second" not in text
    monkeypatch.setenv("PACELINE_DEBUG", "1")
    assert call(monkeypatch, ValueError("first")) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_library_names_the_extra_to_install(monkeypatch, capsys):
    assert call(monkeypatch, ModuleNotFoundError("No module named 'torch'", name="torch")) == 1
    assert "pip install 'paceline[node]'" in capsys.readouterr().err


def test_a_missing_module_of_ours_is_not_blamed_on_the_installation(monkeypatch, capsys):
    assert call(monkeypatch, ModuleNotFoundError("No module named 'server.x'", name="server.x")) == 1
    assert "internal error" in capsys.readouterr().err


def test_a_dotted_entry_point_is_a_command_inside_a_group(monkeypatch):
    group = click.Group("task", commands={"sign": click.Command("sign", help="of the package")})
    points = {"task": None, "task.sign": None}
    monkeypatch.setattr(cli, "commands", lambda: points)
    monkeypatch.setattr(
        cli, "_load_one", lambda name: group if name == "task" else click.Command("sign", help="on top")
    )
    loaded = cli.load("task")
    assert isinstance(loaded, click.Group)
    assert loaded.commands["sign"].help == "on top"


def test_task_sign_asks_for_a_folder_that_is_one(tmp_path, capsys, monkeypatch):
    single = cli._command(cli.task_sign)
    monkeypatch.setattr(cli, "load", lambda name: single)
    assert cli.run(["task", "watch", "--dir", str(tmp_path)]) == 2
    assert "expected 1 that holds server.toml or node.toml" in capsys.readouterr().err


def test_workload_list_speaks_json(capsys):
    assert cli.run(["workload", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"exercise_recognition", "running_pace"} <= {item["name"] for item in listed}
    assert all(len(item["digest"]) == 64 for item in listed)


def test_a_fingerprint_is_whole_on_a_narrow_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    said = {"party": "north-club", "fingerprint": "0123456789abcdef" * 4}
    console.result(False, [said], lambda out: out.print(console.table([said], *said)))
    shown = capsys.readouterr().out
    assert "".join(line.split()[-1] for line in shown.splitlines()[1:]) == said["fingerprint"]
    assert "…" not in shown


def test_what_others_chose_cannot_command_the_terminal(capsys):
    said = {"name": "Runners\x1b[2J\nfingerprint: ab [bold]cd[/nothing]"}
    console.result(False, said, lambda out: console.fields(out, said))
    console.result(False, [said], lambda out: out.print(console.table([said], "name")))
    shown = capsys.readouterr().out
    assert "\x1b[2J" not in shown
    assert shown.count("[bold]cd[/nothing]") == 2
    assert not any(line.startswith("fingerprint") for line in shown.splitlines())
