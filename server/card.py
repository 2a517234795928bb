"""The model card: what was trained, how well it does on held-out people, what was promised to those it learnt from."""

import json
import platform
from contextlib import suppress
from importlib import metadata
from typing import Any

import numpy as np

from federation import workloads
from federation.errors import ManifestError
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.roles import Step, may
from federation.shared_view import is_shared
from federation.terms import NoisedScores, PersonTerms
from federation.trust import trust
from federation.workload import flatten
from privacy.accounting import SampledGaussian
from privacy.statement import statement
from server.coordinator import from_bytes, trail_of
from server.settings import ServerSettings
from server.status import charges
from server.store import RoundRow, ServerStore, Task
from server.traffic import Compared, by_round, in_words

FORMAT = "paceline-card-1"
SMALLEST = float(np.finfo(np.float64).tiny)
SOFTWARE = ("paceline", "flwr", "numpy", "opacus", "torch")
NO_PRIVACY = (
    "No differential privacy: what one person contributed is not hidden. Each party waived it for this task in its "
    "own policy, in words."
)


def card(store: ServerStore, task: Task, settings: ServerSettings) -> dict[str, Any]:
    """The card of a task's last committed model, as plain JSON values; the same rounds give the same card."""
    manifest, rounds = task.manifest(), store.rounds(task.digest)
    workload = workloads.find(manifest.workload.name)
    return {
        "format": FORMAT,
        "name": manifest.name,
        "title": manifest.title,
        "workload": {"title": workload.title, **manifest.workload.model_dump(mode="json")},
        "purpose": manifest.purpose.value,
        "licence": settings.licence,
        "recipients": _recipients(manifest),
        "model": {"digest": rounds[-1].model, "round": rounds[-1].round, "finished_at": _time(rounds[-1])},
        "scores": {
            "headline": workload.headline,
            "higher_is_better": workload.higher_is_better,
            "evaluations": _scores(store, task),
            **_scored(store, task),
        },
        "privacy": _privacy(store, task, manifest),
        "exchange": _exchange(store, task, manifest),
        "lineage": _lineage(store, task, rounds),
        "software": _software(),
    }


def as_json(described: dict[str, Any]) -> bytes:
    """The card as a file."""
    return (json.dumps(described, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse(data: bytes) -> dict[str, Any]:
    """The card from its file, or `ManifestError`."""
    try:
        found = json.loads(data)
    except ValueError as error:
        raise ManifestError("card.json is no JSON; the release is damaged.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ManifestError(f"card.json is of another format; expected {FORMAT}.")
    return found


def as_markdown(described: dict[str, Any]) -> str:
    """The card for people."""
    lineage, model = described["lineage"], described["model"]
    return "\n".join(
        [
            f"# {_plain(described['title'])}",
            "",
            f"Model `{model['digest']}` of workload `{described['workload']['name']}` "
            f"(version {described['workload']['version']}) after {model['round']} rounds, {model['finished_at']}.",
            "",
            f"- Purpose: {described['purpose']}",
            f"- Licence: {_plain(described['licence'])}",
            f"- Recipients: {', '.join(_plain(item['name']) for item in described['recipients'])}",
            "",
            "## Scores on held-out people",
            "",
            *_score_lines(described["scores"]),
            "",
            "## Privacy",
            "",
            described["privacy"]["sentence"],
            *[f"\n{sentence}" for sentence in [described["privacy"].get("trust")] if sentence],
            *[f"\n{sentence}" for sentence in [described["privacy"].get("evaluation_sentence")] if sentence],
            *_exchange_lines(described.get("exchange")),
            "",
            "## Lineage",
            "",
            f"Task `{lineage['task']}`; {lineage['attempts']} training attempts.",
            "",
            *_round_lines(lineage["rounds"]),
            "",
            "## Software",
            "",
            ", ".join(f"{name} {version}" for name, version in described["software"].items()),
            "",
        ]
    )


def _recipients(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "party": member.party,
            "name": member.name,
            "role": member.role.value,
            "may_serve": may(member.role, Step.SERVE_RELEASE),
        }
        for member in manifest.cohort
    ]


def _scored(store: ServerStore, task: Task) -> dict[str, float]:
    """Where parties score a view, how far from it the released weights are, as a part of their own length."""
    latest = store.latest_model(task.digest)
    if latest is None or not is_shared(task.manifest().exchange):
        return {}
    model = from_bytes(latest.round, latest.data, latest.memory)
    exact = flatten(model.weights, sorted(model.weights)).astype(np.float64)
    apart = float(np.linalg.norm(exact - trail_of(model).view.vector))
    return {"distance_to_view": float(f"{apart / max(float(np.linalg.norm(exact)), SMALLEST):.3g}")}


def _scores(store: ServerStore, task: Task) -> list[dict[str, Any]]:
    return [
        {
            "round": item.round,
            "party": item.party,
            "disclosure": item.disclosure,
            "people": item.people,
            "summary": dict(item.summary),
        }
        for item in store.evaluations(task.digest)
    ]


def _privacy(store: ServerStore, task: Task, manifest: Manifest) -> dict[str, Any]:
    terms, said = manifest.privacy, manifest.privacy.model_dump(mode="json")
    found = {
        "terms": said,
        "attempts_charged": charges(store, task)[0],
        "sentence": NO_PRIVACY,
        "trust": trust(manifest),
    }
    if isinstance(terms, PersonTerms):
        promise = statement(
            terms.unit, terms.mechanism(), terms.max_attempts, terms.delta, terms.clip, terms.rows_per_person
        )
        found["sentence"] = promise.sentence()
    if isinstance(manifest.evaluation, NoisedScores):
        scores = manifest.evaluation
        mechanism = SampledGaussian(1.0, scores.noise_multiplier)
        promise = statement("person", mechanism, scores.max_evaluations, scores.delta, 1.0, 1)
        found["evaluation_sentence"] = f"Of the held-out people, about their scores: {promise.sentence()}"
    return found


def _exchange(store: ServerStore, task: Task, manifest: Manifest) -> dict[str, Any]:
    """How models and updates travelled, and what all messages of all rounds took beside fp32."""
    took = sum(by_round(manifest, store.traffic(task.digest)).values(), Compared())
    return {"terms": manifest.exchange.model_dump(mode="json"), **vars(took), "ratio": took.ratio}


def _lineage(store: ServerStore, task: Task, rounds: list[RoundRow]) -> dict[str, Any]:
    snapshots: dict[tuple[int | None, PartyId], str] = {
        (item.attempt, item.party): item.snapshot for item in store.party_rounds(task.digest) if item.kind == "train"
    }
    return {
        "task": task.digest,
        "attempts": sum(attempt.kind == "train" for attempt in store.attempts(task.digest)),
        "accepted": {item.party: item.accepted_at.isoformat() for item in store.acceptances(task.digest)},
        "rounds": [
            {
                "round": row.round,
                "attempt": row.attempt,
                "model": row.model,
                "committed_at": _time(row),
                "parties": {party: snapshots.get((row.attempt, party), "") for party in row.parties},
            }
            for row in rounds
        ],
    }


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _exchange_lines(exchange: dict[str, Any] | None) -> list[str]:
    """Cards of earlier versions say nothing of it."""
    if exchange is None:
        return []
    terms = exchange["terms"]
    ways = [
        terms[way] + (f" at {terms[f'{way}_bits']:g} bits per value" if terms.get(f"{way}_bits") else "")
        for way in ("up", "down")
    ]
    masked = ", summed under masks" if terms["secure"] else ""
    beside = f": {in_words(exchange['ratio'])}" if exchange["ratio"] else ""
    return [
        "",
        "## Exchange",
        "",
        f"Updates travelled as {ways[0]}{masked}, models as {ways[1]}. All messages of all rounds took "
        f"{exchange['up']:,} bytes up and {exchange['down']:,} down{beside}.",
    ]


def _score_lines(scores: dict[str, Any]) -> list[str]:
    if not scores["evaluations"]:
        return ["Nobody evaluated this model."]
    better = "higher" if scores["higher_is_better"] else "lower"
    lines = [f"Headline: {scores['headline']} ({better} is better).", ""]
    if "distance_to_view" in scores:
        apart = f"{scores['distance_to_view']:.2g} of their length"
        lines += [f"Parties scored the model as differences told it to them, {apart} from the released weights.", ""]
    lines += ["| round | party | disclosed | scores |", "|---|---|---|---|"]
    for item in scores["evaluations"]:
        figures = ", ".join(f"{key} {value:.4g}" for key, value in item["summary"].items())
        lines.append(f"| {item['round']} | {item['party']} | {item['disclosure']} | {figures} |")
    return lines


def _round_lines(rounds: list[dict[str, Any]]) -> list[str]:
    lines = ["| round | attempt | model | parties and their consent snapshots |", "|---|---|---|---|"]
    for row in rounds:
        parties = ", ".join(f"{party} `{snapshot[:16]}`" for party, snapshot in row["parties"].items()) or "–"
        attempt = "–" if row["attempt"] is None else row["attempt"]
        lines.append(f"| {row['round']} | {attempt} | `{row['model'][:16]}` | {parties} |")
    return lines


def _plain(text: str) -> str:
    """Names that others chose, without what Markdown or a terminal would act upon."""
    return "".join(letter if letter.isprintable() and letter not in "<>[]|`*_#" else " " for letter in text)


def _time(row: RoundRow) -> str:
    return row.committed_at.isoformat(timespec="seconds")
