"""Who judges and who is dealt to which party."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from federation.errors import UsageError
from simulations.population import Indices, People
from simulations.scenario import Scenario

MOST_JUDGES = 1000
"""More people would say little more about a model and cost memory; of a larger share held out, the rest train."""


@dataclass(frozen=True)
class Dealt:
    """People by number: `judges` train nothing; `hands` are the parties', by name of the party."""

    judges: Indices
    hands: dict[str, Indices]


def deal(scenario: Scenario, people: People, seed: int) -> Dealt:
    """Split everybody as the scenario says; every party gets somebody, or `UsageError`."""
    dice = np.random.default_rng((seed, 2))
    judges = _judges(scenario, people, dice)
    rest = np.setdiff1d(np.arange(people.count), judges)
    hands = _hands(scenario, people, dice.permutation(rest), dice)
    empty = [name for name, hand in hands.items() if not len(hand)]
    if empty or not hands:
        raise UsageError(
            f"{len(rest)} people train and {scenario.parties.count} parties are to get some: {', '.join(empty[:5])} "
            "would have nobody. Take fewer parties, more people, or hold out fewer."
        )
    return Dealt(judges, hands)


def _judges(scenario: Scenario, people: People, dice: np.random.Generator) -> Indices:
    named = scenario.data.held_out_groups
    if not named:
        count = min(MOST_JUDGES, round(scenario.data.held_out * people.count))
        return np.sort(dice.choice(people.count, count, replace=False))
    groups = np.array(people.groups())
    unknown = sorted(set(named) - set(groups))
    if unknown:
        known = ", ".join(sorted(set(groups))[:20]) or "none"
        raise UsageError(f"held_out_groups names {', '.join(unknown)}; {scenario.data.source} has the groups {known}.")
    return np.flatnonzero(np.isin(groups, named))


def _hands(scenario: Scenario, people: People, rest: Indices, dice: np.random.Generator) -> dict[str, Indices]:
    terms, names = scenario.parties, [f"party-{number + 1}" for number in range(scenario.parties.count)]
    if terms.deal == "by-group":
        return _by_group(people, rest, terms.count)
    if terms.deal == "by-label":
        rest = rest[np.argsort([_main_label(people, person) for person in rest], kind="stable")]
    if terms.deal != "quantity":
        return {name: np.sort(hand) for name, hand in zip(names, np.array_split(rest, terms.count), strict=True)}
    spare = max(0, len(rest) - terms.count)
    sizes = 1 + dice.multinomial(spare, dice.dirichlet(np.full(terms.count, terms.quantity_alpha)))
    hands = np.split(rest, np.cumsum(sizes)[:-1])
    return {name: np.sort(hand) for name, hand in zip(names, hands, strict=True)}


def _by_group(people: People, rest: Indices, count: int) -> dict[str, Indices]:
    """The `count` largest groups are parties; people of smaller ones take no part."""
    groups = people.groups()
    if not groups:
        raise UsageError(
            'deal = "by-group" needs data with groups; invented people have none. Write deal = "by-label".'
        )
    sizes = Counter(groups[person] for person in rest)
    largest = [name for name, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:count]]
    if len(largest) < count:
        raise UsageError(f"count = {count} parties, but only {len(largest)} groups have people who train.")
    names = np.array([groups[person] for person in rest])
    return {f"party-{place + 1}": np.sort(rest[names == name]) for place, name in enumerate(largest)}


def _main_label(people: People, person: int) -> float:
    """The commonest class of a person, or their mean target."""
    target = people.rows(np.array([person]), 0.0).fields["y"]
    return float(target.mode().values) if not target.is_floating_point() else float(target.mean())
