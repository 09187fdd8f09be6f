"""A report as one HTML file: no request leaves it, no text from files or results is read as markup."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from bitskip.report.charts import charts, style
from bitskip.report.document import PAGE, document
from bitskip.report.summary import Analysis, Sheet
from bitskip.report.table import ALWAYS, FILES, Block, Figure, Table, Text

MOST_DRAWN = 4
"""Scales with figures; the others have tables: a page of fifty figures is not read."""


def html_page(analysis: Analysis) -> str:
    """The whole page. Its figures need matplotlib."""
    from jinja2 import Environment
    from markupsafe import Markup

    here = Path(__file__).parent
    script = (here / "page.js").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests |= {"a_table": lambda block: isinstance(block, Table), "a_text": lambda b: isinstance(b, Text)}
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    page: str = template.render(
        document=document(analysis, PAGE, _figures),
        shown=lambda table: table.only(ALWAYS, FILES),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page


def _figures(about: Sheet | Analysis, number: int) -> dict[str, list[Block]]:
    """Those of all results, or of one of the scales with most trials, by their topic."""
    from markupsafe import Markup

    mark, anchor = "", "{}"
    if isinstance(about, Sheet):
        if not about.section.finished:
            return {}
        if number > MOST_DRAWN:
            line = f"Figures are drawn for the {MOST_DRAWN} scales with most trials; report a folder of this one alone."
            return {"": [Text([line])]}
        mark, anchor = about.section.regime.mark, f"{{}}-{number}"
    drawn: dict[str, list[Block]] = {}
    with style.style(page=True):
        for chart in charts(about):
            name = anchor.format(chart.name)
            title = ", ".join(filter(None, (chart.title, mark)))
            svg = Markup(style.svg_of(chart.draw(), name, f"{title}. {chart.caption}"))
            drawn.setdefault(chart.topic, []).append(Figure(name, title, chart.caption, svg, chart.lines))
    return drawn
