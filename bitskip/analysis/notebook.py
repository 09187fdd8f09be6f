"""Numbers as a notebook shows them: small tables of HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from bitskip.analysis.metrics import METRICS


def table_html(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a caption; all texts are escaped."""

    def row(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    return f"<table>{caption}<thead>{row(heads, 'th')}</thead><tbody>\n{body}\n</tbody></table>"


def change_text(value: float | None, metric: str) -> str:
    """A difference on a metric's additive scale: in percent where that is a logarithm; empty where it is not known."""
    if value is None:
        return ""
    return f"{100 * math.expm1(value):+.1f} %" if METRICS[metric].logarithmic else f"{value:+.4g}"


def range_text(low: float | None, high: float | None, metric: str) -> str:
    """`-3.1 % to +0.4 %`; empty where an end is not known."""
    return "" if low is None or high is None else f"{change_text(low, metric)} to {change_text(high, metric)}"
