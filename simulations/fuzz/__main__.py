"""Command line of the fuzzer: ``python -m simulations.fuzz --mutations 1000000``."""

import argparse
import faulthandler
import resource
import sys

from simulations.fuzz.campaign import Finding, Tally, run

STUCK_S = 120
"""A thousand mutations that take longer hang; the trace of the place is printed."""
ADDRESS_SPACE_BYTES = 4 * 2**30
"""A decoder that asks for more gets a MemoryError, which is a finding."""


def main() -> int:
    """Run a campaign; exit code 1 if anything was not clean."""
    options = _options()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    numbers = range(options.mutations) if options.only is None else [options.only]
    tally = run(numbers, options.seed, watch)
    faulthandler.cancel_dump_traceback_later()
    print(file=sys.stderr)
    print(table(tally))
    for finding in tally.findings:
        print(described(finding, options.seed))
    return 1 if tally.unclean else 0


def watch(tally: Tally) -> None:
    """Show how far it is, and end the process if it hangs."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True)
    print(f"\r{tally.mutations:,} mutations, {tally.unclean} not clean", end="", file=sys.stderr, flush=True)


def table(tally: Tally) -> str:
    """What came out, as a Markdown table."""
    lines = ["| decoder | mutations | read | clean errors | not clean | slowest |", "|---|---|---|---|---|---|"]
    for name, counter in tally.outcomes.items():
        errors = {outcome: count for outcome, count in counter.items() if outcome not in {"value", "not clean"}}
        said = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(errors.items()))
        lines.append(
            f"| {name} | {sum(counter.values()):,} | {counter['value']:,} | {said} | {counter['not clean']:,} | "
            f"{1000 * tally.slowest_s[name]:.1f} ms |"
        )
    rate = tally.mutations / max(tally.seconds, 1e-9)
    lines.append(
        f"\n{tally.mutations:,} mutations in {tally.seconds:.0f} s ({rate:,.0f} a second on one core), "
        f"{tally.unclean:,} not clean, peak memory grew by {tally.memory_bytes / 2**20:.0f} MiB."
    )
    return "\n".join(lines)


def described(finding: Finding, seed: int) -> str:
    """A finding with the command that repeats it."""
    return (
        f"\n{finding.target}: {finding.what}\n  bytes: {finding.data[:400]!r}\n"
        f"  again: python -m simulations.fuzz --seed {seed} --only {finding.number}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulations.fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="of all mutations (default: 0)")
    parser.add_argument("--only", type=int, help="repeat the mutation with this number")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
