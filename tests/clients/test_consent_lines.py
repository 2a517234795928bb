"""Consent as JSON lines: all of a file or nothing, and back again."""

import json
from datetime import UTC, date, datetime

import pytest
from pyroaring import BitMap

from clients import consent, erasure, people
from clients.consent_lines import export_lines, import_lines
from clients.statements import ConsentStatement
from clients.store import open_store
from federation.consent import Actor, ConsentState, Purpose
from federation.errors import ImportRejected

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GOOD = {
    "person": "ann",
    "purpose": "train-motion-models",
    "state": "given",
    "at": "2026-04-01T10:00:00Z",
    "notice_version": "1",
    "adult": True,
}


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, clock=lambda: NOW) as opened:
        yield opened


def line(**changes):
    return json.dumps({key: value for key, value in {**GOOD, **changes}.items() if value is not None})


def who(store):
    return set(consent.eligible(store, Purpose.TRAIN_MOTION_MODELS, NOW).people)


def test_lines_are_recorded_in_order_and_make_people(store):
    lines = [line(), "", line(person="bob"), line(person="bob", state="withdrawn", at="2026-04-02T10:00:00+02:00")]
    assert import_lines(store, lines) == 3
    assert who(store) == {people.find_person(store, "ann")}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "not a JSON object"),
        ("[1]", "valid dictionary"),
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ("[" * 100_000, "not a JSON object"),
        (line(state="maybe"), "state: Input should be"),
        (line(purpose=None), "purpose: Field required"),
        (line(at="2026-04-01T10:00:00"), "at: Input should have timezone info"),
        (line(colour="red"), "colour: Extra inputs are not permitted"),
        (line(adult="yes"), "adult: Input should be a valid boolean"),
        (line(adult=None), "age is unknown"),
        (line(person="kid", adult=None, born="2020-01-01"), "a guardian has to state it"),
        (line(at="2020-01-01T00:00:00Z"), "before one that is recorded already"),
        (line(at="2027-01-01T00:00:00Z"), "in the future"),
    ],
)
def test_one_bad_line_is_named_and_nothing_is_recorded(store, bad, why):
    with pytest.raises(ImportRejected, match=rf"nothing was recorded; correct these lines:\n  line 3: .*{why}"):
        import_lines(store, [line(), line(person="bob"), bad])
    assert (who(store), set(people.everyone(store)), list(export_lines(store))) == (set(), set(), [])
    with store.identities.reading() as ids:
        assert ids.connection().exec_driver_sql("SELECT count(*) FROM identity").scalar() == 0


def test_all_bad_lines_are_named_up_to_twenty(store):
    with pytest.raises(ImportRejected, match=r"line 1: [\s\S]*line 20: [\s\S]*and 5 more"):
        import_lines(store, ["{"] * 25)


def test_what_is_exported_can_be_imported_elsewhere(store, tmp_path):
    import_lines(store, [line(), line(state="withdrawn"), line(state="renewed", valid_until="2027-01-01T00:00:00Z")])
    kid = people.person_number(store, "kid")
    guarded = ConsentStatement(
        person=kid,
        purpose=Purpose.PUBLISH_SCORES,
        state=ConsentState.GIVEN,
        actor=Actor.GUARDIAN,
        at=NOW,
        notice_version="1",
        born=date(2015, 2, 3),
        evidence="form 12",
    )
    consent.record(store, guarded)
    exported = list(export_lines(store))
    (tmp_path / "other").mkdir()
    with open_store(tmp_path / "other", clock=lambda: NOW) as other:
        assert import_lines(other, exported) == 4
        assert list(export_lines(other)) == exported
        assert who(other) == {people.find_person(other, "ann")}


@pytest.mark.parametrize("cut_off", [False, True])
def test_the_erased_are_not_exported(store, monkeypatch, cut_off):
    import_lines(store, [line(), line(person="bob")])
    if cut_off:
        monkeypatch.setattr(people, "finish_erasures", lambda _: False)
    erasure.forget(store, BitMap([people.find_person(store, "ann")]), NOW)
    assert [json.loads(text)["person"] for text in export_lines(store)] == ["bob"]
