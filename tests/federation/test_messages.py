"""Headers take exactly what they declare: no unknown keys, no coercions, no NaN."""

import math

import pytest
from pydantic import ValidationError

from federation.errors import Refusal
from federation.messages import RefusalAnswer, ScoresAnswer, TrainRequest, UpdateAnswer
from simulations.specimens import answers, requests

REQUEST = dict(requests(b"model")[0][0])
UPDATE, SCORES, REFUSAL = (dict(answers(b"update")[index][0]) for index in (1, 2, 3))


@pytest.mark.parametrize(
    ("kind", "valid", "change", "text"),
    [
        (TrainRequest, REQUEST, {"round": "3"}, "valid integer"),
        (TrainRequest, REQUEST, {"round": -1}, "greater than or equal to 0"),
        (TrainRequest, REQUEST, {"attempt": 2**53}, "less than 9007199254740992"),
        (TrainRequest, REQUEST, {"attempt": True}, "valid integer"),
        (TrainRequest, REQUEST, {"nonce": "0" * 31}, "match pattern"),
        (TrainRequest, REQUEST, {"task": "0" * 63 + "G"}, "match pattern"),
        (TrainRequest, REQUEST, {"phase": ""}, "at least 1 character"),
        (TrainRequest, REQUEST, {"phase": "x" * 41}, "at most 40 characters"),
        (TrainRequest, REQUEST, {"ledger_heads": {"../x": "0" * 64}}, "match pattern"),
        (TrainRequest, REQUEST, {"code": "import os"}, "Extra inputs are not permitted"),
        (TrainRequest, REQUEST, {"kind": "evaluate"}, "Input should be 'train'"),
        (UpdateAnswer, UPDATE, {"weight": 1.5}, "valid integer"),
        (UpdateAnswer, UPDATE, {"snapshot": None}, "valid string"),
        (ScoresAnswer, SCORES, {"sums": {"loss": math.nan}}, "finite number"),
        (ScoresAnswer, SCORES, {"sums": {"loss": math.inf}}, "finite number"),
        (ScoresAnswer, SCORES, {"sums": {"loss": "1"}}, "valid number"),
        (ScoresAnswer, SCORES, {"disclosure": "everything"}, "Input should be 'published'"),
        (RefusalAnswer, REFUSAL, {"code": "because I say so"}, "instance of Refusal|Input should be"),
    ],
)
def test_header_refuses(kind, valid, change, text):
    kind.model_validate(valid)
    with pytest.raises(ValidationError, match=text):
        kind.model_validate(valid | change)


def test_headers_are_frozen():
    header = answers(b"x")[3][0]
    with pytest.raises(ValidationError, match="frozen"):
        header.code = Refusal.PAUSED  # type: ignore[misc]


@pytest.mark.parametrize("header", [header for header, _ in (*requests(b"m"), *answers(b"u"))], ids=lambda h: h.kind)
def test_headers_survive_json(header):
    assert type(header).model_validate_json(header.model_dump_json()) == header
