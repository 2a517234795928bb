"""Messages survive packing; what earlier versions wrote can still be read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import audit, secure, wire
from federation.acceptance import parse_acceptance, verify_acceptance
from federation.errors import WireError
from federation.manifest import parse
from federation.messages import ScoresAnswer, TrainRequest
from federation.signing import (
    parse_signed_manifest,
    parse_signed_membership,
    verify_manifest,
    verify_membership,
)
from simulations import secure_specimens
from simulations.specimens import NOW, RUNNERS, answers, identity, manifest, parts, requests, shared_manifest

COORDINATOR, PARTY = identity("coordinator"), identity(RUNNERS)
VECTORS = Path(__file__).parents[1] / "vectors"
PAYLOAD_BYTES = 308


@pytest.mark.parametrize(("header", "payload"), requests(b"model"), ids=lambda value: getattr(value, "kind", ""))
def test_requests_come_back_as_they_were(header, payload):
    assert wire.read_request(wire.pack(header, payload, COORDINATOR), COORDINATOR.public_key, 5) == (header, payload)


@pytest.mark.parametrize(("header", "payload"), answers(b"update"), ids=lambda value: getattr(value, "kind", ""))
def test_answers_come_back_as_they_were(header, payload):
    assert wire.read_answer(wire.pack(header, payload, PARTY), PARTY.public_key, 6) == (header, payload)


@given(st.binary(max_size=3000), st.text(min_size=1, max_size=40), st.integers(0, 2**53 - 1))
def test_any_payload_and_any_text_travel(payload, phase, attempt):
    header = TrainRequest.model_validate(dict(requests(b"")[0][0]) | {"phase": phase, "attempt": attempt})
    blob = wire.pack(header, payload, COORDINATOR)
    assert wire.read_request(blob, COORDINATOR.public_key, 3000) == (header, payload)


@given(st.dictionaries(st.text(max_size=9), st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_any_finite_scores_travel_exactly(sums):
    header = ScoresAnswer.model_validate(dict(answers(b"")[2][0]) | {"sums": sums})
    assert wire.read_answer(wire.pack(header, b"", PARTY), PARTY.public_key, 0) == (header, b"")


def test_control_variates_are_named_only_where_there_are_some():
    """What came later is absent from other messages, so that these keep their bytes; spelled out, it is refused."""
    plain, payload = requests(b"model")[0]
    header = TrainRequest.model_validate(dict(plain) | {"variates": {RUNNERS: 3}})
    blob = wire.pack(header, payload, COORDINATOR)
    assert wire.read_request(blob, COORDINATOR.public_key, 5) == (header, payload)
    blob = wire.pack(plain, payload, COORDINATOR)
    assert b"variates" not in blob
    envelope, last = parts(blob)[0], f'"task":"{plain.task}"'.encode()
    assert envelope.count(last + b"}") == 1
    spelled = wire.seal(envelope.replace(last, last + b',"variates":null'), payload, COORDINATOR, wire.REQUEST)
    with pytest.raises(WireError, match="not in canonical form"):
        wire.read_request(spelled, COORDINATOR.public_key, 5)


def test_a_message_has_one_spelling():
    header, payload = requests(b"model")[0]
    assert wire.pack(header, payload, COORDINATOR) == wire.pack(header, payload, COORDINATOR)


def test_overhead_is_small():
    header, payload = answers(b"x" * 530)[1]
    assert len(wire.pack(header, payload, PARTY)) - len(payload) < 640


@pytest.mark.parametrize("index", [2, 3])
def test_messages_without_payload_cannot_be_packed_with_one(index):
    with pytest.raises(WireError, match="has no payload; 1 bytes were given"):
        wire.pack(answers(b"")[index][0], b"x", PARTY)


def test_a_header_that_nobody_would_read_is_not_packed():
    heads = {f"party-{number}": "0" * 64 for number in range(4000)}
    header = TrainRequest.model_validate(dict(requests(b"")[0][0]) | {"ledger_heads": heads})
    with pytest.raises(WireError, match="at most 262144 are allowed"):
        wire.pack(header, b"", COORDINATOR)


@pytest.mark.parametrize("kind", ["train", "evaluate", "initialise"])
def test_request_files_can_be_read_and_are_what_we_write(kind):
    blob = (VECTORS / f"request-{kind}.blob").read_bytes()
    header, payload = wire.read_request(blob, COORDINATOR.public_key, PAYLOAD_BYTES)
    assert header.kind == kind
    assert wire.pack(header, payload, COORDINATOR) == blob


@pytest.mark.parametrize("name", secure_specimens.requests(b""))
def test_request_files_of_secure_rounds_and_views_can_be_read_and_are_what_we_write(name):
    blob = (VECTORS / f"request-{name}.blob").read_bytes()
    header, payload = wire.read_request(blob, COORDINATOR.public_key, PAYLOAD_BYTES)
    assert header == secure_specimens.requests(payload)[name][0]
    assert wire.pack(header, payload, COORDINATOR) == blob


@pytest.mark.parametrize("name", secure_specimens.answers())
def test_answer_files_of_secure_rounds_can_be_read_and_are_what_we_write(name):
    blob = (VECTORS / f"answer-{name}.blob").read_bytes()
    signer = identity(secure_specimens.ASKED)
    header, payload = wire.read_answer(blob, signer.public_key, 400)
    assert (header, payload) == secure_specimens.answers()[name]
    assert wire.pack(header, payload, signer) == blob


def test_what_the_files_of_secure_rounds_say_holds():
    task = secure_specimens.manifest()
    train = secure_specimens.train_request()
    assert secure.verify_roster(task, train) == train.roster
    asked = secure_specimens.requests(b"")
    for yes in asked["prepare"][0].acceptances:
        verify_acceptance(yes, task)
    keys = {found.party: found.public_key for found in train.roster}
    unmask = asked["unmask"][0]
    assert secure.agreeing(secure.context(train), unmask.survivors, keys, unmask.agreed) == {*unmask.survivors}


@pytest.mark.parametrize("kind", ["initial", "update", "scores", "refusal"])
def test_answer_files_can_be_read_and_are_what_we_write(kind):
    blob = (VECTORS / f"answer-{kind}.blob").read_bytes()
    header, payload = wire.read_answer(blob, PARTY.public_key, PAYLOAD_BYTES)
    assert header.kind == kind
    assert wire.pack(header, payload, PARTY) == blob


def test_the_digest_of_the_task_file_is_stable():
    text = (VECTORS / "manifest.json").read_bytes()
    assert parse(text).canonical() == text == manifest().canonical()
    assert parse(text).digest() == (VECTORS / "manifest.sha256").read_text().strip()


def test_the_task_file_with_shared_noise_still_means_the_same():
    text = (VECTORS / "shared-manifest.json").read_bytes()
    assert parse(text).canonical() == text == shared_manifest().canonical()


def test_signed_files_still_hold():
    signed = parse_signed_manifest((VECTORS / "signed-manifest.json").read_bytes())
    task = verify_manifest(signed, COORDINATOR.fingerprint, NOW)
    verify_acceptance(parse_acceptance((VECTORS / "acceptance.json").read_bytes()), task)
    listed = parse_signed_membership((VECTORS / "membership.json").read_bytes())
    assert verify_membership(listed, COORDINATOR.fingerprint, 3).version == 3
    audit.verify_checkpoint(audit.parse_checkpoint((VECTORS / "checkpoint.json").read_bytes()), PARTY.public_key)
