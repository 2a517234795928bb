"""Parties that follow the view by differences, and what those are sent who cannot, through the real round."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest

from clients.store import views
from federation import wire
from federation.errors import Refusal
from federation.ids import PartyId, TaskDigest
from federation.link import Reply
from federation.messages import Answer, ModelRequest, RefusalAnswer
from federation.shared_view import View
from federation.workload import flatten
from server import cohort
from server.coordinator import Model, from_bytes, open_coordinator, trail_of
from server.rounds import run_task
from server.store import PartyRound
from simulations.loopback import Loopback
from simulations.parties import Federation

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
SHARED = {
    "exchange": {"min_parties": 2, "down": "ecq", "down_bits": 4.0},
    "evaluation": {"disclosure": "published", "every_rounds": 99},
}


@pytest.fixture(scope="module")
def federation(lasting_federation: Federation) -> Federation:
    return lasting_federation


class Killed(BaseException):
    """The coordinator ends here."""


@pytest.fixture(autouse=True)
def impatient(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round waits for nobody beyond `min_parties`; what the test before did to the link is over."""
    monkeypatch.setattr(cohort, "GRACE_S", 0.0)
    federation.link.absent.clear()
    federation.link.faults.clear()


@dataclass
class Eavesdropper:
    """A link that notes what each party was sent.

    `acts` happen before the question of that number leaves; questions to the `unplugged` are lost on their way.
    """

    inner: Loopback
    key: bytes
    acts: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    unplugged: set[PartyId] = field(default_factory=set)
    heard: list[tuple[PartyId, ModelRequest, int]] = field(default_factory=list)
    questions: int = 0

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        for act in [act for number, act in self.acts if number == self.questions]:
            act()
        self.questions += 1
        for party, blob in requests.items():
            question, _ = wire.read_request(blob, self.key, 1 << 24)
            if isinstance(question, ModelRequest):
                self.heard.append((party, question, len(blob)))
        yield from (Reply(party, None, "lost on its way") for party in requests if party in self.unplugged)
        yield from self.inner.ask({p: blob for p, blob in requests.items() if p not in self.unplugged}, deadline_s)

    def sent(self, party: PartyId, kind: str = "train") -> list[tuple[int, str]]:
        """The round of each question, and what its payload was: model, nothing, or how many differences."""
        return [
            (question.round, str(len(question.bases) or question.carries))
            for who, question, _ in self.heard
            if (who, question.kind) == (party, kind)
        ]


@dataclass
class Play:
    """A task with a view, about to run."""

    federation: Federation
    name: str
    link: Eavesdropper

    def run(self) -> None:
        run_task(self.federation.coordinator, self.link, self.name)

    def before(self, question: int, act: Callable[[], object]) -> None:
        """Let `act` happen before that question leaves; 0 is for the first weights."""
        self.link.acts.append((question, act))

    @property
    def digest(self) -> TaskDigest:
        return self.federation.coordinator.store.task(self.name).digest

    @property
    def model(self) -> Model:
        latest = self.federation.coordinator.store.latest_model(self.digest)
        assert latest is not None
        return from_bytes(latest.round, latest.data, latest.memory)

    @property
    def rows(self) -> list[PartyRound]:
        return self.federation.coordinator.store.party_rounds(self.digest)

    def told(self, party: PartyId) -> list[tuple[int, str]]:
        """What became of each question to train."""
        return [(row.round, row.code or row.outcome) for row in self.rows if (row.party, row.kind) == (party, "train")]

    def forget(self, party: PartyId) -> None:
        with self.federation.nodes[party].store.transaction() as tx:
            views.forget(tx, self.digest)


Start = Callable[..., Play]


@pytest.fixture
def start(federation: Federation, launch: Callable[..., str]) -> Start:
    def started(rounds: int = 3, **changes: object) -> Play:
        name = f"task-{len(federation.coordinator.store.tasks())}"
        launch(**({"name": name, "rounds": rounds} | SHARED | changes))
        key = federation.coordinator.identity.public_key
        return Play(federation, name, Eavesdropper(federation.link, key))

    return started


def test_a_party_is_sent_the_model_once_and_then_what_it_lacks(start: Start) -> None:
    play = start()
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (3, "1")]
    assert {row.outcome for row in play.rows} == {"answered"}


def test_who_scored_a_model_trains_from_it_without_another_byte(start: Start) -> None:
    play = start(evaluation={"disclosure": "published"})
    play.run()
    assert play.link.sent(COACH) == [(1, "model"), (2, "nothing"), (3, "nothing")]
    assert play.link.sent(COACH, "evaluate") == [(1, "1"), (2, "1"), (3, "1")]
    assert [scores.round for scores in play.federation.coordinator.store.evaluations(play.digest)] == [1, 2, 3]


def test_everybody_trains_from_the_view_but_the_exact_model_is_released(start: Start) -> None:
    play = start()
    play.run()
    exact, trail = flatten(play.model.weights, sorted(play.model.weights)), trail_of(play.model)
    named = {question.model for _, question, _ in play.link.heard}
    assert len(named) == 4
    assert named == {trail.view.digest, *(step.base for step in trail.differences)}
    apart = np.linalg.norm(exact - trail.view.vector) / np.linalg.norm(exact)
    assert 0 < apart < 0.5
    release = play.federation.coordinator.store.release(play.digest)
    assert release is not None
    told = (play.federation.coordinator.folder.releases / release.path / "card.md").read_text("utf-8")
    assert f"{apart:.2g} of their length from the released weights" in told


def test_what_was_sent_is_counted_to_the_byte(start: Start) -> None:
    play = start(evaluation={"disclosure": "published"})
    play.before(3, lambda: play.forget(LAB))
    play.run()
    sent: dict[tuple[PartyId, str, int], int] = {}
    for party, question, size in play.link.heard:
        key = (party, question.kind, question.attempt)
        sent[key] = sent.get(key, 0) + size
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (2, "model"), (3, "1")]
    about_models = [row for row in play.rows if row.kind != "initialise"]
    assert {(row.party, row.kind, row.attempt): row.bytes_down for row in about_models} == sent


def test_a_late_joiner_is_sent_the_whole_view(start: Start) -> None:
    play = start()
    play.federation.link.absent.add(LAB)
    play.before(2, play.federation.link.absent.clear)
    play.run()
    assert play.link.sent(LAB) == [(3, "model")]
    assert play.told(LAB) == [(3, "answered")]


def test_who_missed_two_rounds_is_sent_their_differences(start: Start) -> None:
    play = start(4)
    play.before(2, lambda: play.federation.link.absent.add(LAB))
    play.before(3, play.federation.link.absent.clear)
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (4, "3")]
    assert [outcome for _, outcome in play.told(LAB)][-1] == "answered"
    assert play.link.sent(ARCHIVE) == [(1, "model"), (2, "1"), (3, "1"), (4, "1")]


def test_who_missed_more_rounds_than_a_model_is_long_is_sent_the_model(start: Start) -> None:
    play = start(7, privacy={"unit": "none"})
    play.before(2, lambda: play.federation.link.absent.add(LAB))
    play.before(6, play.federation.link.absent.clear)
    play.run()
    kept = trail_of(play.model).differences
    assert sum(len(step.coded) for step in kept) <= 4 * 24
    assert len(kept) < 6
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (7, "model")]


@pytest.mark.parametrize("way", ["question", "answer"])
def test_a_round_that_was_lost_on_its_way_is_caught_up(start: Start, way: str) -> None:
    """A lost question leaves the party with the old view, a lost answer with the new one; nobody knows which."""
    play, faults = start(), play_faults(way)
    play.before(2, lambda: faults(play, True))
    play.before(3, lambda: faults(play, False))
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (3, "2")]
    assert [code for _, code in play.told(LAB)] == ["answered", "lost on its way", "answered"]


def play_faults(way: str) -> Callable[[Play, bool], None]:
    def question(play: Play, on: bool) -> None:
        play.link.unplugged = {LAB} if on else set()

    def answer(play: Play, on: bool) -> None:
        faults = play.federation.link.faults
        faults.update({LAB: lambda party, _: [Reply(party, None, "lost on its way")]}) if on else faults.clear()

    return question if way == "question" else answer


def test_a_node_whose_store_was_restored_is_asked_again_with_the_whole_view(start: Start) -> None:
    play = start()
    old: list[View] = []
    play.before(2, lambda: old.append(kept(play, LAB)))
    play.before(3, lambda: keep(play, LAB, old[0]))
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (3, "1"), (3, "model")]
    assert play.told(LAB) == [(1, "answered"), (2, "answered"), (3, "answered")]
    nonces = [question.nonce for who, question, _ in play.link.heard if who == LAB and question.round == 3]
    assert len(nonces) == 2
    assert len(set(nonces)) == 1
    charged = play.federation.nodes[LAB].store.activities(play.digest)
    assert [activity.round_number for activity in charged] == [1, 2, 3]


def kept(play: Play, party: PartyId) -> View:
    with play.federation.nodes[party].store.reading() as tx:
        view = views.find(tx, play.digest, 24)
    assert view is not None
    return view


def keep(play: Play, party: PartyId, view: View) -> None:
    with play.federation.nodes[party].store.transaction() as tx:
        views.keep(tx, play.digest, view, play.federation.coordinator.clock() + timedelta(days=1))


def test_who_cannot_follow_twice_is_left_out_and_sent_the_whole_view_next(start: Start) -> None:
    play = start()

    def lose_the_second(party: PartyId, blob: bytes) -> list[Reply]:
        answer, _ = wire.read_answer(blob, play.federation.nodes[party].identity.public_key, 1 << 20)
        return [Reply(party, blob if isinstance(answer, RefusalAnswer) else None, "lost on its way")]

    play.before(2, lambda: (play.forget(LAB), play.federation.link.faults.update({LAB: lose_the_second})))
    play.before(4, play.federation.link.faults.clear)
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (2, "model"), (3, "model")]
    assert play.told(LAB) == [(1, "answered"), (2, "stale-view"), (3, "answered")]


def test_a_party_that_refuses_every_round_costs_few_bytes(start: Start) -> None:
    """It says nothing about its view; that it was paused is found out when it is back."""
    play = start(4)
    store = play.federation.nodes[LAB].store
    play.before(2, lambda: store.set_paused(True))
    play.before(4, lambda: store.set_paused(False))
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (3, "1"), (4, "1"), (4, "model")]
    assert [code for _, code in play.told(LAB)] == ["answered", "paused", "paused", "answered"]


@pytest.mark.parametrize("question", [2, 3])
def test_a_coordinator_that_was_killed_goes_on_with_the_same_view(start: Start, question: int) -> None:
    """Before the next question was asked, so that it is new after the restart; and with it on disk."""
    play, views_before = start(), []

    def kill() -> None:
        views_before.append(trail_of(play.model).view.digest)
        raise Killed

    play.before(question, kill)
    with pytest.raises(Killed):
        play.run()
    again = open_coordinator(play.federation.coordinator.folder.path)
    play.link.acts.clear()
    run_task(again, play.link, play.name)
    asked = [question.model for who, question, _ in play.link.heard if who == LAB and question.round == 3]
    assert {row.outcome for row in play.rows} == {"answered"}
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (3, "1")]
    assert views_before[0] in {question.model for _, question, _ in play.link.heard}
    assert len(asked) == 1


def test_two_runs_of_a_restarted_coordinator_and_a_steady_one_share_their_view(start: Start) -> None:
    play = start()
    play.run()
    trail = trail_of(play.model)
    again = from_bytes(3, *stored(play)).memory.trail
    assert again is not None
    assert again.view.digest == trail.view.digest
    assert again.differences == trail.differences


def stored(play: Play) -> tuple[bytes, bytes]:
    latest = play.federation.coordinator.store.latest_model(play.digest)
    assert latest is not None
    return latest.data, latest.memory


def test_a_refusal_of_an_earlier_question_brings_no_whole_view(start: Start) -> None:
    """Else whoever kept a copy could make the coordinator send a model in every round."""
    play, refused = start(), []

    def note(party: PartyId, blob: bytes) -> list[Reply]:
        refused.append(blob)
        return [Reply(party, blob)]

    faults = play.federation.link.faults
    play.before(2, lambda: (play.forget(LAB), faults.update({LAB: note})))
    play.before(4, lambda: faults.update({LAB: lambda party, _: [Reply(party, refused[0])]}))
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (2, "model"), (3, "1")]
    assert play.told(LAB) == [(1, "answered"), (2, "answered"), (3, "stale-view")]


@pytest.mark.parametrize("down", [{"down": "raw32"}, {"down": "ecq", "down_bits": 4.0}])
def test_who_was_sent_the_whole_model_is_not_asked_again(start: Start, down: dict[str, object]) -> None:
    play = start(exchange={"min_parties": 2, **down})
    node = play.federation.nodes[LAB]

    def refuse(party: PartyId, blob: bytes) -> list[Reply]:
        answer, _ = wire.read_answer(blob, node.identity.public_key, 1 << 20)
        words = answer.model_dump(include=set(Answer.model_fields))
        return [Reply(party, wire.pack(RefusalAnswer(**words, code=Refusal.STALE_VIEW), b"", node.identity))]

    play.federation.link.faults[LAB] = refuse
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "model"), (3, "model")]
    assert {code for _, code in play.told(LAB)} == {"stale-view"}


def test_a_party_of_a_secure_round_may_be_asked_again_with_the_whole_view(start: Start) -> None:
    """It had masked nothing yet: the second question is under the same mask keys."""
    masked = {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20, "clip": 5.0}
    play = start(3, privacy={"unit": "none"}, exchange=masked | {"down": "ecq", "down_bits": 4.0})
    play.before(
        4, lambda: play.forget(LAB)
    )  # after first weights, mask keys, the first round and the shares of its sum
    play.run()
    assert play.link.sent(LAB) == [(1, "model"), (2, "1"), (2, "model"), (3, "1")]
    assert {code for _, code in play.told(LAB)} == {"answered"}
    assert [len(row.parties) for row in play.federation.coordinator.store.rounds(play.digest)] == [0, 4, 4, 4]
