"""A report as chapters: which topics it tells, in which order, and where. A new topic is an entry here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError, nearest
from bitskip.report.glossary import glossary
from bitskip.report.summary import Analysis, Sheet
from bitskip.report.table import Block, Chapter, Document, Text
from bitskip.report.topics import answer, controls, effects, ladder, mechanisms, overview, paper, rates, standings
from bitskip.report.topics.early_decoding import early_decoding
from bitskip.report.topics.speeds import speeds

CONFIGURATIONS = "configurations"
"""The topic that opens a scale."""

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
    ("speed", "Speed in engines"): (Topic(speeds),),
    ("effects", "Effects"): (
        Topic(effects.main_effects), Topic(effects.composition_effects), Topic(effects.higher_effects)
    ),
    ("exits", "Exits"): (Topic(standings.exits), Topic(standings.best_exits, FILES), Topic(controls.alone_exits)),
    ("confidence", "Leaving by confidence, and drafts"): (Topic(early_decoding),),
    ("curves", "Training"): (),
    ("failures", "Failures"): (Topic(standings.failures),),
    ("mechanisms", "Mechanisms"): (Topic(mechanisms.quantizers, FILES), Topic(mechanisms.gradients, FILES)),
    ("predictor", "The predictor"): (Topic(mechanisms.predictor),),
}  # fmt: skip
"""The parts of a scale's chapter: the topic of the figures that a page shows there, its title on a page, and topics."""

BEFORE = {
    ("summary", "Summary"): Topic(overview.overview),
    ("ladder", "Along the ladder"): Topic(ladder.ladders),
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
    ("glossary", "Words"): Topic(glossary, (PAGE,)),
}
"""Chapters before and after those of the scales, by anchor and title."""

Figures = Callable[[Any, int], Mapping[str, Sequence[Block]]]


def first_screen(analysis: Analysis) -> Document:
    """What a reader sees first, in forty lines."""
    return Document("", [Chapter("answer", "", list(answer.answer(analysis)))])


def topic_names() -> list[str]:
    """What `document` can be asked for alone."""
    of_a_scale = [part or CONFIGURATIONS for (part, _), topics in OF_A_SCALE.items() if topics]
    return list(dict.fromkeys((*(anchor for anchor, _ in (*BEFORE, *AFTER)), *of_a_scale)))


def document(
    analysis: Analysis,
    output: str,
    figures: Figures = lambda about, number: {},
    only: Collection[str] = (),
) -> Document:
    """The report for one output, with what is drawn of all results (number 0) or of a scale, by chapter or part.

    `only` names topics that are told alone, whatever they are told in otherwise. Raises UserError for an unknown one.
    """
    for name in only:
        if name not in topic_names():
            raise UserError(f"unknown topic '{name}'{nearest(name, topic_names())} (one of {', '.join(topic_names())})")

    def told(topics: Iterable[Topic], about: Analysis | Sheet) -> list[Block]:
        return [block for topic in topics if only or output in topic.outputs for block in topic.make(about)]

    def around(topics: Mapping[tuple[str, str], Topic]) -> list[Chapter]:
        return [
            Chapter(anchor, title, [*told([topic], analysis), *whole.get(anchor, ())])
            for (anchor, title), topic in topics.items()
            if wanted(anchor)
        ]

    def wanted(name: str) -> bool:
        return not only or name in only

    def of_scale(sheet: Sheet, number: int) -> Chapter:
        blocks: list[Block] = []
        drawn = figures(sheet, number)
        for (part, title), topics in OF_A_SCALE.items():
            if not wanted(part or CONFIGURATIONS):
                continue
            found = [*told(topics, sheet), *drawn.get(part, ())]
            blocks += [Text([], title)] if output == PAGE and title and found else []
            blocks += found
        scale = sheet.section.scale
        several = f"Scale {analysis.letters[scale]}: {scale}"
        return Chapter(f"scale-{number}", several if len(analysis.letters) > 1 else scale, blocks)

    whole = figures(analysis, 0)
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
