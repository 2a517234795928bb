"""The table of a task, drawn once or kept up to date while it runs."""

import math
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from federation import console

if TYPE_CHECKING:
    from server.store import ServerStore

REFRESH_S = 0.5
COLUMNS = ("party", "accepted", "answered", "missed", "last", "up", "down")


def draw(found: dict[str, Any]) -> Group:
    """The status of a task for people."""
    rounds = (
        f"round {found['round'] or 0} of {found['rounds']}, {found['attempts']} of {found['max_attempts']} attempts"
    )
    lines = [
        f"[bold]{escape(found['name'])}[/bold]  {found['state']}  {escape(found['message'])}",
        f"{rounds}; {found['seconds_per_round']:.2f} s per round",
        _traffic(found),
        _privacy(found),
        _score(found["score"]),
    ]
    return Group(*lines, console.table([_words(item) for item in found["parties"]], *COLUMNS))


def follow(store: "ServerStore", name: str, shown: bool) -> dict[str, Any]:
    """Wait until the task does not run any more, with a live table if `shown`; its last status."""
    from server.status import task_status

    found = task_status(store, name)
    with Live(draw(found), console=Console(stderr=True, quiet=not shown), auto_refresh=False) as live:
        while found["state"] == "running":
            time.sleep(REFRESH_S)
            found = task_status(store, name)
            live.update(draw(found), refresh=True)
    return found


def _traffic(found: dict[str, Any]) -> str:
    """What was sent, both ways, with headers, keys and shares, beside fp32."""
    from server.traffic import in_words

    sent = f"rounds: {_size(found['bytes_up'])} up, {_size(found['bytes_down'])} down"
    beside = [in_words(found["ratio"]), f"scores: {_size(found['score_bytes'])}" if found["score_bytes"] else ""]
    return "; ".join([sent, *filter(None, beside)])


def _privacy(found: dict[str, Any]) -> str:
    if found["unit"] == "none":
        return "privacy: none (each node waived it for this task)"
    return (
        f"privacy: ε = {found['epsilon']:.3f} of {found['epsilon_limit']:.3f} per person at δ = {found['delta']:g} "
        "(add or remove one person; RDP)"
    )


def _score(score: dict[str, Any] | None) -> str:
    if score is None:
        return "score: none yet"
    known = {party: value for party, value in score["by_party"].items() if value is not None}
    by_party = ", ".join(f"{party} {value:.4g}" for party, value in known.items())
    return f"score after round {score['round']}: {score['name']} {by_party}"


def _words(item: dict[str, Any]) -> dict[str, Any]:
    accepted = "yes" if item["accepted"] else "no"
    return item | {"accepted": accepted, "up": _size(item["bytes_up"]), "down": _size(item["bytes_down"])}


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    power = min(3, int(math.log10(size_bytes)) // 3)
    return f"{size_bytes / 1000**power:.1f} {('B', 'kB', 'MB', 'GB')[power]}"
