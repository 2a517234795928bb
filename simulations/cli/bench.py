"""``paceline bench``: measurements of this machine, each written down with its command, machine and commit."""

from pathlib import Path
from typing import Annotated

import typer

from federation import console
from simulations.benchmarks.catalogue import CATALOGUE, EXCHANGE, SIMULATION

Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]
bench = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure; each benchmark writes docs/benchmarks.")


def _plain(name: str, summary: str) -> None:
    """Add the command of a benchmark that takes no options."""

    @bench.command(name, help=f"{summary}\n\nWrites docs/benchmarks/{name}.md.\n\nExample: paceline bench {name}")
    def run(json: Json = False) -> None:
        from simulations.benchmarks.__main__ import alone

        failed = alone(name) != 0
        page = f"docs/benchmarks/{name}.md"
        console.result(json, {"page": page, "failed": failed}, lambda screen: screen.print(f"See {page}."))
        raise typer.Exit(int(failed))


for _name, _summary in CATALOGUE.items():
    _plain(_name, _summary)


@bench.command("exchange", short_help=EXCHANGE)
def exchange(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS",
            help="Parts, or measurements in them, whose names hold one of these words: secagg,bytes. "
            "Repeated: one of each.",
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Forget what is measured already, and measure anew.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for exchange.jsonl, the pages and their plots.")] = Path(
        "docs/benchmarks"
    ),
    json: Json = False,
) -> None:
    """What the exchange costs and loses: accuracy and error against bits, speeds, masks and bytes beside Flower's.

    The parts are exchange_codecs, secagg, exchange_bytes, aggregation, exchange_large, exchange_learning and
    exchange_trials. Finished measurements are kept in exchange.jsonl, so that a stopped run goes on where it was, and
    the pages are written from it. All parts take three quarters of an hour; other work on the machine spoils speeds.

    Example: paceline bench exchange --only secagg --again
    """
    from rich.console import Console

    from simulations.benchmarks.exchange import campaign

    screen = Console(stderr=True, quiet=json, highlight=False)
    page = campaign.run(campaign.Wish(out, tuple(only or ()), again), screen.print)
    console.result(json, {"page": str(page)}, lambda text: text.print(f"See {page}."))


@bench.command("simulation", short_help=SIMULATION)
def simulation(  # noqa: PLR0913, PLR0917 - the options of a command
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS", help="Parts whose names hold one of these words: pfl,plain. Repeated: one of each."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each part is measured, in turn.")] = 3,
    again: Annotated[bool, typer.Option("--again", help="Forget what is measured already, and measure anew.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for simulation.json and simulation.md.")] = Path("docs/benchmarks"),
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the peers' environments and finished parts; else in ~/.cache.")
    ] = None,
    pip_flags: Annotated[str, typer.Option(help="Options for every call of pip, such as an index.")] = "",
    torch_index: Annotated[str, typer.Option(help="A package index with CPU builds of torch.")] = "",
    json: Json = False,
) -> None:
    """How fast whole federations are simulated: ours against a plain loop, pfl and Flower with Ray.

    Installs each peer into an environment of its own, then measures part by part; finished parts are kept, so that a
    stopped run goes on where it was. All parts take about an hour on two cores; other work on the machine spoils them.

    Example: paceline bench simulation --only trivial --repeats 1
    """
    from rich.console import Console

    from simulations.benchmarks.simulation import campaign
    from simulations.benchmarks.simulation.environments import Pip
    from simulations.benchmarks.simulation.parts import Place

    place = Place(cache or campaign.CACHE, Pip(tuple(pip_flags.split()), torch_index))
    screen = Console(stderr=True, quiet=json, highlight=False)
    page = campaign.run(campaign.Wish(place, out, tuple(only or ()), repeats, again), screen.print)
    console.result(json, {"page": str(page)}, lambda text: text.print(f"See {page}."))
