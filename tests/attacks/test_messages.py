"""Every way to damage or forge a message or a signed task is refused, with its own error and text."""

import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest
import rfc8785

from federation import errors, wire
from federation.codecs import find
from federation.errors import SignatureError, WireError
from federation.signing import MANIFEST, Identity, parse_signed_manifest, verify, verify_manifest
from simulations.specimens import COACHES, NOW, RUNNERS, answers, identity, manifest, parts, requests

BAD = Path(__file__).parents[1] / "vectors/bad"
EXPECTED = json.loads((BAD / "expected.json").read_text())
COORDINATOR, PARTY = identity("coordinator"), identity(RUNNERS)
LIMIT = 4096
REQUEST = wire.pack(*requests(b"m" * 300)[0], COORDINATOR)
ANSWER = wire.pack(*answers(b"u" * 300)[1], PARTY)


def read(name: str, data: bytes) -> None:
    if name.startswith("request"):
        wire.read_request(data, COORDINATOR.public_key, LIMIT)
    elif name.startswith("answer"):
        wire.read_answer(data, PARTY.public_key, LIMIT)
    else:
        verify_manifest(parse_signed_manifest(data), COORDINATOR.fingerprint, NOW)


def test_every_bad_file_has_its_expectation():
    assert {path.name for path in BAD.iterdir()} == set(EXPECTED) | {"expected.json"}


@pytest.mark.parametrize("name", EXPECTED)
def test_bad_file_is_refused_with_its_own_words(name):
    error, text = EXPECTED[name]
    with pytest.raises(getattr(errors, error)) as info:
        read(name, (BAD / name).read_bytes())
    assert text in str(info.value)


@pytest.mark.parametrize("blob", [REQUEST, ANSWER], ids=["request", "answer"])
def test_no_bit_can_be_flipped(blob):
    name = "request" if blob is REQUEST else "answer"
    read(name, blob)
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises((WireError, SignatureError)):
            read(name, bytes(damaged))


@pytest.mark.parametrize("blob", [REQUEST, ANSWER], ids=["request", "answer"])
def test_no_prefix_and_no_continuation_is_a_message(blob):
    name = "request" if blob is REQUEST else "answer"
    for size in range(len(blob)):
        with pytest.raises((WireError, SignatureError)):
            read(name, blob[:size])
    for more in (b"\0", blob[-64:], blob):
        with pytest.raises((WireError, SignatureError)):
            read(name, blob + more)


def test_signature_of_an_answer_does_not_pass_on_a_request_and_the_other_way_round():
    with pytest.raises(SignatureError, match=r"the signature \(paceline/request/2\) does not fit"):
        wire.read_request(wire.pack(*answers(b"")[3], COORDINATOR), COORDINATOR.public_key, LIMIT)
    with pytest.raises(SignatureError, match=r"the signature \(paceline/answer/2\) does not fit"):
        wire.read_answer(wire.pack(*requests(b"")[2], PARTY), PARTY.public_key, LIMIT)


def test_signature_under_a_message_does_not_pass_under_a_task():
    body = REQUEST[:8] + parts(REQUEST)[0]
    verify(COORDINATOR.public_key, wire.REQUEST, body, REQUEST[-64:])
    with pytest.raises(SignatureError, match=r"\(paceline/manifest/1\) does not fit"):
        verify(COORDINATOR.public_key, MANIFEST, body, REQUEST[-64:])


def test_answer_of_one_party_does_not_pass_as_that_of_another():
    with pytest.raises(SignatureError, match="somebody else signed them"):
        wire.read_answer(ANSWER, identity(COACHES).public_key, LIMIT)


def test_request_of_another_coordinator_is_refused():
    forged = wire.pack(*requests(b"m")[0], Identity.create())
    with pytest.raises(SignatureError, match="somebody else signed them"):
        wire.read_request(forged, COORDINATOR.public_key, LIMIT)


@pytest.mark.parametrize("declared", [2**18 + 1, 2**31, 2**32 - 1, len(ANSWER) - 71])
def test_huge_declared_header_costs_no_memory(declared):
    forged = ANSWER[:4] + declared.to_bytes(4, "little") + ANSWER[8:]
    tracemalloc.start()
    with pytest.raises(WireError, match=f"declares a header of {declared} bytes, of {len(ANSWER)} bytes in all"):
        wire.read_answer(forged, PARTY.public_key, LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_payload_over_the_limit_is_refused_before_it_is_hashed_or_copied():
    forged = wire.MAGIC + bytes(4) + bytes(50_000_000)
    tracemalloc.start()
    with pytest.raises(WireError, match="a payload of 49999936 bytes; the task allows at most 4096"):
        wire.read_answer(forged, PARTY.public_key, LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_header_of_a_stranger_is_never_parsed():
    with pytest.raises(SignatureError, match="somebody else signed them"):
        wire.read_request(wire.seal(b"[" * 200_000, b"", Identity.create(), wire.REQUEST), COORDINATOR.public_key, 0)
    with pytest.raises(WireError, match="this is not a valid message"):
        wire.read_request(wire.seal(b"[" * 200_000, b"", COORDINATOR, wire.REQUEST), COORDINATOR.public_key, 0)


@pytest.mark.parametrize("changed", [{"a\0\x1b[2J": 1}, {"kind": "a\0\x1b[2J"}], ids=["a key", "a kind"])
def test_why_a_message_is_refused_holds_nothing_that_commands_a_terminal_or_that_no_database_keeps(changed):
    header = answers(b"")[2][0].model_dump(mode="json") | changed
    envelope = {"header": header, "payload_bytes": 0, "payload_sha256": hashlib.sha256(b"").hexdigest()}
    with pytest.raises(WireError, match="a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\\[2J") as info:
        wire.read_answer(wire.seal(rfc8785.dumps(envelope), b"", PARTY, wire.ANSWER), PARTY.public_key, LIMIT)
    assert all(line.isprintable() for line in str(info.value).split("\n"))


def test_update_that_is_too_long_for_its_codec_is_refused_whoever_signed_it():
    _, payload = wire.read_answer(wire.pack(*answers(b"\0" * 1204)[1], PARTY), PARTY.public_key, LIMIT)
    with pytest.raises(WireError, match="1204 bytes for a vector of 300 values; expected exactly 1200"):
        find("raw32").decode(payload, 300, 0)


def test_signatures_of_another_task_do_not_carry_over():
    body = json.loads((BAD.parent / "signed-manifest.json").read_text())
    body["manifest"]["rounds"] -= 1
    with pytest.raises(SignatureError, match=r"\(paceline/manifest/1\) does not fit"):
        verify_manifest(parse_signed_manifest(json.dumps(body)), manifest().coordinator, NOW)
