"""Whoever misspells a key or a value of a file is told the one that was meant."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from federation.misfits import MAX_LINES, known_at, misfits, nearest


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Loud(Part):
    unit: Literal["loud"]
    volume: float


class Silent(Part):
    unit: Literal["silent"]


class Wheel(Part):
    spokes: int = 32


class Bicycle(Part):
    bell: Annotated[Loud | Silent, Field(discriminator="unit")]
    wheels: tuple[Wheel, ...] = ()
    gears: Literal["hub", "derailleur"] = "hub"


def lines(words, place=()):
    with pytest.raises(ValidationError) as info:
        Bicycle.model_validate({"bell": {"unit": "silent"}} | words)
    return misfits(info.value, Bicycle, place)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"gear": "hub"}, "gear: there is no such setting; did you mean 'gears'?"),
        ({"wheels": [{}, {"spoke": 1}]}, "wheels.1.spoke: there is no such setting; did you mean 'spokes'?"),
        (
            {"bell": {"unit": "loud", "volume": 1, "volum": 2}},
            "bell.loud.volum: there is no such setting; did you mean 'volume'?",
        ),
        ({"gears": "derailer"}, "gears: 'derailer' is none of 'hub', 'derailleur'; did you mean 'derailleur'?"),
        ({"bell": {"unit": "lout"}}, "bell: 'lout' is none of 'loud', 'silent'; did you mean 'loud'?"),
        ({"gears": 7}, "gears: 7 is none of 'hub', 'derailleur'"),
    ],
)
def test_a_misspelt_word_comes_with_the_one_that_was_meant(words, said):
    assert lines(words) == [said]


def test_a_name_that_is_like_none_comes_with_all_that_there_are():
    assert nearest("qqq", ["b", "a"]) == "there are a, b."


def test_the_place_of_a_part_stands_before_its_keys():
    assert lines({"gear": 1}, ("garage", 0)) == ["garage.0.gear: there is no such setting; did you mean 'gears'?"]


def test_keys_are_those_of_the_table_that_was_written():
    assert known_at(Bicycle, ("wheels", 3)) == {"spokes"}
    assert known_at(Bicycle, ("bell", "loud")) == {"unit", "volume"}


def test_a_file_that_is_wrong_everywhere_is_answered_in_a_few_lines():
    said = lines({f"key{number}": 1 for number in range(MAX_LINES + 5)})
    assert len(said) == MAX_LINES + 1
    assert said[-1] == "and 5 more"
