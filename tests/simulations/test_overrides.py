"""Changes from the command line mean what the same words in the file would mean."""

import pytest

from federation.errors import UsageError
from simulations.overrides import overridden, parsed, seed_list

SAMPLED = {"sampling_rate": 0.5, "rows_per_person": 2}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("rounds=3", {"rounds": 3}),
        ("data.label_skew = 0.5", {"data": {"label_skew": 0.5}}),
        ("data.source=watch", {"data": {"source": "watch"}}),
        ('sweep."exchange.up"=["raw32", "int8_block"]', {"sweep": {"exchange.up": ["raw32", "int8_block"]}}),
        ('title=a "quoted" \\ title', {"title": 'a "quoted" \\ title'}),
    ],
)
def test_values_are_toml_or_bare_words(assignment, words):
    assert parsed(assignment) == words


@pytest.mark.parametrize("assignment", ["rounds", "=3", "a b=3", 'x."=1'])
def test_what_is_no_assignment_is_refused(assignment):
    with pytest.raises(UsageError, match=r"(?i)expected key=value"):
        parsed(assignment)


def test_other_keys_of_a_table_stay(scenario):
    found = overridden(scenario(), ["data.people=9", "training.learning_rate=1"])
    assert (found.data.people, found.data.rows_per_person, found.training.learning_rate) == (9, 2, 1.0)


def test_privacy_is_taken_away_with_all_that_belongs_to_it(scenario):
    private = scenario(privacy={"unit": "person", "epsilon": 4.0, "clip": 1.0, "delta": 1e-3} | SAMPLED)
    assert overridden(private, ["privacy.unit=none"]).privacy == {"unit": "none"}
    assert overridden(private, ["privacy.epsilon=2"]).privacy["clip"] == 1.0
    with pytest.raises(UsageError, match=r"privacy\.epsilon: there is no such setting"):
        overridden(private, ["privacy.unit=none", "privacy.epsilon=2"])


def test_where_nobody_is_protected_no_privacy_term_is_swept_over(scenario):
    swept = scenario(
        privacy={"unit": "person", "epsilon": 4.0, "clip": 1.0, "delta": 1e-3} | SAMPLED,
        sweep={"privacy.epsilon": [2.0, 8.0], "rounds": [2, 3]},
    )
    found = overridden(swept, ["privacy.unit=none"])
    assert (found.privacy, dict(found.sweep)) == ({"unit": "none"}, {"rounds": (2, 3)})


def test_a_key_that_is_set_is_swept_no_more(scenario):
    swept = scenario(sweep={"data.people": [8, 9], "rounds": [2, 3]})
    assert dict(overridden(swept, ["data.people=8"]).sweep) == {"rounds": (2, 3)}


def test_misspelt_key_is_refused_with_the_one_that_was_meant(scenario):
    with pytest.raises(UsageError, match=r"data\.pepole: there is no such setting; did you mean 'people'\?"):
        overridden(scenario(), ["data.pepole=8"])


def test_seeds_are_numbers_and_ranges(scenario):
    assert overridden(scenario(), [], "4,6-8").seeds == (4, 6, 7, 8)
    for text in ("x", "1-", "3-99999", "5-1", "-1", "1,,2", "1.5"):
        with pytest.raises(UsageError, match="expected numbers such as"):
            seed_list(text)
    with pytest.raises(UsageError, match="1 stands twice"):
        overridden(scenario(), [], "1,1")
