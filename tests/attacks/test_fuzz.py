"""Ten thousand mutations: every decoder gives a value or a clean error; `make fuzz` tries a million."""

import json
from random import Random

import pytest

from federation.enrolment import decode_token
from federation.errors import EnrolmentError, WireError
from simulations.fuzz.campaign import Tally, Target, attempt, run
from simulations.fuzz.mutations import BYTE_MUTATIONS, mutate_bytes, mutate_json
from simulations.fuzz.targets import targets

SEED = 20260101


def silent(_tally: Tally) -> None:
    """No progress bar."""


def test_ten_thousand_mutations_find_nothing():
    tally = run(range(10_000), SEED, silent)
    assert [(finding.target, finding.what) for finding in tally.findings] == []
    assert tally.mutations == 10_000
    assert set(tally.outcomes) == {target.name for target in targets()}
    # The campaign reaches behind the first check: some mutations of each open decoder are read.
    reached = {target.name for target in targets() if not target.sealed and target.name != "join token"}
    assert {name for name in reached if not tally.outcomes[name]["value"]} == set()


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_every_seed_can_be_read(target: Target):
    assert len(target.honest()) == len(target.seeds)


def test_number_and_seed_say_everything_about_a_mutation():
    for target, again in zip(targets(), targets(), strict=True):
        assert target.seeds == again.seeds
        for number in range(20):
            first, second = (target.mutate(target.seeds[0], Random(number)) for _ in range(2))
            assert first == second


@pytest.mark.parametrize("mutation", BYTE_MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_byte_mutations_change_something(mutation):
    data = bytes(range(100))
    changed = [bytes(mutation(bytearray(data), Random(number), (data[::-1],))) != data for number in range(50)]
    assert sum(changed) > 40
    assert isinstance(mutate_bytes(b"", Random(1), (b"",)), bytes)


def test_json_mutations_stay_json_mostly():
    seed = json.dumps({"a": [1, 2.5, "text", None], "b": {"c": True}}).encode()
    changed = {mutate_json(seed, Random(number)) for number in range(200)}
    assert len(changed) > 100


def _defective(decode, sealed=False) -> Tally:
    """A campaign against a decoder that is broken on purpose."""

    target = Target("broken", (b"seed",), lambda data, draw: data + b"x", decode, sealed)
    tally = Tally()
    attempt(7, SEED, target, frozenset({b"seed"}), tally)
    return tally


def test_another_exception_is_a_finding():
    def crash(_data: bytes) -> bytes:
        raise IndexError("list index out of range")

    tally = _defective(crash)
    assert tally.unclean == 1
    assert tally.findings[0].what == "not clean: IndexError: list index out of range"
    assert tally.findings[0].data == b"seedx"


def test_a_forgery_is_a_finding_where_a_signature_should_stop_it():
    assert _defective(lambda data: data, sealed=True).findings[0].what == "not clean: a forgery was read"
    assert _defective(lambda data: data).unclean == 0


def test_a_clean_error_is_none():
    def refuse(_data: bytes) -> bytes:
        raise WireError("no")

    assert _defective(refuse, sealed=True).unclean == 0


@pytest.mark.parametrize("line", ["paceline1.é", "paceline1." + "A" * 5000, "paceline1.AAAA\u2028"])
def test_lines_that_a_campaign_found_are_no_tokens(line):
    with pytest.raises(EnrolmentError, match="join token"):
        decode_token(line)
