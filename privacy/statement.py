"""The words in which privacy is promised: no ε without its unit, δ, adjacency, q, σ, T and accountant."""

from dataclasses import dataclass
from typing import Literal

from privacy import accounting
from privacy.accounting import Charge, SampledSkellam

Unit = Literal["person", "record"]


@dataclass(frozen=True)
class Statement:
    """What one person is promised by the training of one task. Made by `statement`.

    `epsilon` is the person's, by RDP; `epsilon_pld` the person's, by PLD for these terms, fixed beforehand.
    `record_epsilon` stands beside it only: for one row of a person who takes part (unit person), or for one row alone
    (unit record, where `epsilon` follows from it by group privacy over `rows_per_person` rows). `levels` are those of
    noise that parties share, 0 for a node's own; for shared noise no PLD is known, and RDP stands everywhere.
    """

    unit: Unit
    adjacency: Literal["add or remove one person"]
    epsilon: float
    epsilon_pld: float
    delta: float
    sampling_rate: float
    noise_multiplier: float
    clip: float
    charges: int
    rows_per_person: int
    levels: int
    record_epsilon: float
    accountant: Literal["RDP"] = "RDP"

    def sentence(self) -> str:
        """The statement as a paragraph of plain text."""
        return f"{self._promise()} {self._mechanism()} {self._beside()}"

    def _promise(self) -> str:
        return (
            f"Adding or removing one person, with all their rows, changes the probability of anything that can be "
            f"seen of this training by at most the factor e^ε, ε = {_up(self.epsilon)}, plus δ = {self.delta:g} "
            f"(unit: person; adjacency: {self.adjacency}; accountant: {self.accountant}, binding across tasks). "
            + (
                "No tighter figure by PLD is known for noise that parties share."
                if self.levels
                else f"By PLD, for these terms alone, fixed beforehand: ε = {_up(self.epsilon_pld)}."
            )
        )

    def _mechanism(self) -> str:
        clipped = "each person's update" if self.unit == "person" else "each row's gradient"
        drawn = "people" if self.unit == "person" else "rows"
        return (
            f"Mechanism: Poisson sampling of {drawn} at q = {self.sampling_rate:g}; {clipped} clipped to L2 norm "
            f"{self.clip:g}{self._noise()}; T = {self.charges} charges, one for every attempt."
        )

    def _noise(self) -> str:
        if not self.levels:
            return f"; Gaussian noise of σ = {self.noise_multiplier:g} times that"
        return (
            f", rotated and rounded to whole numbers of norm {self.levels} at most; Skellam noise of σ = "
            f"{self.noise_multiplier:g} times that, of which each party adds a share under its mask"
        )

    def _beside(self) -> str:
        accountant = "RDP" if self.levels else "PLD"
        if self.unit == "person":
            return (
                f"Beside it, and no substitute for it: one row of a person who is known to take part is hidden with "
                f"ε = {_up(self.record_epsilon)} (unit: record; adjacency: that person's rows replaced; {accountant})."
            )
        return (
            f"The mechanism clips rows; the figures above follow by group privacy for {self.rows_per_person} rows per "
            f"person. Beside them, and no substitute: a single row has ε = {_up(self.record_epsilon)} (unit: record; "
            "adjacency: add or remove one row; PLD)."
        )


def statement(unit: Unit, mechanism: Charge, charges: int, delta: float, clip: float, rows: int) -> Statement:
    """The promise of `charges` draws of `mechanism` (q and σ as the task writes them), `rows` at most per person."""
    person = mechanism if unit == "person" else accounting.of_group(mechanism, rows)
    record = accounting.epsilon_replaced if unit == "person" else accounting.epsilon_pld
    return Statement(
        unit=unit,
        adjacency="add or remove one person",
        epsilon=accounting.epsilon(person, charges, delta),
        epsilon_pld=accounting.epsilon_pld(person, charges, delta),
        delta=delta,
        sampling_rate=mechanism.sampling_rate,
        noise_multiplier=mechanism.noise_multiplier,
        clip=clip,
        charges=charges,
        rows_per_person=rows,
        levels=mechanism.levels if isinstance(mechanism, SampledSkellam) else 0,
        record_epsilon=record(mechanism, charges, delta),
    )


def _up(epsilon: float) -> str:
    """ε with three digits after the point, rounded up: a promise is never rounded in our favour."""
    ticks = epsilon * 1000
    return f"{(int(ticks) + (ticks > int(ticks))) / 1000:.3f}"
