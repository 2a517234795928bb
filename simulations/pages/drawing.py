"""Plots in the colours of the page: as SVG text, so that one file holds everything, or as PNG files."""

import io
import re
from html import escape
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simulations.pages.colours import DAY, LINES

INK, QUIET, PALE = DAY["ink"], DAY["quiet"], DAY["pale"]
COLOURS = tuple(DAY[name] for name in LINES)
DASHES = ("-", "--", ":", "-.")
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Ticks of an axis of shares; other axes count rounds or parties, in whole numbers."""

WIDTH = 10.0
"""Inches across all panels of a figure."""

DPI = 110
LEGEND_CHARS = 150
"""How many letters of a legend stand side by side across a figure, handles included."""


def style(number: int) -> tuple[str, str]:
    """Colour and dashes of the curve with this number; no two of the first 32 look the same."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def panels(count: int, height: float = 3.2, across: int | None = None) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, `across` of them side by side (default: all), each `height` inches high."""
    columns = across or count
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    FigureCanvasSVG(figure)
    made = [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    for panel in made:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(QUIET)
        panel.tick_params(colors=QUIET, labelsize=8)
        panel.xaxis.label.set_color(INK)
        panel.yaxis.label.set_color(INK)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        panel.grid(axis="y", color=DAY["line"], lw=0.8)
        panel.set_axisbelow(True)
    return figure, made


def heading(panel: Axes, text: str) -> None:
    """A panel's own title, at its left."""
    panel.set_title(text, loc="left", fontsize=10, color=INK, weight="bold")


def legend_above(figure: Figure, panel: Axes) -> None:
    """One legend for all panels, above them, where it hides nothing, and at the left, where a narrow screen begins."""
    handles, names = panel.get_legend_handles_labels()
    if handles:
        columns = max(1, min(len(names), 4, LEGEND_CHARS // (max(map(len, names)) + 6)))
        figure.legend(
            handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=8, labelcolor=INK
        )


def svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element that fills its column, with `title` for those who cannot see it."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for name, colour in DAY.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    label = escape(title, quote=True)
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{label}"', drawn, count=1)


def png(figure: Figure, path: Path) -> None:
    """Write the figure to a file, the same bytes for the same figure."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
