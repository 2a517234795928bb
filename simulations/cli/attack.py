"""``paceline attack``: what a coordinator, a holder of the model, or a dishonest party could do in a scenario."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation import console

if TYPE_CHECKING:
    from rich.console import Console

    from simulations.attacks.session import Asked, Session, Study

attack = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Attack a scenario's training, without and with its protection: for researchers, on simulations.",
)

File = Annotated[Path, typer.Argument(help="The scenario, as TOML.")]
Out = Annotated[Path | None, typer.Option(help="Folder for attack.html and attack.json; else attack-out/KIND-NAME.")]
Change = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a key; may be repeated.")
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Another seed than the scenario's first.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]


@attack.command()
def membership(
    scenario: File,
    out: Out = None,
    trials: Annotated[int | None, typer.Option(min=4, help="Runs, each with a random half of the people.")] = None,
    change: Change = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Was this person in the training? Likelihood ratios from many runs; canaries that prove a lower bound on ε.

    Example: paceline attack membership scenario.toml --out attack-out
    """
    from simulations.attacks import membership_study as study
    from simulations.attacks.session import Asked, Study

    _make(
        Study("membership", study.TRIALS, study.work, study.run), Asked(scenario, out, trials, change or [], seed), json
    )


@attack.command()
def inversion(
    scenario: File,
    out: Out = None,
    trials: Annotated[int | None, typer.Option(min=2, help="Windows that are attacked.")] = None,
    change: Change = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Can a person's window be read off one update? By made-up weights, by the linear layer, among candidates.

    Example: paceline attack inversion scenario.toml --out attack-out
    """
    from simulations.attacks import inversion_study as study
    from simulations.attacks.session import Asked, Study

    _make(
        Study("inversion", study.TRIALS, study.work, study.run), Asked(scenario, out, trials, change or [], seed), json
    )


@attack.command("property")
def property_(  # noqa: PLR0913, PLR0917 - the options of a command
    scenario: File,
    trait: Annotated[
        str, typer.Option(help="class-share or turned: what some parties have in common.")
    ] = "class-share",
    out: Out = None,
    trials: Annotated[int | None, typer.Option(min=8, help="Parties to learn from, and to be asked about.")] = None,
    change: Change = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """What does a party's update tell of its people as a whole? DP of persons does not hide that, and this shows it.

    Example: paceline attack property scenario.toml --trait turned --out attack-out
    """
    from simulations.attacks import property_study as study
    from simulations.attacks.session import Asked, Study

    asked = Study("property", study.TRIALS, study.work, study.about(trait))
    _make(asked, Asked(scenario, out, trials, change or [], seed), json)


@attack.command()
def poisoning(
    scenario: File,
    out: Out = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Shares of dishonest parties above none.")] = None,
    change: Change = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """What can dishonest parties do to the model? Flipped signs and labels, loud updates, a backdoor.

    Example: paceline attack poisoning scenario.toml --out attack-out
    """
    from simulations.attacks import poisoning_study as study
    from simulations.attacks.session import Asked, Study

    _make(
        Study("poisoning", study.TRIALS, study.work, study.run), Asked(scenario, out, trials, change or [], seed), json
    )


def _make(study: "Study", asked: "Asked", json: bool) -> None:
    """Exit code 1 where the control fails or a promise is broken."""
    from simulations.attacks.session import hold

    session = hold(study, asked, json)
    console.result(json, session.facts(), lambda screen: _show(screen, session))
    if not session.findings.sound:
        raise typer.Exit(1)


def _show(screen: "Console", session: "Session") -> None:
    found = session.findings
    for block in found.tables:
        headings = {column["key"]: column["name"] for column in block["columns"]}
        screen.print(block["title"], style="bold", markup=False)
        screen.print(console.table(block["rows"], *headings))
    screen.print(f"Control {'holds' if found.control.holds else 'FAILS'}: {found.control.text}", markup=False)
    if found.promise:
        screen.print(f"Promise {'kept' if found.promise.holds else 'BROKEN'}: {found.promise.text}", markup=False)
    screen.print(f"Simulation: no privacy claim. Report: {session.page}", markup=False)
