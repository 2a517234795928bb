"""Whoever writes a task file is told the place and the key that was meant."""

import pytest
from pydantic import ValidationError

from federation import drafts
from federation.manifest import Manifest
from federation.terms import TrainingTerms


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        (drafts.PersonDraft, {"clipp": 1.0}, "privacy.clipp: there is no such setting; did you mean 'clip'?"),
        (
            drafts.NoisedDraft,
            {"every_round": 1},
            "evaluation.every_round: there is no such setting; did you mean 'every_rounds'?",
        ),
        (
            TrainingTerms,
            {"lerning_rate": 0.1},
            "training.lerning_rate: there is no such setting; did you mean 'learning_rate'?",
        ),
        (Manifest, {"titel": "x"}, "titel: there is no such setting; did you mean 'title'?"),
        (Manifest, {"exchange": {"upp": "raw32"}}, "exchange.upp: there is no such setting; did you mean 'up'?"),
    ],
)
def test_a_misspelt_key_comes_with_its_table_and_the_one_that_was_meant(model, words, said):
    with pytest.raises(ValidationError) as info:
        model.model_validate(words)
    assert f"\n  {said}" in drafts.problems(info.value)


def test_privacy_is_looked_at_by_itself():
    assert drafts.privacy_problems({"unit": "none"}) == []
    assert drafts.privacy_problems({"unit": "none", "epsilon": 1}) == [
        "privacy.epsilon: there is no such setting; there are unit."
    ]
    assert drafts.privacy_problems({"unit": "persn"}) == [
        "privacy.unit: 'persn' is none of 'none', 'person', 'record'; did you mean 'person'?"
    ]
    assert drafts.privacy_problems({}) == [
        'privacy: needs unit = "none", "person" or "record"; privacy is never left out'
    ]
