"""Runs side by side: what is done stays done, what fails takes nothing else with it."""

import io
import os
import signal

import psutil
import pytest
from rich.console import Console

from simulations.scenario import read
from simulations.sweep import sweep
from simulations.sweep.board import Standing, board, drawn, duration
from simulations.sweep.folder import Folder
from simulations.sweep.plan import jobs


class Watching:
    """A board that remembers, and may do something when a round is committed."""

    def __init__(self, act=lambda: None):
        self.act, self.rounds, self.ended = act, [], {}

    def begin(self, jobs, done):
        self.done = len(done)

    def start(self, job):
        self.started = job.label

    def round(self, job, done):
        self.rounds.append((job.label, done.round))
        self.act()

    def end(self, job, problem):
        self.ended[job.label] = problem


def workers():
    return [child for child in psutil.Process().children() if "simulations.sweep.worker" in " ".join(child.cmdline())]


def test_run_again_from_the_saved_scenario_gives_the_same_bits(scenario, tmp_path):
    first = sweep(scenario(), tmp_path / "a", 2, False, Watching())
    again = sweep(read(tmp_path / "a" / "scenario.toml"), tmp_path / "b", 2, False, Watching())
    other = sweep(scenario(seeds=[2]), tmp_path / "c", 2, False, Watching())
    assert first.outcomes[0].weights_sha256 == again.outcomes[0].weights_sha256 != other.outcomes[0].weights_sha256
    assert [done.scores for done in first.outcomes[0].rounds] == [done.scores for done in again.outcomes[0].rounds]


def test_runs_side_by_side_each_keep_their_point_and_the_impossible_one_fails_alone(scenario, tmp_path):
    watching = Watching()
    wanted = scenario(sweep={"parties.deal": ["even", "by-group", "quantity"]})
    found = sweep(wanted, tmp_path, 2, False, watching)
    assert [one.point for one in found.outcomes] == [{"parties.deal": "even"}, {"parties.deal": "quantity"}]
    assert list(found.failures) == ["deal = by-group, seed 1"]
    assert "needs data with groups" in found.failures["deal = by-group, seed 1"]
    assert sorted(watching.rounds) == [(f"deal = {deal}, seed 1", n) for deal in ("even", "quantity") for n in (1, 2)]
    assert workers() == []


def test_worker_that_is_killed_takes_only_its_own_run_with_it(scenario, tmp_path):
    victims = []

    def kill_the_first():
        if not victims:
            victims.extend(workers())
            os.kill(victims[0].pid, signal.SIGKILL)

    found = sweep(scenario(seeds=[1, 2], rounds=12), tmp_path, 1, False, Watching(kill_the_first))
    assert [one.seed for one in found.outcomes] == [2]
    assert "was killed (signal 9); when memory ran out" in found.failures["seed 1"]


def test_interrupt_ends_the_workers_and_keeps_what_is_done(scenario, tmp_path):
    class Interrupted(Watching):
        def end(self, job, problem):
            super().end(job, problem)
            os.kill(os.getpid(), signal.SIGINT)

    wanted = scenario(seeds=[1, 2, 3, 4], rounds=8)
    with pytest.raises(KeyboardInterrupt):
        sweep(wanted, tmp_path, 1, False, Interrupted())
    assert workers() == []
    assert 1 <= len(Folder(tmp_path).finished(jobs(wanted))) < 4


def test_time_left_follows_the_pace(scenario, outcome):
    now = [0.0]
    standing = Standing(clock=lambda: now[0])
    first, second = jobs(scenario(seeds=[1, 2], rounds=3))
    standing.begin([first, second], [])
    assert standing.seconds_left is None
    now[0] = 10.0
    standing.round(first, outcome().rounds[0])
    assert standing.seconds_left == 50.0
    standing.end(first, "broken")
    assert standing.seconds_left == 30.0
    assert (standing.finished, standing.failed) == (0, 1)


def test_board_shows_the_running_runs(scenario, outcome):
    (job,) = jobs(scenario())
    standing = Standing()
    standing.begin([job], [])
    for done in outcome().rounds[:2]:
        standing.round(job, done)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(drawn(standing))
    text = console.export_text()
    assert "2 of 2" in text
    standing.start(job)
    console.print(drawn(standing))
    assert "people and parties are made" in console.export_text()
    assert "accuracy 0.3" in text, "the score of the last round that was evaluated"


def test_lines_for_pipes(scenario, outcome, capsys):
    (job,) = jobs(scenario())
    with board(Console(highlight=False)) as shown:
        shown.begin([job], [])
        shown.round(job, outcome().rounds[0])
        shown.end(job, "")
    assert capsys.readouterr().out == "seed 1: accuracy 0.3 (done)\n"


@pytest.mark.parametrize(("seconds", "said"), [(5, "5 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_said_as_people_say_them(seconds, said):
    assert duration(seconds) == said
