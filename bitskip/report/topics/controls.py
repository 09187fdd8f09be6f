"""What comparisons are held against, where a sweep has such points (sweeps/controls.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bitskip.report.format import THREE_DECIMALS, bytes_text, count_text, interval_text, number_text
from bitskip.report.numbers import AloneExit, EqualCost, FullPrecision
from bitskip.report.summary import Sheet
from bitskip.report.table import Block, Column, Number, number, tabulate

Which = Callable[[EqualCost], FullPrecision | None]


def alone_exits(sheet: Sheet) -> Iterator[Block]:
    """Exits beside models of as many blocks that were trained alone."""

    def ratio(each: AloneExit) -> Number:
        shown = interval_text(each.ratio, each.low, each.high, THREE_DECIMALS)
        return Number(shown or "no shared seed", each.ratio)

    heads: list[Column[AloneExit]] = [
        Column("configuration", lambda each: each.configuration),
        Column("exit", lambda each: Number(f"{each.exit_layer} of {each.depth}", each.exit_layer)),
        Column("perplexity", lambda each: each.ppl, short="ppl"),
        Column("alone", lambda each: each.alone_ppl),
        Column("ratio (95 %)", ratio),
        Column("n", lambda each: each.seeds),
    ]
    note = "Alone: as many blocks, the same recipe and precision, without early-exit training."
    yield from tabulate("Exits beside models of that depth trained alone", sheet.section.alone, heads, note=note)


def equal_costs(sheet: Sheet) -> Iterator[Block]:
    """Quantized configurations beside full precision that costs as much."""

    def beside(name: str, short: str, which: Which, cost: Callable[[FullPrecision], str]) -> Column[EqualCost]:
        def told(each: EqualCost) -> Number:
            other = which(each)
            if other is None:
                return Number("")
            return Number(f"{number_text(other.ppl)} ({other.model}, {cost(other)})", other.ppl)

        return Column(name, told, short=short)

    def stored(of: FullPrecision) -> str:
        return bytes_text(of.weight_bytes)

    def flops(of: FullPrecision) -> str:
        return f"{count_text(of.tokens)} tokens, {of.flops:.2g} FLOPs"

    heads: list[Column[EqualCost]] = [
        Column("configuration", lambda each: each.configuration),
        Column("perplexity", lambda each: each.ppl, short="ppl"),
        Column("weights", lambda each: number(each.weight_bytes, bytes_text)),
        beside("full precision, as many parameters", "parameters", lambda each: each.of_parameters, stored),
        beside("full precision, nearest bytes", "bytes", lambda each: each.of_bytes, stored),
        beside("full precision, nearest training FLOPs", "FLOPs", lambda each: each.of_flops, flops),
    ]
    note = "Full precision with the same other techniques, at any size and budget of this text."
    title = "Quantized beside full precision of equal cost"
    yield from tabulate(title, sheet.section.equal_costs, heads, note=note, cut=True)
