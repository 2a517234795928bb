"""What a long benchmark keeps of its finished parts, and which parts it is asked for."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.errors import UsageError
from simulations.benchmarks import record
from simulations.benchmarks.kept import Kept, picked


def test_a_part_that_was_kept_is_not_measured_again_until_it_is_forgotten(tmp_path):
    kept = Kept(tmp_path / "folder" / "parts.jsonl")
    assert [kept.part("one", lambda number=number: number) for number in (1, 2)] == [1, 1]
    assert kept.part("two", lambda: {"score": 2.0}) == {"score": 2.0}
    kept.forget(["one"])
    assert list(kept.parts()) == ["two"]
    assert kept.part("one", lambda: 3) == 3
    kept.forget(kept.parts())
    assert list(kept.file.parent.iterdir()) == []


def test_a_part_says_which_machine_and_commit_measured_it(tmp_path):
    kept = Kept(tmp_path / "parts.jsonl")
    kept.keep("one", 1)
    kept.keep("one", 2)
    (line,) = kept.file.read_text().splitlines()
    assert json.loads(line) == {"name": "one", "machine": record.machine(), "commit": record.commit(), "found": 2}


def test_a_benchmark_that_ends_while_it_writes_keeps_what_was_there(tmp_path, monkeypatch):
    kept = Kept(tmp_path / "parts.jsonl")
    kept.keep("one", 1)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match=r"No space left on device: .*parts\.jsonl"):
        kept.keep("two", 2)
    assert list(tmp_path.iterdir()) == [kept.file]
    assert list(kept.parts()) == ["one"]


def test_programs_that_keep_parts_in_one_file_lose_none_of_them(tmp_path):
    kept = Kept(tmp_path / "parts.jsonl")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(kept.keep, map(str, range(24)), range(24)))
    assert {name: part["found"] for name, part in kept.parts().items()} == {str(number): number for number in range(24)}


def test_parts_are_picked_by_a_word_of_every_entry():
    names = ["trivial-plain", "trivial-pfl", "recurrent-plain"]
    assert picked(names, ()) == names
    assert picked(names, ("trivial",)) == names[:2]
    assert picked(names, ("trivial,recurrent", "plain")) == ["trivial-plain", "recurrent-plain"]
    with pytest.raises(UsageError, match=r"no part has a name with trivial and nonsense; parts are: trivial-plain, "):
        picked(names, ("trivial", "nonsense"))


def test_where_no_part_is_picked_kinds_are_named_and_not_hundreds_of_parts():
    many = [f"kind-{kind}: part {part}" for kind in range(20) for part in range(20)]
    with pytest.raises(UsageError) as told:
        picked(many, ("nonsense",))
    assert "parts are: kind-0, kind-1, kind-2, " in str(told.value)
    assert str(told.value).endswith("kind-7 and 12 more.")


def test_parts_kept_elsewhere_are_taken_as_they_are_beside_what_is_here(tmp_path):
    kept, elsewhere = (
        Kept(tmp_path / "parts.jsonl"),
        [{"name": name, "machine": "another", "commit": "former", "found": 0} for name in ("one", "two")],
    )
    kept.keep("one", 1)
    kept.restore(elsewhere)
    assert kept.part("one", lambda: 2) == 1
    assert kept.parts()["two"] == elsewhere[1]
