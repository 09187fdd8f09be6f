"""A report as chapters: which topics it tells, in which order, and where. A new topic is an entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError
from bitskip.report.summary import Analysis, Sheet
from bitskip.report.table import Block, Chapter, Document, Text
from bitskip.report.topics import controls, effects, mechanisms, overview, paper, rates, standings

TERMINAL, MARKDOWN, PAGE = "terminal", "markdown", "page"
EVERYWHERE = (TERMINAL, MARKDOWN, PAGE)
FILES = (MARKDOWN, PAGE)


@dataclass(frozen=True)
class Topic:
    """What `make` tells of all results, or of one scale, in some of the outputs."""

    make: Callable[[Any], Iterable[Block]]
    outputs: Sequence[str] = EVERYWHERE


OF_A_SCALE = {
    ("", ""): (Topic(standings.finished), Topic(standings.variants), Topic(standings.configurations)),
    ("pareto", "What a perplexity costs"): (Topic(controls.equal_costs),),
    ("effects", "Effects"): (
        Topic(effects.main_effects), Topic(effects.composition_effects), Topic(effects.higher_effects)
    ),
    ("exits", "Exits"): (Topic(standings.exits), Topic(standings.best_exits, FILES), Topic(controls.alone_exits)),
    ("curves", "Training"): (),
    ("failures", "Failures"): (Topic(standings.failures),),
    ("mechanisms", "Mechanisms"): (Topic(mechanisms.quantizers, FILES), Topic(mechanisms.gradients, FILES)),
    ("predictor", "The predictor"): (Topic(mechanisms.predictor),),
}  # fmt: skip
"""The parts of a scale's chapter: the topic of the figures that a page shows there, its title on a page, and topics."""

BEFORE = {
    ("summary", "Summary"): Topic(overview.overview),
    ("scales", "Scales"): Topic(overview.scales),
    ("claims", "What the paper says, and what was measured"): Topic(paper.claims),
    ("causes", "Where the published numbers come from"): Topic(paper.causes),
    ("rates", "Learning rates"): Topic(rates.rates, FILES),
}
AFTER = {
    ("limits", "Limits"): Topic(overview.limits, FILES),
    ("trials", "Trials"): Topic(overview.trial_ids, (MARKDOWN,)),
    ("trials", "All trials"): Topic(overview.all_trials, (PAGE,)),
    ("provenance", "How these numbers were made"): Topic(overview.made, (PAGE,)),
    ("problems", "Problems"): Topic(overview.problems),
}
"""Chapters before and after those of the scales, by anchor and title."""

Figures = Callable[[Sheet, int], Mapping[str, Sequence[Block]]]


def document(analysis: Analysis, output: str, figures: Figures = lambda sheet, number: {}) -> Document:
    """The report for one output, with what is drawn of a scale (and its number) by its part."""

    def told(topics: Iterable[Topic], about: Analysis | Sheet) -> list[Block]:
        return [block for topic in topics if output in topic.outputs for block in topic.make(about)]

    def around(topics: Mapping[tuple[str, str], Topic]) -> list[Chapter]:
        return [Chapter(*name, told([topic], analysis)) for name, topic in topics.items()]

    def of_scale(sheet: Sheet, number: int) -> Chapter:
        blocks: list[Block] = []
        drawn = figures(sheet, number)
        for (part, title), topics in OF_A_SCALE.items():
            found = [*told(topics, sheet), *drawn.get(part, ())]
            blocks += [Text([], title)] if output == PAGE and title and found else []
            blocks += found
        scale = sheet.section.scale
        several = f"Scale {analysis.letters[scale]}: {scale}"
        return Chapter(f"scale-{number}", several if len(analysis.letters) > 1 else scale, blocks)

    scales = [of_scale(sheet, number) for number, sheet in enumerate(analysis.sheets, start=1)]
    chapters = [chapter for chapter in (*around(BEFORE), *scales, *around(AFTER)) if chapter.blocks]
    return Document(f"What {', '.join(analysis.report.overview.sweeps) or 'no sweep'} showed", chapters)


def write_whole(text: str, file: Path) -> list[Path]:
    """Write a file, whole or not at all. Raises UserError if it cannot be written."""
    try:
        write_atomically(file, text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    return [file]
