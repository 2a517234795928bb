"""The page about one scenario: what was asked, what came out, what it cost."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from server.traffic import in_words
from simulations.pages import page
from simulations.pages.page import Facts, size, table
from simulations.report import figures, grid, plots
from simulations.report.figures import Point
from simulations.sweep import Swept
from simulations.sweep.folder import SCENARIO, written

MAX_ROWS = 200


def html(swept: Swept) -> str:
    """The page, self-contained."""
    points = figures.points(swept.outcomes)
    return page.html("simulations.report", "report.html.j2", facts(swept, points))


def facts(swept: Swept, points: Sequence[Point]) -> Facts:
    """What the page says."""
    return {
        "scenario": swept.scenario,
        "version": version("paceline"),
        "written_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "stamp": swept.outcomes[0].stamp if swept.outcomes else "",
        "drawn": min(len(points), plots.MAX_LINES),
        "points": len(points),
        "runs": len(swept.outcomes),
        "wanted": len(swept.jobs),
        "cards": _cards(points),
        "tables": {
            "points": _points(points),
            "parties": _parties(points),
            "runs": _runs(points),
            "failures": _failures(swept),
        },
        "plots": drawn(points),
        "text": written(swept.scenario),
        "command": f"paceline simulate {swept.folder.path / SCENARIO} --out AGAIN",
    }


def drawn(points: Sequence[Point]) -> dict[str, Markup]:
    """Every plot by name; an empty one has nothing to show."""
    if not points:
        return dict.fromkeys(("curves", "sweep", "people", "parties", "traffic", "spending", "times"), Markup())
    made = {
        "curves": plots.curves(points),
        "sweep": grid.of_the_sweep(points),
        "people": plots.of_people(points),
        "parties": plots.of_parties(points),
        "traffic": plots.traffic(points),
        "spending": plots.spending(points),
        "times": plots.times(points),
    }
    return {name: Markup(svg) for name, svg in made.items()}  # noqa: S704 - matplotlib escapes its texts


def _cards(points: Sequence[Point]) -> list[dict[str, str]]:
    """The figures that a reader looks for first, of the best point."""
    best = figures.best(points)
    if best is None:
        return []
    found, seeds = figures.summary(best), len(best.outcomes)
    spent, cell = found["epsilon"], page.cell
    over = f"held-out people, {f'mean of {seeds} seeds' if seeds > 1 else 'one seed'}"
    traffic = size(found["bytes_up"] + found["bytes_down"])
    private = (
        ("no DP", "nothing was promised") if spent is None else (f"ε = {spent:.3g}", "as if the noise were secret")
    )
    cards = (
        (page.words(best.headline), cell(found["mean"]), f"{over}; best at {best.label}" if best.values else over),
        ("worst tenth", cell(found["worst_tenth"]), f"of {found['held_out_people']:,} held-out people"),
        ("privacy of a person", *private),
        ("on the wire", traffic, _note_on_bytes(found["fp32_ratio"])),
        ("time", f"{found['seconds']:.3g} s", f"a run; peak memory {found['peak_rss_mb']:,.0f} MB"),
    )
    return [{"name": name, "value": value, "note": note} for name, value, note in cards]


def _note_on_bytes(times: float | None) -> str:
    return "; ".join(filter(None, ("all messages of a run, both ways", in_words(times))))


def _points(points: Sequence[Point]) -> Any:
    rows = [_point(point) for point in points]
    columns = {
        "label": "point",
        "mean": f"#{page.words(points[0].headline) if points else 'score'}",
        "range": "#range over seeds",
        "worst_tenth": "#worst tenth",
        "epsilon": "#ε",
        "traffic": "#bytes",
        "fp32_ratio": "#times fewer than fp32",
        "per_round": "#s per round",
        "seconds": "#s per run",
    }
    return table("Results", columns, rows, _note(points))


def _point(point: Point) -> dict[str, Any]:
    found = figures.summary(point)
    judged = figures.spread([figures.final(outcome) for outcome in point.outcomes])
    return found | {
        "mean": str(judged) if judged else None,
        "range": f"{judged.low:.4g} to {judged.high:.4g}" if judged else None,
        "traffic": size(found["bytes_up"] + found["bytes_down"]),
        "per_round": found["seconds_per_round"],
    }


def _note(points: Sequence[Point]) -> str:
    if not points:
        return ""
    better = "Higher" if points[0].higher_is_better else "Lower"
    return (
        f"{better} is better. ± is the standard deviation over the seeds. The worst tenth is the mean over the tenth "
        "of held-out people whom the final model serves worst, over all seeds."
    )


def _parties(points: Sequence[Point]) -> Any:
    best = figures.best(points)
    found = figures.parties(best) if best else {}
    rows = [
        {"party": name, "score": str(own), "range": f"{own.low:.4g} to {own.high:.4g}"} for name, own in found.items()
    ][:MAX_ROWS]
    columns = {"party": "party", "score": "#score on its own people", "range": "#range over seeds"}
    where = f" At the best point, {best.label}; results.json holds all." if best and best.values else ""
    return table("The final model at each party", columns, rows, f"On people who were trained on.{where}")


def _runs(points: Sequence[Point]) -> Any:
    rows = [
        {
            "label": point.label,
            "seed": str(outcome.seed),
            "final": figures.final(outcome),
            "rounds": max((done.round for done in outcome.rounds), default=0),
            "attempts": int(figures.total(outcome, "attempts")),
            "seconds": outcome.seconds,
            "memory": f"{outcome.peak_rss_mb:,.0f} MB",
            "weights": outcome.weights_sha256[:16] + "…",
        }
        for point in points
        for outcome in point.outcomes
    ][:MAX_ROWS]
    columns = {
        "label": "point",
        "seed": "#seed",
        "final": "#final score",
        "rounds": "#rounds",
        "attempts": "#attempts",
        "seconds": "#seconds",
        "memory": "#peak memory",
        "weights": "SHA-256 of the weights",
    }
    return table("Every run", columns, rows)


def _failures(swept: Swept) -> Any:
    rows = [{"run": label, "why": why} for label, why in swept.failures.items()]
    return table("Runs that failed", {"run": "run", "why": "why"}, rows)
