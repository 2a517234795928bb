"""Whoever misspells a key or a value of a file is told the one that was meant."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from federation.misfits import MAX_LINES, known_at, misfits, nearest
from federation.terms import SLUG


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
    name: Annotated[str, Field(pattern=SLUG)] = "bike"
    brake: Annotated[str, Field(pattern="^(rim|disc)$")] = "rim"
    sizes: Annotated[tuple[int, ...], Field(min_length=1)] = (56,)
    load_kg: Annotated[float, Field(gt=0, le=100_000)] = 90.0

    @field_validator("load_kg")
    @classmethod
    def _even(cls, load: float) -> float:
        if load % 2:
            raise ValueError("a load is even")
        return load


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"load_kg": "heavy"}, "load_kg: expected a number; found 'heavy'"),
        ({"load_kg": 0}, "load_kg: expected a number above 0; found 0"),
        ({"load_kg": 2e5}, "load_kg: expected a number of at most 100,000; found 200000.0"),
        ({"load_kg": 3}, "load_kg: a load is even"),
        ({"sizes": [1.5]}, "sizes.0: expected a whole number; found 1.5"),
        ({"sizes": []}, "sizes: expected a list of at least 1; found a list of 0"),
        ({"sizes": 56}, "sizes: expected a list in [brackets]; found 56"),
        ({"name": "My Bike"}, "name: expected small letters, digits and -, at most 40; found 'My Bike'"),
        ({"name": True}, 'name: expected text in "quotes"; found true'),
        ({"name": "X" * 99}, f"name: expected small letters, digits and -, at most 40; found '{'X' * 59}…"),
        ({"brake": "disk"}, "brake: 'disk' is none of 'rim', 'disc'; did you mean 'disc'?"),
        ({"wheels": [3]}, "wheels.0: expected a table; found 3"),
        ({"bell": {"unit": "loud"}}, "bell.loud.volume: is missing and has no default"),
    ],
)
def test_a_value_that_cannot_be_comes_with_what_was_expected_and_what_was_found(words, said):
    assert lines(words) == [said]


def test_what_is_wrong_with_the_parts_together_has_no_place():
    class Pair(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def _in_order(self):
            raise ValueError("low is above high")

    with pytest.raises(ValidationError) as info:
        Pair(low=2, high=1)
    assert misfits(info.value, Pair) == ["low is above high"]


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
