"""Commands about belonging to a federation: join, allow, policy, leave."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.cli.apps import Dir, Json, node
from federation import console

if TYPE_CHECKING:
    from rich.console import Console


@node.command()
def join(
    token: Annotated[str, typer.Argument(help="The line that the coordinator sent you.")],
    folder: Annotated[Path, typer.Option("--dir", help="The new folder of this node.")] = Path("paceline-node"),
    json: Json = False,
) -> None:
    """Join the federation that invited you: pins the coordinator, makes your keys.

    Example: paceline node join paceline1.eyJ… --dir our-node
    """
    from clients import enrolment

    joined = enrolment.join(token, folder)
    pinned = joined.pinned
    said = {
        "party": pinned.party,
        "role": pinned.role,
        "folder": str(folder.resolve()),
        "fingerprint": joined.fingerprint,
        "coordinator": pinned.coordinator_name,
        "coordinator_fingerprint": pinned.coordinator,
    }

    def show(out: "Console") -> None:
        console.fields(out, said)
        out.print("\nCompare both fingerprints with the coordinator by telephone.")
        out.print("Nothing is allowed yet; see: paceline node allow --help")

    console.result(json, said, show)


@node.command()
def allow(  # noqa: PLR0913, PLR0917 - the options of a command
    purpose: Annotated[list[str] | None, typer.Option(help="A purpose to allow.")] = None,
    workload: Annotated[list[str] | None, typer.Option(help="A workload to allow.")] = None,
    unprotected: Annotated[
        list[str] | None, typer.Option(help="A task that may run WITHOUT differential privacy.")
    ] = None,
    max_epsilon: Annotated[float | None, typer.Option(help="Lifetime cap per person, over all tasks.")] = None,
    max_epsilon_per_task: Annotated[float | None, typer.Option(help="Cap per person and task.")] = None,
    delta: Annotated[float | None, typer.Option(help="δ of both caps.")] = None,
    min_people: Annotated[int | None, typer.Option(help="Train on no fewer people.")] = None,
    min_parties: Annotated[int | None, typer.Option(help="Refuse tasks that go on with fewer parties.")] = None,
    published_scores: Annotated[
        bool | None, typer.Option(help="Exact scores of people who consented to it may leave.")
    ] = None,
    share_noise_with: Annotated[
        list[str] | None, typer.Option(help="A party whose noise may protect people here: PARTY=FINGERPRINT.")
    ] = None,
    folder: Dir = None,
    json: Json = False,
) -> None:
    """Permit something in node.toml, with your comments kept; shows the policy that holds from then on.

    --max-epsilon alone raises the cap per task with it.

    Example: paceline node allow --purpose train-motion-models --workload running_pace --max-epsilon 2 --delta 1e-5
    """
    from clients.allowances import Allowance, fingerprints_named
    from clients.allowances import allow as write
    from clients.desk import purposes_named
    from clients.settings import find_folder
    from federation import workloads

    for name in workload or ():
        workloads.digest(name)  # one that does not exist would be allowed in vain
    numbers = {
        "max_epsilon": max_epsilon,
        "max_epsilon_per_task": max_epsilon if max_epsilon_per_task is None else max_epsilon_per_task,
        "delta": delta,
        "min_people": min_people,
        "min_parties": min_parties,
    }
    allowance = Allowance(
        purposes=purposes_named(purpose or []),
        workloads=tuple(workload or ()),
        unprotected=tuple(unprotected or ()),
        numbers={key: value for key, value in numbers.items() if value is not None},
        published_scores=published_scores,
        share_noise_with=fingerprints_named(share_noise_with or []),
    )
    settings = write(find_folder(folder), allowance)
    said = settings.policy.model_dump(mode="json")
    console.result(json, said, lambda out: console.fields(out, said))


@node.command()
def policy(folder: Dir = None, json: Json = False) -> None:
    """What this node allows, in words.

    Example: paceline node policy --dir our-node
    """
    from clients.policy import words
    from clients.settings import find_folder, load

    found = load(find_folder(folder)).policy
    console.result(json, found.model_dump(mode="json"), lambda out: out.print("\n".join(words(found))))


@node.command()
def leave(
    folder: Dir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Leave the federation: refuses everything at once, takes back every acceptance, tells the coordinator.

    Example: paceline node leave --dir our-node --yes
    """
    from clients import enrolment
    from clients.settings import find_folder
    from clients.store import open_store

    place = find_folder(folder)
    pinned = enrolment.load_pinned(place)
    if not yes:
        typer.confirm(
            f"Leave {pinned.coordinator_name} as {pinned.party}? A new token is needed to come back", abort=True
        )
    with open_store(place) as store:
        left = enrolment.leave(place, store)
    said = {"party": left.party, "left_at": left.left_at}
    console.result(json, said, lambda out: out.print(f"{left.party} has left {left.coordinator_name}."))
