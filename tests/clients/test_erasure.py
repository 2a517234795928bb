"""Who is erased is in no file of the node any more; everybody else, the logs and what was spent stay as they were."""

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap

from clients import budget, consent, erasure, people, updates
from clients.data.rows import ImportedRows
from clients.data.shelf import damaged
from clients.ledger_report import spending
from clients.node import Node
from clients.policy import Policy
from clients.settings import DEFAULT_NODE_TOML, NodeFolder
from clients.store import Answered, Dataset, Imported, NodeStore, activities, imports, open_store, verify
from clients.store.database import Database, Transaction
from federation import cli, workloads
from federation.consent import Purpose
from federation.errors import SchemaError, StoreError
from federation.ids import PartyId, PersonNumber, TaskDigest
from federation.roles import Role
from server.rounds import run_task
from simulations.parties import Cast, Federation, gather, numbers
from simulations.seeded import SeededSource

LAB, WORKLOAD, NOW = PartyId("motion-lab"), "running_pace", datetime(2026, 5, 1, tzinfo=UTC)
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=50,
    max_epsilon_per_task=50,
    min_people=1,
)
MAPPING = 'person = "name"\ntarget = "pace"\n[columns]\nfemale = "sex"\n[codes.female]\nF = 1\nM = 0\n'
RUNNERS = "name,age,sex,start_delay,pace\nann,30,F,10,300\nbob,41,M,20,310\nbob,42,M,21,311\ncem,50,M,5,350\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Node]:
    """A node with six people of two rows each, who all permit training."""
    cast = [Cast(LAB, Role.DATA_PROVIDER, workloads.find(WORKLOAD).invent(1, 6, 2))]
    node = gather(tmp_path, WORKLOAD, cast, POLICY, SeededSource(1)).nodes[LAB]
    yield node
    node.store.close()


def rows_of(node: Node, who: BitMap) -> Any:
    return ImportedRows(node.folder, node.store).of(WORKLOAD, False, who)


def eligible(store: NodeStore) -> BitMap:
    return consent.eligible(store, Purpose.TRAIN_MOTION_MODELS, datetime.now(UTC)).people


def files_of(folder: NodeFolder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.path.rglob("*")) if path.is_file())


def test_rows_of_the_erased_are_in_no_file_and_those_of_the_others_are_as_they_were(lab: Node) -> None:
    gone, others = numbers(lab, 6)[2], BitMap(numbers(lab, 6)) - BitMap([numbers(lab, 6)[2]])
    own, before = rows_of(lab, BitMap([gone])).fields["x"].numpy(), rows_of(lab, others)
    assert own[0].tobytes() in files_of(lab.folder)
    erasure.forget(lab.store, BitMap([gone]), datetime.now(UTC))
    assert not any(row.tobytes() in files_of(lab.folder) for row in own)
    assert b"person-2" not in files_of(lab.folder)
    after = rows_of(lab, others)
    assert all(np.array_equal(after.fields[name], before.fields[name]) for name in before.fields)
    assert np.array_equal(after.person, before.person)
    [data] = lab.store.datasets()
    assert (data.rows, data.people, damaged(lab.folder, data)) == (10, others, False)
    assert eligible(lab.store) == others
    assert [path.name for path in (lab.folder.data / WORKLOAD).iterdir()] == [Path(data.file).name]


def test_an_import_of_nobody_else_goes_as_a_whole(lab: Node) -> None:
    erasure.forget(lab.store, BitMap(numbers(lab, 6)), datetime.now(UTC))
    assert lab.store.datasets() == ()
    assert list((lab.folder.data / WORKLOAD).iterdir()) == []
    assert not ImportedRows(lab.folder, lab.store).people(WORKLOAD, False)


def answers(store: NodeStore) -> list[bytes]:
    """The last bytes, which are of the payload, of each stored answer to a question to train."""
    with store.reading() as tx:
        found = tx.connection().exec_driver_sql("SELECT blob FROM answer WHERE kind = 'train' AND blob IS NOT NULL")
        return [blob[-40:] for blob in found.scalars()]


def test_answers_made_of_the_rows_are_deleted_while_log_and_ledger_still_verify(
    federation: Federation, launch: Callable[..., str]
) -> None:
    run_task(federation.coordinator, federation.link, launch(rounds=1))
    node = federation.nodes[LAB]
    gone = PersonNumber(numbers(node, 6)[0])
    before, spent = verify(node.store), budget.spent(node.store, gone)
    [trace] = erasure.traces(node.store, {"person-0": gone}, node.policy())
    assert (trace.rows, trace.imports, trace.statements) == (2, (1,), 1)
    assert [(model["task"], model["answers"]) for model in trace.models] == [("private", 1)]
    assert 0 < trace.epsilon < 20
    [bits] = answers(node.store)
    assert bits in files_of(node.folder)
    erasure.forget(node.store, BitMap([gone]), datetime.now(UTC))
    assert answers(node.store) == []
    assert sum(group["people"] for group in spending(node.folder)["groups"]) == 5
    assert bits not in files_of(node.folder)
    after = verify(node.store)
    assert (after.reservations, after.consent_events) == (before.reservations, before.consent_events + 1)
    assert np.array_equal(budget.spent(node.store, gone), spent)
    assert np.allclose(budget.spent(node.store, people.person_number(node.store, "person-0")), spent)
    run_task(federation.coordinator, federation.link, launch(name="next", rounds=1))
    assert gone not in node.store.activities()[-1].people


def test_a_contract_that_cannot_be_read_any_more_stops_no_erasure(lab: Node) -> None:
    task, gone = TaskDigest("c" * 64), PersonNumber(numbers(lab, 6)[0])
    lab.store.accept_task("{}", task, NOW)
    lab.store.record_answer(
        Answered(task, 1, 0, "train", b"bytes", Purpose.TRAIN_MOTION_MODELS, BitMap([gone]), "d" * 64, NOW)
    )
    [trace] = erasure.traces(lab.store, {"person-0": gone}, lab.policy())
    assert trace.models == ({"task": task, "answers": 1, "privacy": "unknown"},)


def test_an_answer_that_was_being_made_during_the_erasure_is_not_kept(
    federation: Federation, launch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, genuine = federation.nodes[LAB], updates._record
    name, gone = launch(rounds=1), BitMap([numbers(node, 6)[0]])

    def erased_first(asked: Node, *arguments: Any) -> bytes:
        if asked.pinned.party == LAB:
            erasure.forget(node.store, gone, datetime.now(UTC))
        return genuine(asked, *arguments)

    monkeypatch.setattr(updates, "_record", erased_first)
    run_task(federation.coordinator, federation.link, name)
    assert any("somebody was erased" in entry.body for entry in node.store.audit_entries())
    assert answers(node.store) == []


def test_only_recordings_of_the_erased_may_come_again(tmp_path: Path) -> None:
    with open_store(tmp_path, lambda: NOW) as store:
        known = people.person_numbers(store, ["ann", "bob"])
        rows = Imported("x", "x/1", 3, BitMap(known.values()), "f" * 64, False, ("1", "2", "3"), {"1": 0, "2": 1})
        rest = Imported("x", "x/2", 1, BitMap([1]), "e" * 64, False)
        number = store.add_dataset(rows).number
        with store.transaction() as tx:
            imports.replace(tx, number, rest, BitMap([known["ann"]]))
        assert store.known_recordings("x", ["1", "2", "3"]) == {"2", "3"}
        assert [(data.file, data.rows, data.number) for data in store.datasets()] == [("x/2", 1, number)]


def test_a_database_that_knew_not_whose_a_recording_is_keeps_it_with_its_import(tmp_path: Path) -> None:
    with open_store(tmp_path, lambda: NOW) as store:
        known = people.person_numbers(store, ["ann", "bob"])
        store.add_dataset(Imported("x", "x/1", 2, BitMap(known.values()), "f" * 64, False, ("1",), {"1": 0}))
    raw = sqlite3.connect(tmp_path / "node.sqlite")
    raw.executescript("ALTER TABLE recording DROP COLUMN person; PRAGMA user_version = 3")
    raw.close()
    with open_store(tmp_path, lambda: NOW) as store, store.transaction() as tx:
        imports.replace(tx, 1, Imported("x", "x/2", 1, BitMap([1]), "e" * 64, False), BitMap([0]))
        assert store.known_recordings("x", ["1"]) == {"1"}
        imports.replace(tx, 1, None, BitMap([1]))
        assert store.known_recordings("x", ["1"]) == frozenset()


def test_an_import_that_comes_meanwhile_stops_the_erasure(lab: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    [data] = lab.store.datasets()
    seen, before = iter([[data], [data, data]]), files_of(lab.folder)
    monkeypatch.setattr(erasure, "_with_rows_of", lambda *_: next(seen))
    with pytest.raises(StoreError, match="an import came or went"):
        erasure.forget(lab.store, BitMap([0]), NOW)
    assert files_of(lab.folder) == before
    assert lab.store.datasets() == (data,)


def test_ctrl_c_right_after_the_commit_leaves_the_rows_of_the_others(
    lab: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, pressed, known = NodeStore.transaction, iter([True]), BitMap(numbers(lab, 6))

    @contextmanager
    def pressed_after(store: NodeStore) -> Iterator[Transaction]:
        with genuine(store) as tx:
            yield tx
        if not store._node.in_transaction and next(pressed, False):
            raise KeyboardInterrupt

    monkeypatch.setattr(NodeStore, "transaction", pressed_after)
    with pytest.raises(KeyboardInterrupt):
        erasure.forget(lab.store, BitMap([known[0]]), datetime.now(UTC))
    assert len(rows_of(lab, known)) == 10
    assert people.finish_erasures(lab.store)


def test_a_reader_that_meets_the_old_import_reads_the_new_one(lab: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker may be about to open files when another process erases."""
    listed, first = NodeStore.datasets, numbers(lab, 6)[0]

    def erased_after_listing(store: NodeStore, workload: str | None = None) -> tuple[Dataset, ...]:
        found = listed(store, workload)
        if workload is not None:
            monkeypatch.setattr(NodeStore, "datasets", listed)
            erasure.forget(store, BitMap([first]), datetime.now(UTC))
        return found

    monkeypatch.setattr(NodeStore, "datasets", erased_after_listing)
    assert len(rows_of(lab, BitMap(numbers(lab, 6)))) == 10


KILLS: dict[str, tuple[Any, str, bool]] = {
    "before anything is in place": (erasure, "put_in_place", False),
    "before it is registered": (imports, "replace", False),
    "before the commit": (activities, "drop_answers", False),
    "after the commit": (people, "finish_erasures", True),
    "before the identity goes": (people.registry, "erase", True),
    "before it is scrubbed": (Database, "scrub", True),
    "before deleted answers leave the log": (NodeStore, "wipe", True),
    "before old rows go": (people.leftovers, "clear", True),
}


@pytest.mark.parametrize("instant", KILLS)
def test_kill_9_leaves_everything_or_what_the_next_command_finishes(lab: Node, instant: str) -> None:
    place, name, erased = KILLS[instant]
    gone, others = numbers(lab, 6)[2], BitMap(numbers(lab, 6)) - BitMap([numbers(lab, 6)[2]])
    own = rows_of(lab, BitMap([gone])).fields["x"][0].numpy().tobytes()
    lab.store.close()
    child = os.fork()
    if not child:
        with open_store(lab.folder) as store:
            setattr(place, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            erasure.forget(store, BitMap([gone]), datetime.now(UTC))
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with open_store(lab.folder) as store:
        verify(store)
        assert people.finish_erasures(store) is erased
        assert eligible(store) == (others if erased else others | BitMap([gone]))
        assert not any(damaged(lab.folder, data) for data in store.datasets())
        assert not people.finish_erasures(store)
    found = files_of(lab.folder)
    assert (own in found, b"person-2" in found) == (not erased, not erased)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeFolder:
    """A node that has not joined, with three runners."""
    folder = NodeFolder(tmp_path / "node")
    folder.path.mkdir()
    folder.settings.write_text(DEFAULT_NODE_TOML)
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "runners.csv").write_text(RUNNERS)
    monkeypatch.setenv("PACELINE_NODE", str(folder.path))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["node", "import", "runners.csv", "--mapping", "map.toml", "--workload", WORKLOAD]) == 0
    return folder


def known(folder: NodeFolder) -> set[str]:
    with open_store(folder) as store:
        return set(people.known_numbers(store, ["ann", "bob", "cem"]))


def test_the_command_shows_what_goes_and_asks_first(
    node: NodeFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, abort: asked.append(text))
    monkeypatch.setattr("clients.erasure.forget", lambda *_: None)
    assert cli.run(["node", "forget", "bob"]) == 0
    assert asked == ["Erase bob for good?"]
    shown = capsys.readouterr().out
    assert "What stays" in shown
    assert known(node) == {"ann", "bob", "cem"}


def test_json_without_yes_only_shows(node: NodeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.run(["node", "forget", "bob", "ann", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["erased"], [(one["person"], one["rows"]) for one in said["people"]]) == (
        False,
        [("bob", 2), ("ann", 1)],
    )
    assert known(node) == {"ann", "bob", "cem"}
    assert cli.run(["node", "forget", "bob", "ann", "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["erased"]
    assert known(node) == {"cem"}


def test_nobody_is_erased_by_a_misspelt_name(node: NodeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(node)
    assert cli.run(["node", "forget", "ann", "anne", "--yes"]) == 1
    assert "1 of 2 are not known here, such as anne" in capsys.readouterr().err
    assert known(node) == {"ann", "bob", "cem"}
    assert len(files_of(node)) == len(before)


def test_an_erasure_that_was_cut_off_is_finished_by_the_next_import(node: NodeFolder, tmp_path: Path) -> None:
    (tmp_path / "dot.csv").write_text("name,age,sex,start_delay,pace\ndot,20,F,1,290\n")
    imported = ["node", "import", "dot.csv", "--mapping", "map.toml", "--workload", WORKLOAD]
    line = {"person": "dot", "purpose": "train-motion-models", "state": "given", "at": "2026-04-01T10:00:00Z"}
    (tmp_path / "forms.jsonl").write_text(json.dumps({**line, "notice_version": "1", "adult": True}))
    for name, command in {"ann": imported, "cem": ["consent", "import", "forms.jsonl"]}.items():
        with open_store(node) as store, pytest.MonkeyPatch.context() as patch:
            patch.setattr(people, "finish_erasures", lambda _: False)
            erasure.forget(store, BitMap([people.find_person(store, name)]), datetime.now(UTC))
        assert name.encode() in files_of(node)
        assert cli.run(command) == 0
        assert name.encode() not in files_of(node)
        with open_store(node) as store:
            assert not people.finish_erasures(store)


def test_an_erasure_that_was_cut_off_is_finished_by_asking_for_it_again(
    node: NodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(node) as store:
        cem = people.find_person(store, "cem")
        with monkeypatch.context() as patch:
            patch.setattr(people, "finish_erasures", lambda _: False)
            erasure.forget(store, BitMap([cem]), datetime.now(UTC))
        assert b"cem" in files_of(node)
        with pytest.raises(SchemaError, match="An erasure that had been cut off before was finished"):
            erasure.find(store, ["cem"])
    assert b"cem" not in files_of(node)
