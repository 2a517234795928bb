"""Who takes part in the demo, with which people, fixed before anything was trained."""

from dataclasses import dataclass

from federation.ids import PartyId
from federation.roles import Role


@dataclass(frozen=True)
class Party:
    """One organisation of the demo.

    `watch`: people of the watch recordings to train on; `watch_held_out`: those whose rows only judge models.
    `states`: home states of the runners it holds; `states_held_out` likewise. "*" stands for every state not named.
    """

    party: PartyId
    name: str
    role: Role
    suffix: str = ".csv"
    watch: tuple[int, ...] = ()
    watch_held_out: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    states_held_out: tuple[str, ...] = ()

    @property
    def holds_people(self) -> bool:
        """Whether it has people at all; the algorithm provider has none."""
        return self.role is not Role.ALGORITHM_PROVIDER


CAST = (
    Party(PartyId("motion-lab"), "Motion Lab", Role.DATA_PROVIDER, ".npz", watch=(1, 2, 3), states=("VA",)),
    Party(PartyId("wrist-archive"), "Wrist Archive", Role.DATA_PROVIDER, ".parquet", watch=(4, 5), states=("MD",)),
    Party(PartyId("city-runners"), "City Runners", Role.SERVICE_PROVIDER, ".csv", watch=(6, 7), states=("DC",)),
    Party(
        PartyId("coach-collective"),
        "Coach Collective",
        Role.TRAINER,
        ".parquet",
        watch=(8,),
        watch_held_out=(9, 10),
        states=("PA", "NY"),
        states_held_out=("*",),
    ),
    Party(PartyId("algo-works"), "Algo Works", Role.ALGORITHM_PROVIDER),
)

PEOPLE = tuple(party for party in CAST if party.holds_people)
AUTHOR = CAST[-1]

WITHDRAWS_AT, WITHDRAWS = PartyId("motion-lab"), "watch-03"
"""Withdraws while `WITHDRAWS_DURING` runs, after round `WITHDRAWS_AFTER`."""
WITHDRAWS_DURING, WITHDRAWS_AFTER = "watch", 2

OTHER_PURPOSE_AT = PartyId("city-runners")
"""Where one runner consented to improve-own-service only."""
