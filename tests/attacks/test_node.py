"""What a coordinator, or somebody who plays it, may try on a node; each ends in a refusal and changes nothing."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pyroaring import BitMap

from clients import budget, consent, rounds
from clients.data.rows import ImportedRows
from clients.node import Node
from clients.people import find_person
from clients.policy import Policy
from clients.rounds import answer
from clients.statements import ConsentStatement
from clients.store import open_store
from federation import wire
from federation.consent import ConsentState, Purpose
from federation.errors import Refusal
from federation.ids import GENESIS, LedgerHead, PartyId
from federation.messages import EvaluateRequest, InitialiseRequest, RefusalAnswer, TrainRequest, UpdateAnswer
from federation.signing import Identity
from server.coordinator import Model, run_of
from server.questions import Question, pose
from server.rounds import run_task
from simulations.parties import Federation, write_policy

LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
Launch = Callable[..., str]


@pytest.fixture
def question(federation: Federation, launch: Launch) -> tuple[Question, bytes]:
    """A genuine training question of the task `private`, with its payload."""
    return posed(federation, launch())


def posed(federation: Federation, name: str) -> tuple[Question, bytes]:
    coordinator = federation.coordinator
    run = run_of(coordinator.store.task(name).manifest())
    asked = pose(coordinator, run, "train", Model(0, run.workload.initial(0)), 1)
    return wire.read_request(asked.blob, coordinator.identity.public_key, 1 << 20)


def asked(federation: Federation, party: PartyId, question: Question, payload: bytes) -> object:
    return heard(federation.nodes[party], wire.pack(question, payload, federation.coordinator.identity))


def heard(node: Node, blob: bytes) -> object:
    header, _ = wire.read_answer(answer(node, blob), node.identity.public_key, 1 << 20)
    return header


def code(header: object) -> Refusal:
    assert isinstance(header, RefusalAnswer), header
    return header.code


def charges(node: Node) -> int:
    return max((group.charges for group in budget.table(node.store)), default=0)


def why(node: Node) -> str:
    return node.store.audit_entries()[-1].body


def test_a_genuine_question_is_answered(federation: Federation, question: tuple[Question, bytes]) -> None:
    assert isinstance(asked(federation, LAB, *question), UpdateAnswer)
    assert charges(federation.nodes[LAB]) == 1


def test_a_stranger_cannot_ask(federation: Federation, question: tuple[Question, bytes]) -> None:
    blob = wire.pack(question[0], question[1], Identity.create())
    assert code(heard(federation.nodes[LAB], blob)) is Refusal.BAD_SIGNATURE
    assert charges(federation.nodes[LAB]) == 0


@pytest.mark.parametrize("where", [10, 200, -100, -1])
def test_a_flipped_bit_is_found(federation: Federation, question: tuple[Question, bytes], where: int) -> None:
    blob = bytearray(wire.pack(question[0], question[1], federation.coordinator.identity))
    blob[where] ^= 1
    assert code(heard(federation.nodes[LAB], bytes(blob))) in {Refusal.BAD_SIGNATURE, Refusal.BAD_MESSAGE}
    assert charges(federation.nodes[LAB]) == 0


def test_the_same_question_gets_the_same_bytes_and_no_second_training(
    federation: Federation, question: tuple[Question, bytes]
) -> None:
    node, blob = federation.nodes[LAB], wire.pack(question[0], question[1], federation.coordinator.identity)
    assert answer(node, blob) == answer(node, blob)
    assert charges(node) == 1


def test_another_question_under_the_same_number_is_a_replay(
    federation: Federation, question: tuple[Question, bytes]
) -> None:
    asked(federation, LAB, *question)
    again = question[0].model_copy(update={"nonce": "e" * 32})
    assert code(asked(federation, LAB, again, question[1])) is Refusal.REPLAYED
    assert charges(federation.nodes[LAB]) == 1


@pytest.mark.parametrize(("minutes", "says"), [(-10, "the request is valid from"), (10, "compare the clocks")])
def test_a_question_from_another_time_is_refused(
    federation: Federation, question: tuple[Question, bytes], minutes: int, says: str
) -> None:
    shift = timedelta(minutes=minutes)
    moved = {"issued_at": question[0].issued_at + shift, "expires_at": question[0].expires_at + shift}
    assert code(asked(federation, LAB, question[0].model_copy(update=moved), question[1])) is Refusal.EXPIRED
    assert says in why(federation.nodes[LAB])
    assert charges(federation.nodes[LAB]) == 0


def test_a_task_that_was_not_accepted_is_refused(federation: Federation, question: tuple[Question, bytes]) -> None:
    other = question[0].model_copy(update={"task": hashlib.sha256(b"other").hexdigest()})
    assert code(asked(federation, LAB, other, question[1])) is Refusal.NOT_ACCEPTED


def test_a_task_that_was_left_is_refused_from_the_next_message_on(
    federation: Federation, question: tuple[Question, bytes]
) -> None:
    node = federation.nodes[LAB]
    node.store.leave_task(question[0].task, node.clock())
    assert code(asked(federation, LAB, *question)) is Refusal.NOT_ACCEPTED


def test_a_paused_node_refuses_even_to_repeat_itself(federation: Federation, question: tuple[Question, bytes]) -> None:
    asked(federation, LAB, *question)
    federation.nodes[LAB].store.set_paused(True)
    assert code(asked(federation, LAB, *question)) is Refusal.PAUSED


@pytest.mark.parametrize(
    ("party", "kind"),
    [(LAB, EvaluateRequest), (LAB, InitialiseRequest), (ALGO, EvaluateRequest), (COACH, InitialiseRequest)],
)
def test_a_role_does_nothing_that_the_table_does_not_allow(
    federation: Federation, question: tuple[Question, bytes], party: PartyId, kind: type[Question]
) -> None:
    fields = question[0].model_dump(exclude={"kind", "phase"})
    payload = b"" if kind is InitialiseRequest else question[1]
    assert code(asked(federation, party, kind(**fields), payload)) is Refusal.WRONG_ROLE
    assert charges(federation.nodes[party]) == 0


def test_a_model_other_than_the_signed_one_is_refused(federation: Federation, question: tuple[Question, bytes]) -> None:
    other = (np.frombuffer(question[1], dtype="<f4") + 1).astype("<f4").tobytes()
    assert code(asked(federation, LAB, question[0], other)) is Refusal.BAD_MESSAGE
    assert charges(federation.nodes[LAB]) == 0


@pytest.mark.parametrize("attempt", [5, 10**9])
def test_more_attempts_than_were_agreed_on_are_refused(
    federation: Federation, question: tuple[Question, bytes], attempt: int
) -> None:
    more = question[0].model_copy(update={"attempt": attempt})
    assert code(asked(federation, LAB, more, question[1])) is Refusal.POLICY
    assert charges(federation.nodes[LAB]) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"workloads": ()},
        {"purposes": ()},
        {"max_epsilon_per_task": 0.1},
        {"min_parties": 3},
        {"max_task_days": 0.01},
    ],
)
def test_an_edit_of_the_policy_holds_from_the_next_message_on(
    federation: Federation, question: tuple[Question, bytes], change: dict[str, object]
) -> None:
    node = federation.nodes[LAB]
    write_policy(node.folder, Policy.model_validate(node.policy().model_dump() | change))
    assert code(asked(federation, LAB, *question)) is Refusal.POLICY
    assert charges(node) == 0


def test_an_unprotected_task_needs_its_waiver(federation: Federation, launch: Launch) -> None:
    name = launch(name="bare", privacy={"unit": "none"})
    assert code(asked(federation, LAB, *posed(federation, name))) is Refusal.POLICY
    assert "no differential privacy" in why(federation.nodes[LAB])


def test_a_broken_settings_file_allows_nothing(federation: Federation, question: tuple[Question, bytes]) -> None:
    federation.nodes[LAB].folder.settings.write_text("[policy\n", "utf-8")
    assert isinstance(asked(federation, LAB, *question), RefusalAnswer)
    assert charges(federation.nodes[LAB]) == 0


def test_a_used_up_budget_is_refused_before_any_training(
    federation: Federation, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = launch()
    run_task(federation.coordinator, federation.link, name)
    node = federation.nodes[LAB]
    tight = {"max_epsilon": 3.3, "max_epsilon_per_task": 3.3}
    question = posed(federation, launch(name="second", rounds=1, privacy=CHEAP))
    write_policy(node.folder, Policy.model_validate(node.policy().model_dump() | tight))
    monkeypatch.setattr("clients.training.person_updates", lambda *_: pytest.fail("trained without a reservation"))
    assert code(asked(federation, LAB, *question)) is Refusal.BUDGET_EXHAUSTED
    assert charges(node) == 3


CHEAP = {
    "unit": "person",
    "sampling_rate": 1.0,
    "noise_multiplier": 2.0,
    "clip": 0.5,
    "rows_per_person": 4,
    "max_attempts": 2,
    "delta": 1e-3,
}


def withdraw(node: Node, person: str, purpose: Purpose = Purpose.TRAIN_MOTION_MODELS) -> None:
    statement = ConsentStatement(
        person=find_person(node.store, person),
        purpose=purpose,
        state=ConsentState.WITHDRAWN,
        at=node.clock(),
        notice_version="test",
        evidence="said so",
    )
    consent.record(node.store, statement)


def test_a_withdrawn_person_is_neither_charged_nor_used(
    federation: Federation, question: tuple[Question, bytes]
) -> None:
    node = federation.nodes[LAB]
    withdraw(node, "person-0")
    gone = find_person(node.store, "person-0")
    asked(federation, LAB, *question)
    [activity] = node.store.activities()
    assert gone not in activity.people
    assert len(activity.people) == 5
    assert budget.spent(node.store, gone).sum() == 0


def test_a_withdrawal_before_the_sum_drops_the_person(
    federation: Federation, question: tuple[Question, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clients import training, updates

    node, summed = federation.nodes[LAB], []
    genuine, bounded = training.person_updates, updates.bound

    def withdrawn_while_training(*arguments: object) -> object:
        withdraw(node, "person-0")
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "person_updates", withdrawn_while_training)
    monkeypatch.setattr(updates, "bound", lambda rows, clip: summed.append(len(rows)) or bounded(rows, clip))
    assert isinstance(asked(federation, LAB, *question), UpdateAnswer)
    assert summed == [5]


@pytest.mark.parametrize("instant", ["add_noise", "common"])
def test_a_withdrawal_after_the_sum_discards_the_update_and_stays_charged(
    federation: Federation, question: tuple[Question, bytes], monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    from clients import updates

    node, genuine = federation.nodes[LAB], getattr(updates, instant)

    def withdrawn_after_the_sum(*arguments: object) -> object:
        withdraw(node, "person-0")
        return genuine(*arguments)

    monkeypatch.setattr(updates, instant, withdrawn_after_the_sum)
    assert code(asked(federation, LAB, *question)) is Refusal.ATTEMPT_LOST
    assert node.store.activities() == ()
    assert charges(node) == 1
    assert code(asked(federation, LAB, *question)) is Refusal.ATTEMPT_LOST


def test_an_answer_that_waits_for_its_time_is_held_back_by_a_withdrawal(federation: Federation, launch: Launch) -> None:
    """`answer_after_s` may be an hour; until then the bytes are in flight."""
    node = federation.nodes[LAB]
    waiting = replace(node, sleep=lambda _: withdraw(node, "person-0"))
    question = posed(federation, launch(answer_after_s=20.0))
    assert code(heard(waiting, wire.pack(*question, federation.coordinator.identity))) is Refusal.ATTEMPT_LOST
    assert any("withdrew" in entry.body for entry in node.store.audit_entries())
    assert charges(node) == 1


def test_a_stored_answer_is_not_sent_again_after_a_withdrawal(
    federation: Federation, question: tuple[Question, bytes]
) -> None:
    assert isinstance(asked(federation, LAB, *question), UpdateAnswer)
    withdraw(federation.nodes[LAB], "person-0")
    assert code(asked(federation, LAB, *question)) is Refusal.ATTEMPT_LOST
    assert charges(federation.nodes[LAB]) == 1


@pytest.mark.parametrize("purpose", [Purpose.TRAIN_MOTION_MODELS, Purpose.PUBLISH_SCORES])
def test_scores_are_held_back_by_a_withdrawal_while_they_are_made(
    federation: Federation, launch: Launch, monkeypatch: pytest.MonkeyPatch, purpose: Purpose
) -> None:
    question, payload = posed(federation, launch())
    words = question.model_dump(exclude={"kind", "phase"})
    node, made = federation.nodes[COACH], rounds.evaluate

    def withdrawn_meanwhile(*arguments: object) -> bytes:
        blob = made(*arguments)  # type: ignore[arg-type]
        withdraw(node, "held-out-0", purpose)
        return blob

    monkeypatch.setattr(rounds, "evaluate", withdrawn_meanwhile)
    assert code(asked(federation, COACH, EvaluateRequest(**words), payload)) is Refusal.ATTEMPT_LOST


def test_everybody_withdrawn_means_no_training(federation: Federation, question: tuple[Question, bytes]) -> None:
    for number in range(6):
        withdraw(federation.nodes[LAB], f"person-{number}")
    assert code(asked(federation, LAB, *question)) is Refusal.NO_CONSENT
    assert charges(federation.nodes[LAB]) == 0


def test_a_node_restored_from_a_backup_notices_and_refuses(
    federation: Federation, launch: Launch, tmp_path: Path
) -> None:
    folder = federation.nodes[LAB].folder
    first = launch()
    reopened(federation, lambda: shutil.copy(folder.database, tmp_path / "backup"))
    run_task(federation.coordinator, federation.link, first)
    reopened(federation, lambda: shutil.copy(tmp_path / "backup", folder.database))
    assert charges(federation.nodes[LAB]) == 0
    question = posed(federation, launch(name="later", privacy=CHEAP, rounds=1))
    assert code(asked(federation, LAB, *question)) is Refusal.LEDGER_ROLLED_BACK
    assert charges(federation.nodes[LAB]) == 0


def test_a_refusal_does_not_make_others_forget_the_newest_head(
    federation: Federation, launch: Launch, tmp_path: Path
) -> None:
    """Else the second question would find nothing wrong with the old copy."""
    folder, store = federation.nodes[LAB].folder, federation.coordinator.store
    first = launch()
    reopened(federation, lambda: shutil.copy(folder.database, tmp_path / "backup"))
    run_task(federation.coordinator, federation.link, first)
    newest = store.heads()[LAB]
    reopened(federation, lambda: shutil.copy(tmp_path / "backup", folder.database))
    later = launch(name="later", privacy=CHEAP, rounds=2)
    run_task(federation.coordinator, federation.link, later)
    rounds = [row for row in store.party_rounds(store.task(later).digest) if row.party == LAB and row.kind == "train"]
    assert [row.code for row in rounds] == [Refusal.LEDGER_ROLLED_BACK] * 2
    assert store.heads()[LAB] == newest
    assert charges(federation.nodes[LAB]) == 0


@pytest.mark.parametrize("terms", [{"unit": "none"}, CHEAP])
def test_no_answer_of_an_old_copy_shows_its_own_head(
    federation: Federation, launch: Launch, terms: dict[str, object]
) -> None:
    question, payload = posed(federation, launch(name="plain", privacy=terms, rounds=1))
    newest = LedgerHead("ab" * 32)
    header = asked(federation, LAB, question.model_copy(update={"ledger_heads": {LAB: newest}}), payload)
    assert isinstance(header, UpdateAnswer | RefusalAnswer)
    assert header.ledger_head == newest


def test_the_ledgers_of_parties_outside_of_the_cohort_are_not_told(federation: Federation, launch: Launch) -> None:
    store = federation.coordinator.store
    with store.transaction() as session:
        store.save_heads(session, {PartyId("somebody-else"): LedgerHead("cd" * 32)})
    question, _ = posed(federation, launch())
    assert "somebody-else" not in question.ledger_heads


def reopened(federation: Federation, meanwhile: Callable[[], object]) -> None:
    """Close the store of `LAB`, do something to its files, open it again."""
    node = federation.nodes[LAB]
    node.store.close()
    for leftover in node.folder.path.glob("node.sqlite-*"):
        leftover.unlink()
    meanwhile()
    store = open_store(node.folder)
    nodes = dict(federation.nodes) | {LAB: replace(node, store=store, rows=ImportedRows(node.folder, store))}
    object.__setattr__(federation, "nodes", nodes)
    federation.link.nodes = nodes


def test_a_coordinator_that_forgets_the_head_cannot_make_a_node_charge_less(
    federation: Federation, question: tuple[Question, bytes]
) -> None:
    forgotten = question[0].model_copy(update={"ledger_heads": {LAB: LedgerHead(GENESIS)}})
    assert isinstance(asked(federation, LAB, forgotten, question[1]), UpdateAnswer)
    assert charges(federation.nodes[LAB]) == 1


def test_an_exception_in_training_leaves_with_a_code_and_no_text(
    federation: Federation, question: tuple[Question, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def quotes_a_row(*_: object) -> None:
        raise ValueError("row 7 of Anna: 9.81")

    monkeypatch.setattr("clients.training.person_updates", quotes_a_row)
    blob = answer(federation.nodes[LAB], wire.pack(*question, federation.coordinator.identity))
    assert b"Anna" not in blob
    assert b"internal" in blob
    assert charges(federation.nodes[LAB]) == 1


def test_an_answer_never_leaves_before_its_time(federation: Federation, launch: Launch) -> None:
    slept: list[float] = []
    node = replace(federation.nodes[LAB], sleep=slept.append)
    question = posed(federation, launch(answer_after_s=20.0))
    heard(node, wire.pack(*question, federation.coordinator.identity))
    assert 10 < slept[0] <= 20


def test_a_refusal_waits_like_an_answer(federation: Federation, launch: Launch) -> None:
    slept: list[float] = []
    node = replace(federation.nodes[LAB], sleep=slept.append)
    for number in range(6):
        withdraw(node, f"person-{number}")
    question = posed(federation, launch(answer_after_s=20.0))
    assert code(heard(node, wire.pack(*question, federation.coordinator.identity))) is Refusal.NO_CONSENT
    assert 10 < slept[0] <= 20


def test_the_snapshot_says_nothing_about_who(federation: Federation, question: tuple[Question, bytes]) -> None:
    header = asked(federation, LAB, *question)
    assert isinstance(header, UpdateAnswer)
    guesses = [BitMap(range(6)), BitMap(range(5))]
    assert header.weight == 0
    assert header.snapshot not in {hashlib.sha256(guess.serialize()).hexdigest() for guess in guesses}


def test_record_level_tasks_charge_people_by_group_privacy(federation: Federation, launch: Launch) -> None:
    record = CHEAP | {"unit": "record", "rows_per_person": 2, "noise_multiplier": 4.0, "sampling_rate": 0.5}
    question = posed(federation, launch(name="by-record", rounds=1, privacy=record))
    assert isinstance(question[0], TrainRequest)
    assert isinstance(asked(federation, LAB, *question), UpdateAnswer)
    terms = federation.coordinator.store.task("by-record").manifest().privacy
    from federation.terms import PersonTerms
    from privacy.accounting import rdp

    assert isinstance(terms, PersonTerms)
    [group] = [group for group in budget.table(federation.nodes[LAB].store) if group.charges]
    assert group.curve == pytest.approx(rdp(terms.person_cost(), 1))
    assert terms.person_cost().noise_multiplier == 2.0
