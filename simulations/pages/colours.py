"""The colours of pages and plots, by day and by night.

Plots are drawn in the colours of the day; `simulations.pages.drawing` then puts the name in place of each, so that a
browser takes those of the night where its reader prefers a dark page.
"""

LINES = ("line-1", "line-2", "line-3", "line-4", "line-5", "line-6", "line-7", "line-8")
"""Names of the colours that tell curves apart, in the order in which they are given out."""

DAY = {
    "ink": "#1c2733",
    "quiet": "#5d6a78",
    "line": "#dfe5ea",
    "paper": "#ffffff",
    "tint": "#f4f7f9",
    "badge": "#e6f1f6",
    "badge-ink": "#07506f",
    "warm": "#fdf0e1",
    "warm-ink": "#a35200",
    "pale": "#9fc5d6",
    "line-1": "#0b6e99",
    "line-2": "#d9730d",
    "line-3": "#4d6461",
    "line-4": "#9065b0",
    "line-5": "#c14c8a",
    "line-6": "#5f8a00",
    "line-7": "#8c5a3c",
    "line-8": "#00857c",
}

NIGHT = {
    "ink": "#e4eaf0",
    "quiet": "#9aa7b4",
    "line": "#313c47",
    "paper": "#14191f",
    "tint": "#1c232b",
    "badge": "#12384a",
    "badge-ink": "#9fd4ea",
    "warm": "#43290f",
    "warm-ink": "#f4b878",
    "pale": "#3d6c80",
    "line-1": "#4fb3dc",
    "line-2": "#f09a4a",
    "line-3": "#9db8b3",
    "line-4": "#bd97dd",
    "line-5": "#e884b8",
    "line-6": "#a5cc4d",
    "line-7": "#c79a7d",
    "line-8": "#45c5ba",
}
