"""What decoding saves where tokens leave by confidence, and how many tokens of a draft are kept."""

from __future__ import annotations

from collections.abc import Iterator

from bitskip.report.format import number_text
from bitskip.report.numbers import EarlyDecoding
from bitskip.report.summary import Sheet
from bitskip.report.table import Block, Column, Number, tabulate

LEAVING = (
    "A token leaves at the first measured exit whose most likely token is as probable. Keys and values of the blocks "
    "that it skipped are computed when a later token goes deeper, so that states are those of the full pass."
)
DRAFTING = "Greedy self-speculative decoding, whose text is the full model's: a verification emits one token more."


def early_decoding(sheet: Sheet) -> Iterator[Block]:
    """Perplexity and mean exit layer by threshold, and acceptance by the exit that drafts."""
    found = sheet.section.early_decoding
    confident = [each for each in found if each.thresholds]
    thresholds = [point.threshold for point in confident[0].thresholds[:-1]] if confident else []

    def leaving(place: int, threshold: float) -> Column[EarlyDecoding]:
        def told(each: EarlyDecoding) -> Number:
            point = each.thresholds[place]
            return Number(f"{number_text(point.ppl)} at {point.depth:.1f}", point.depth)

        return Column(f"{threshold:g}", told)

    heads: list[Column[EarlyDecoding]] = [
        Column("configuration", lambda each: each.configuration),
        *(leaving(place, threshold) for place, threshold in enumerate(thresholds)),
        Column("full", lambda each: Number(f"{number_text(each.ppl)} at {each.depth}", each.ppl)),
        Column("n", lambda each: each.seeds),
    ]
    title = "Leaving by confidence: perplexity at the mean exit layer, by threshold"
    yield from tabulate(title, confident, heads, note=LEAVING, cut=True, sort=True)

    drafting = [each for each in found if each.drafts]
    layers = sorted({draft.exit_layer for each in drafting for draft in each.drafts})

    def kept(layer: int) -> Column[EarlyDecoding]:
        def told(each: EarlyDecoding) -> Number:
            rate = next((draft.rate for draft in each.drafts if draft.exit_layer == layer), None)
            return Number("" if rate is None else f"{rate:.0%}", rate)

        return Column(f"exit {layer}", told)

    rates: list[Column[EarlyDecoding]] = [
        Column("configuration", lambda each: each.configuration),
        *map(kept, layers),
        Column("of a draft of", lambda each: each.drafts[0].draft_tokens, short="draft"),
        Column("n", lambda each: each.seeds),
    ]
    title = "Drafting with an exit: share of the drafted tokens that the full model keeps"
    yield from tabulate(title, drafting, rates, note=DRAFTING, cut=True, sort=True)
