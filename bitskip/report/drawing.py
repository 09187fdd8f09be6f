"""How figures look and how they become files: colours, type, SVG for a page that is light or dark."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
"""Okabe and Ito's palette, which colour-blind readers tell apart; it differs in lightness, too."""

COLOURS = {"baseline": "#7a7a7a", "V1": BLUE, "V2": VERMILLION, "V3": GREEN}
COLOUR_OF_BITS = {16: "#7a7a7a", 8: BLUE, 4: VERMILLION}
OTHERS = (PURPLE, SKY, ORANGE, GREEN)
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DIVERGING = ((0.0, BLUE), (0.5, "#f7f7f7"), (1.0, VERMILLION))
INK, FAINT = "#0a0b0c", "#0d0e0f"
"""On the page: replaced by the colours of its light or dark theme."""

WIDTH = 7.4
TIP = "tip:"


@contextlib.contextmanager
def style(page: bool) -> Iterator[None]:
    """matplotlib's settings inside: for the page, or for a paper."""
    import matplotlib as mpl

    ink, faint = (INK, FAINT) if page else ("#1a1a1a", "#d4d4d4")
    settings: Any = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": ink,
        "axes.titlecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": faint,
        "patch.edgecolor": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "axes.linewidth": 0.8,
        "grid.linewidth": 0.6,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "font.size": 9,
        "font.family": "DejaVu Sans",
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none" if page else "white",
        "figure.constrained_layout.use": True,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "bitskip",
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(settings):
        yield


def canvas(height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of page width, in inches, with its axes; without pyplot, so that nothing is kept."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def ink() -> str:
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def faint() -> str:
    import matplotlib as mpl

    return str(mpl.rcParams["grid.color"])


def colour_of(name: str, position: int) -> str:
    """A named variant's own colour, else the next of the others."""
    return COLOURS.get(name) or OTHERS[position % len(OTHERS)]


def readable_on(red: float, green: float, blue: float) -> str:
    """Black or white, whichever stands out more on a colour (WCAG's relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def percent_axis(axis: Any) -> None:
    """Ticks of a log ratio, as changes in percent."""
    import math

    axis.set_major_formatter(lambda value, position: f"{100 * math.expm1(value):+.0f} %")


def tips(artist: Any, texts: Sequence[str]) -> None:
    """What is said of each point of a scatter plot, or of a line, where a pointer or a reader comes to it."""
    shown = [TIP + text for text in texts]
    if hasattr(artist, "set_urls"):
        artist.set_urls(shown)
    else:
        artist.set_url(shown[0])


def direct_legend(axes: Axes, **options: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**options)


_ROOT = re.compile(r"<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", re.S)
_ID = re.compile(r'\sid="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|xlink:href="#)([^)"]*)')
_LINK = re.compile(rf'<a xlink:href="{TIP}([^"]*)"(?: target="[^"]*")?>')


def svg_of(figure: Figure, name: str, label: str) -> str:
    """The figure as an element of an HTML page: theme colours, ids of its own, tips as titles. `label` is its text."""
    import html

    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    used = {found for _, found in _REFERENCE.findall(text)}
    text = _ID.sub(lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = _REFERENCE.sub(lambda m: f"{m[1]}{name}-{m[2]}", text)
    text = _LINK.sub(r'<g class="tip"><title>\1</title>', text).replace("</a>", "</g>")
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint)").replace("'DejaVu Sans'", "inherit")
    text = text.replace("DejaVu Sans", "inherit")
    box = _ROOT.search(text)
    assert box is not None
    root = f'<svg role="img" aria-label="{html.escape(label)}" viewBox="{box[1]}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"\n\s*", "\n", _ROOT.sub(lambda _: root, text, count=1))
