"""A report as one HTML file: no request leaves it, no text from files or results is read as markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitskip.analysis.effects import stratum_effects
from bitskip.analysis.metrics import METRICS
from bitskip.report.charts import charts, style
from bitskip.report.document import PAGE, document
from bitskip.report.format import effect_name, metric_name
from bitskip.report.glossary import pieces
from bitskip.report.numbers import Section
from bitskip.report.picture import picture
from bitskip.report.summary import Analysis, Sheet
from bitskip.report.table import ALWAYS, FILES, Block, Chapter, Figure, Table, Text
from bitskip.report.topics import answer, effects

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_DRAWN = 4
"""Scales with figures; the others have tables: a page of fifty figures is not read."""

MOST_NAMED = 3
"""Sweeps whose names fit a title."""

MOST_IN_PICTURE = 5
"""Single techniques, and as many pairs, in the picture of the first screen."""


@dataclass(frozen=True)
class Part:
    """What opens and closes together: `scale` is its number, 0 where it is of all; `metric` is that of its effects, ""
    where it is of every metric.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    scale: int = 0
    metric: str = ""


def html_page(analysis: Analysis, *, live: int | None = None) -> str:
    """The whole page. Its figures need matplotlib. One that is `live`, of so many rows, asks its server for what runs
    (`web`).
    """
    whole, sweeps = document(analysis, PAGE, _figures), analysis.report.overview.sweeps
    parts = [part for chapter in whole.chapters for part in _parts(analysis, chapter)]
    return _rendered(
        live,
        title=whole.title if len(sweeps) <= MOST_NAMED else f"What {len(sweeps)} sweeps showed",
        opening=list(answer.opening(analysis)),
        answer=[*answer.best(analysis), *answer.to_know(analysis)],
        next=list(answer.to_run_next(analysis)),
        picture=_picture(analysis),
        matrix=[block for sheet in analysis.sheets[:1] for block in answer.composition(sheet.section)],
        told=next((metric_name(sheet.section.metric) for sheet in analysis.sheets), ""),
        parts=parts,
        mark=next((sheet.section.regime.mark for sheet in analysis.sheets), ""),
        scales={number: sheet.section.scale for number, sheet in enumerate(analysis.sheets, start=1)},
        sizes={number: answer.size_name(sheet.section.regime) for number, sheet in enumerate(analysis.sheets, start=1)},
        metrics={part.metric: metric_name(part.metric) for part in parts if part.metric},
        variants={
            own.point: own.configuration for sheet in analysis.sheets for own in sheet.section.leaderboard if own.point
        },
    )


def live_page(title: str) -> str:
    """A live page without a report."""
    return _rendered(0, title=title, parts=[], scales={}, sizes={}, metrics={}, variants={})


def _rendered(live: int | None, **content: Any) -> str:
    from jinja2 import Environment
    from markupsafe import Markup

    here = Path(__file__).parent
    names = ["page.js"] if live is None else ["page.js", "live.js"]
    script = "".join((here / name).read_text(encoding="utf-8") for name in names)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests |= {"a_table": lambda block: isinstance(block, Table), "a_text": lambda b: isinstance(b, Text)}
    environment.filters |= {"glossed": lambda text: _linked(_glossed(text), content["parts"])}
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    page: str = template.render(
        live=live,
        shown=lambda table: table.only(ALWAYS, FILES),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )
    return page


def _glossed(text: str) -> Markup:
    """The text with terms of art explained where they stand first in it; a percent sign stays with its number."""
    from markupsafe import Markup

    parts = [
        Markup('<abbr title="{}">{}</abbr>').format(means, part) if means else part
        for part, means in ((part.replace(" %", "\u00a0%"), means) for part, means in pieces(text))
    ]
    return Markup("").join(parts)


_ONLY = re.compile(r"--only (\w+)")
"""What a terminal asks for, which a page has below."""


def _linked(text: Markup, parts: Sequence[Part]) -> Markup:
    """The text with links to parts of the page in place of options."""
    from markupsafe import Markup

    def link(found: re.Match[str]) -> str:
        part = next((each for each in parts if re.fullmatch(rf"(scale-\d+-)?{found[1]}", each.anchor)), None)
        return Markup('<a href="#{}">{}</a>').format(part.anchor, part.title) if part else found[0]

    return Markup(_ONLY.sub(link, text))


def _picture(analysis: Analysis) -> Markup:
    from markupsafe import Markup

    for sheet in analysis.sheets[:1]:
        found = [
            sorted(answer.primary(own).values(), key=lambda each: -answer.strength(each))[:MOST_IN_PICTURE]
            for own in (sheet.section.main_effects, sheet.section.composition_effects)
        ]
        label = "What techniques do alone, and two together beyond that, with 95 % intervals"
        return Markup(picture([each for own in found for each in own], label))
    return Markup("")


def _parts(analysis: Analysis, chapter: Chapter) -> Iterator[Part]:
    """A chapter whole, or, of a scale, its parts by title, and its effects on other metrics."""
    scale = re.fullmatch(r"scale-(\d+)", chapter.anchor)
    if scale is None:
        yield Part(chapter.anchor, chapter.title, chapter.blocks)
        return
    number = int(scale[1])
    sheet = analysis.sheets[number - 1]
    title, blocks = "Configurations", list[Block]()
    for block in (*chapter.blocks, Text([], "")):
        if isinstance(block, Text) and not block.lines:
            metric = sheet.section.metric if title == "Effects" else ""
            if blocks:
                yield Part(f"scale-{number}-{title.split()[-1].lower()}", title, blocks, number, metric)
            if metric:
                yield from _on_other_metrics(sheet, number)
            title, blocks = block.title, []
        else:
            blocks.append(block)


def _on_other_metrics(sheet: Sheet, number: int) -> Iterator[Part]:
    """Effects on what else was measured, for the scales that have figures."""
    for name, metric in METRICS.items() if number <= MOST_DRAWN else ():
        measured = any(cell.values(metric) for cell in sheet.stratum.cells)
        if name == sheet.section.metric or not metric.reported or not measured:
            continue
        section: Section = replace(
            sheet.section,
            metric=name,
            main_effects=tuple(stratum_effects(sheet.stratum, name, metric, 1)),
            composition_effects=tuple(stratum_effects(sheet.stratum, name, metric, 2)),
        )
        other = replace(sheet, section=section)
        blocks = [*answer.composition(section), *effects.main_effects(other), *effects.composition_effects(other)]
        if blocks:
            yield Part(f"scale-{number}-effects-{name}", f"Effects on {effect_name(name)}", blocks, number, name)


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
