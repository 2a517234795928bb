"""The report's tables about people's statements."""

from typing import TYPE_CHECKING, Any

from simulations.demo.render import table

if TYPE_CHECKING:
    from simulations.demo.collect import Found

OWN = "that party only, each its own row"
"""Who could have seen a row about one party."""


def recorded(found: "Found") -> Any:
    """What people had permitted when the first round began."""
    rows = []
    for item in found.opened.consents:
        rows.append(
            {
                "party": item.party,
                "workload": item.workload.replace("_", " "),
                "group": "held out" if item.held_out else "training",
                "people": item.people,
                "for_purpose": item.people - len(item.other),
                "other": len(item.other),
                "guardian": item.by_guardian,
                "scores": item.people if item.held_out else 0,
            }
        )
    columns = {
        "party": "party",
        "workload": "workload",
        "group": "people who",
        "people": "#people",
        "for_purpose": "#train-motion-models",
        "other": "#another purpose only",
        "scores": "#publish-scores",
        "guardian": "#stated by a guardian",
    }
    return table(
        "Recorded before the first round",
        OWN,
        columns,
        rows,
        "Runners younger than 16 are covered by a guardian's statement; the node refuses their own.",
    )


def withdrawal(found: "Found") -> Any:
    """Round by round, whether the rows of the person who withdrew were used."""
    task = found.trained.withdrawal["task"]
    uses = {use["round"]: use for use in found.withdrawn["uses"] if use["task"] == task}
    rows = [
        {
            "round": line["round"],
            "committed": line["committed_at"][11:19],
            "used": line["round"] in uses,
            "consent": uses.get(line["round"], {}).get("consented_at", "")[:19].replace("T", " "),
        }
        for line in found.trained.status[task]["history"]
        if line["round"] > 0
    ]
    columns = {
        "round": "#round",
        "committed": "committed (UTC)",
        "used": "their rows were used",
        "consent": "under the statement of (UTC)",
    }
    return table(
        f"Rounds of task {task}, as that person may be told", f"{found.trained.withdrawal['party']} only", columns, rows
    )


def other_purpose(found: "Found") -> Any:
    """People whose statements cover no training."""
    rows = [
        {
            "party": party,
            "person": story["person"],
            "purposes": ", ".join(line["purpose"] for line in story["statements"]),
            "uses": len(story["uses"]),
        }
        for party, story in found.other.items()
    ]
    columns = {"party": "party", "person": "person", "purposes": "permits", "uses": "#rounds that used their rows"}
    return table("The person who permits another purpose only", f"{', '.join(found.other)} only", columns, rows)
