"""How figures look and how they become files: colours, type, marks, SVG for a page that is light or dark."""

from __future__ import annotations

import contextlib
import html
import io
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
"""Okabe and Ito's palette, which colour-blind readers tell apart; it differs in lightness, too."""

GREY = "#7a7a7a"
COLOURS = {"baseline": GREY, "V1": BLUE, "V2": VERMILLION, "V3": GREEN}
COLOUR_OF_BITS = defaultdict(lambda: PURPLE, {16: GREY, 8: BLUE, 4: VERMILLION})
MANY = (GREY, BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE)
OTHERS = (PURPLE, SKY, ORANGE, GREEN)
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DIVERGING = ((0.0, BLUE), (0.5, "#f7f7f7"), (1.0, VERMILLION))
INK, FAINT = "#0a0b0c", "#0d0e0f"
"""On the page: replaced by the colours of its light or dark theme."""

TIP = "tip:"
Row = Mapping[str, Any]


@contextlib.contextmanager
def style(page: bool) -> Iterator[None]:
    """matplotlib's settings inside: for the page, or for a paper."""
    import matplotlib as mpl

    ink, faint = (INK, FAINT) if page else ("#1a1a1a", "#d4d4d4")
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    settings: Any = {
        **dict.fromkeys((*inked, "patch.edgecolor"), ink),
        "grid.color": faint,
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon", "text.parse_math"), False),
        **dict.fromkeys(("axes.grid", "axes.axisbelow", "figure.constrained_layout.use"), True),
        **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8),
        **{"axes.titlesize": 10, "axes.labelsize": 9, "font.size": 9, "font.family": "DejaVu Sans"},
        **{"axes.linewidth": 0.8, "grid.linewidth": 0.6},
        **{"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none" if page else "white"},
        **{"svg.fonttype": "none", "svg.hashsalt": "bitskip", "pdf.fonttype": 42},
    }
    with mpl.rc_context(settings):
        yield


def ink() -> str:
    """The colour of text."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def look(name: str, position: int, colour: str | None = None) -> dict[str, Any]:
    """Colour, dash and marker of a line: a named variant's own colour, else the next of the others."""
    return {
        "color": colour or COLOURS.get(name) or OTHERS[position % len(OTHERS)],
        "linestyle": DASHES[position % len(DASHES)],
        "marker": MARKERS[position % len(MARKERS)],
        "ms": 4,
    }


def scatter(
    axes: Any,
    rows: Sequence[Row],
    columns: tuple[str, str],
    tip: Callable[[Row], str],
    group: Callable[[Row], Hashable],
    looks: Mapping[Any, tuple[str, str, str]],
    **marks: Any,
) -> None:
    """A mark a row at two of its columns, each with its tip; `looks` has label, colour and marker of each group."""
    for key, (label, colour, marker) in looks.items():
        if own := [row for row in rows if group(row) == key]:
            x, y = ([row[column] for row in own] for column in columns)
            tips(axes.scatter(x, y, label=label, color=colour, marker=marker, **marks), map(tip, own))


def lines(axes: Any, rows: Sequence[Row], names: Sequence[str], x: str, y: str, tip: Callable[[Row], str]) -> None:
    """A line a configuration through its rows that have `y`; its look follows from its place in `names`."""
    for at, name in enumerate(names):
        if own := [row for row in rows if row["configuration"] == name and row.get(y) is not None]:
            line(axes, [row[x] for row in own], [row[y] for row in own], name, map(tip, own), look(name, at))


def line(
    axes: Any, x: Sequence[float], y: Sequence[float], name: str, texts: Iterable[str], own: Mapping[str, Any]
) -> None:
    """A line with its name, and a mark a point, each with its tip."""
    (drawn,) = axes.plot(x, y, label=name, markevery=[], **own)  # its marker is the legend's
    tips(drawn, [name])
    marks = axes.scatter(x, y, color=own["color"], marker=own["marker"], s=own["ms"] ** 2, zorder=drawn.zorder)
    tips(marks, texts)


def label(axes: Any, x: str, y: str = "", log: str = "", whole: bool = False, **settings: Any) -> None:
    """Names of both axes; those in `log` are logarithmic with plain numbers; `whole` numbers along x."""
    axes.set(xlabel=x, ylabel=y, **{f"{axis}scale": "log" for axis in log}, **settings)
    for axis in log:
        _plain_ticks(axes.xaxis if axis == "x" else axes.yaxis)
    if whole:
        axes.xaxis.get_major_locator().set_params(integer=True)


def _plain_ticks(axis: Any) -> None:
    """Numbers instead of powers of ten on a logarithmic axis that spans little."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axis.get_view_interval()
    wide = low > 0 and high / low > 30
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.set_major_formatter(count)
    axis.set_minor_locator(NullLocator())


def count(value: float, position: object = None) -> str:
    """A tick of a large number: 400 k, 1.5 B."""
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def list_down(axes: Any, names: Sequence[str]) -> None:
    """Names along y, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def legend(axes: Any, **options: Any) -> None:
    """A legend where something has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**options)


def readable_on(red: float, green: float, blue: float) -> str:
    """Black or white, whichever stands out more on a colour (WCAG's relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def tips(artist: Any, texts: Iterable[str]) -> None:
    """What is said of each point of a scatter plot, or of a line, where a pointer or a reader comes to it."""
    shown = [TIP + text for text in texts]
    if hasattr(artist, "set_urls"):
        artist.set_urls(shown)
    else:
        artist.set_url(shown[0])


_ROOT = re.compile(r"<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", re.S)
_ID = re.compile(r'\sid="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|xlink:href="#)([^)"]*)')
_TAG = re.compile(r"<[^>]+>")
_LONG_NUMBER = re.compile(r"(\d+\.\d\d)\d+")
_CLIPPED = re.compile(r'<g clip-path="[^"]*">\s*(<use [^>]*/>)\s*</g>')
# A text with double quotes stands in single ones.
_LINK = re.compile(rf"<a xlink:href=([\"']){TIP}(.*?)\1(?: target=\"[^\"]*\")?>", re.S)


def svg_of(figure: Figure, name: str, label: str) -> str:
    """The figure as an element of an HTML page: theme colours, ids of its own, tips as titles. `label` is its text."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    sink = io.StringIO()
    # `savefig` would draw the figure twice, once only for its layout.
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(sink, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    # A page holds thousands of points: two decimals of a place, and no clipping of a mark that is inside, halve them.
    text = _TAG.sub(lambda tag: _LONG_NUMBER.sub(r"\1", tag[0]), _CLIPPED.sub(r"\1", text))
    used = {found for _, found in _REFERENCE.findall(text)}
    text = _ID.sub(lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = _REFERENCE.sub(lambda m: f"{m[1]}{name}-{m[2]}", text)
    text = _LINK.sub(r'<g class="tip"><title>\2</title>', text).replace("</a>", "</g>")
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint)").replace("'DejaVu Sans'", "inherit")
    text = text.replace("DejaVu Sans", "inherit")
    box = _ROOT.search(text)
    assert box is not None
    root = f'<svg role="img" aria-label="{html.escape(label)}" viewBox="{box[1]}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"\n\s*", "\n", _ROOT.sub(lambda _: root, text, count=1))
