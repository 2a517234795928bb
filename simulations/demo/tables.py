"""The tables of the report, each with who could have seen it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simulations.demo import consent_tables
from simulations.demo.cast import CAST
from simulations.demo.consent_tables import OWN
from simulations.demo.render import table
from simulations.pages.page import size, words

if TYPE_CHECKING:
    from simulations.demo.collect import Found

Json = dict[str, Any]
COORDINATOR, COHORT = "coordinator", "everyone in the cohort"
SHORT = 12


def all_of(found: "Found", tasks: Sequence[Json], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Every table by name."""
    return {
        "tasks": _tasks(tasks),
        "statements": _statements(tasks),
        "parties": _parties(found),
        "holdings": _holdings(found),
        "consent": consent_tables.recorded(found),
        "withdrawal": consent_tables.withdrawal(found),
        "other_purpose": consent_tables.other_purpose(found),
        "refusals": _refusals(found),
        "vetoes": _vetoes(found),
        "budgets": _budgets(found),
        "exchange": _exchange(found),
        "stages": _stages(seconds),
        "rounds": _rounds(tasks),
    }


def budgets(by_party: Mapping[str, Json]) -> list[Json]:
    """One line per party and group of people with the same history."""
    return [
        {
            "party": party,
            "group": f"{group['people']:,} {'person' if group['people'] == 1 else 'people'}",
            "people": group["people"],
            "charges": group["charges"],
            "epsilon": group["epsilon"],
            "cap": said["cap"]["epsilon"],
            "delta": said["cap"]["delta"],
        }
        for party, said in by_party.items()
        for group in said["groups"]
        if group["charges"]
    ]


def _tasks(tasks: Sequence[Json]) -> Any:
    rows = [
        {
            **task,
            "score": task["final_score"],
            "headline": words(task["headline"]),
            "promised": task["epsilon"],
            "bytes": size(task["bytes_up"] + task["bytes_down"]),
            "times": None if task["ratio"] is None else float(f"{task['ratio']:.2g}"),
            "verified": task["release_verified"],
            "digest": task["digest"][:SHORT] + "…",
        }
        for task in tasks
    ]
    columns = {
        "name": "task",
        "rounds_done": "#rounds",
        "headline": "judged by",
        "score": "#score",
        "promised": "#ε promised",
        "epsilon_spent": "#ε spent",
        "delta": "#δ",
        "updates": "updates travel as",
        "bytes": "#bytes of rounds",
        "times": "#times fewer than fp32",
        "verified": "release verified",
        "digest": "contract",
    }
    return table(
        "The four contracts",
        COHORT,
        columns,
        rows,
        "ε spent is that of the attempts that were made; the contract promises for one attempt more. Scores are of the "
        "trainer's held-out people, whose consent covers publishing them. Bytes are of all messages of the rounds, "
        "both ways, with headers, keys and shares; in fp32 each value of a model or an update is 4 bytes, and no more.",
    )


def _statements(tasks: Sequence[Json]) -> Any:
    rows = [{"name": task["name"], "privacy": task["privacy"]} for task in tasks]
    return table("What was promised to a person, in full", COHORT, {"name": "task", "privacy": "statement"}, rows)


def _parties(found: "Found") -> Any:
    parts = {
        status["name"]: {line["party"]: line for line in status["parties"]} for status in found.trained.status.values()
    }
    rows = [
        {
            **member,
            "answered": sum(part[member["party"]]["answered"] for part in parts.values()),
            "missed": sum(part[member["party"]]["missed"] for part in parts.values()),
            "fingerprint": member["fingerprint"][: 2 * SHORT] + "…",
        }
        for member in found.members
    ]
    columns = {
        "party": "party",
        "name": "name",
        "role": "role",
        "answered": "#answers",
        "missed": "#refused or missed",
        "fingerprint": "fingerprint of its key",
    }
    return table("Parties", COHORT, columns, rows, "Names, roles and fingerprints are in every contract.")


def _holdings(found: "Found") -> Any:
    rows = [
        {
            "party": delivery.party.party,
            "workload": delivery.workload.replace("_", " "),
            "use": "judges models" if delivery.held_out else "trains",
            "people": len(delivery.people),
            "rows": report.get("rows"),
            "file": delivery.file.name,
        }
        for delivery, report in zip(found.opened.deliveries, found.opened.imports, strict=True)
    ]
    rows.append({"party": CAST[-1].party, "workload": "both", "use": "synthetic rows only", "people": 0})
    columns = {
        "party": "party",
        "workload": "workload",
        "use": "use",
        "people": "#people",
        "rows": "#rows",
        "file": "imported from",
    }
    return table("What each party holds", OWN, columns, rows)


def _refusals(found: "Found") -> Any:
    columns = {"party": "party", "asked": "asked for", "said": "answer"}
    return table(
        "What nodes refused",
        OWN,
        columns,
        found.scene.refusals,
        "The words stay at the party; the coordinator is told a code from a closed list, and only in a running task.",
    )


def _vetoes(found: "Found") -> Any:
    rows = [
        {"task": status["name"], "party": line["party"], "times": line["missed"], "code": line["last"]}
        for status in found.trained.status.values()
        for line in status["parties"]
        if line["missed"]
    ]
    columns = {"task": "task", "party": "party", "times": "#times", "code": "last answer"}
    return table(
        "Refused or missed while tasks ran",
        COORDINATOR,
        columns,
        rows,
        "A service provider may evaluate, so it is asked to; this one publishes no exact scores and says no each time. "
        "Its updates are not affected.",
    )


def _budgets(found: "Found") -> Any:
    columns = {
        "party": "party",
        "people": "#people with the same history",
        "charges": "#charges",
        "epsilon": "#ε spent at most",
        "cap": "#lifetime cap of ε",
        "delta": "#δ of the cap",
    }
    return table(
        "Privacy spent per person, over all tasks",
        OWN,
        columns,
        budgets(found.budgets),
        "By RDP, unit person, add or remove one person. Tasks without differential privacy spend none: there "
        "is nothing to promise. ε is shown at the cap's δ, so it differs from the tasks' own figures.",
    )


def _exchange(found: "Found") -> Any:
    rows = [
        {
            "task": status["name"],
            "party": line["party"],
            "answered": line["answered"],
            "up": size(line["bytes_up"]),
            "down": size(line["bytes_down"]),
            "last": line["last"],
        }
        for status in found.trained.status.values()
        for line in status["parties"]
    ]
    columns = {
        "task": "task",
        "party": "party",
        "answered": "#answers",
        "up": "#sent",
        "down": "#received",
        "last": "last outcome",
    }
    return table(
        "Bytes per party",
        COORDINATOR,
        columns,
        rows,
        "Whole messages: headers and signatures included; also those about scores.",
    )


def _stages(seconds: Mapping[str, float]) -> Any:
    rows = [{"stage": name, "seconds": value} for name, value in seconds.items()]
    return table(
        "Acts of the demo", "nobody: this is the demo's own clock", {"stage": "act", "seconds": "#seconds"}, rows
    )


def _rounds(tasks: Sequence[Json]) -> Any:
    rows = []
    for task in tasks:
        times = sorted(line["seconds"] for line in task["rounds"] if line["round"] > 0)
        if times:
            rows.append(
                {
                    "task": task["name"],
                    "rounds": len(times),
                    "median": times[len(times) // 2],
                    "fastest": times[0],
                    "slowest": times[-1],
                }
            )
    columns = {
        "task": "task",
        "rounds": "#rounds",
        "median": "#median s",
        "fastest": "#fastest s",
        "slowest": "#slowest s",
    }
    return table("Seconds per round", COORDINATOR, columns, rows)
