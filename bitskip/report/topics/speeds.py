"""How fast the configurations are in engines, and whose kernels that is the speed of."""

from __future__ import annotations

from collections.abc import Iterator

from bitskip.report.format import bytes_text, number_text, spread_text
from bitskip.report.numbers import MeasuredSpeed
from bitskip.report.summary import Sheet
from bitskip.report.table import FILES, Block, Column, Number, number, tabulate
from bitskip.store.speeds import EngineSpeed

NOTE = (
    "Full model, one sequence; median ± distance between the quartiles of the repeats. Emulated: numbers of few bits "
    "are computed with in floating point, which says nothing of their speed. Agreement: share of the engine's tokens "
    "that the trial itself would have chosen."
)


def speed_text(value: float, spread: float) -> str:
    return f"{number_text(value)} ± {spread_text(spread)}"


def speeds(sheet: Sheet) -> Iterator[Block]:
    """Every configuration that `bitskip bench` has measured, by engine."""
    heads: list[Column[MeasuredSpeed]] = [
        Column("configuration", lambda each: each.configuration),
        Column("engine", lambda each: each.engine + " (emulated)" * each.emulated),
        Column("version", lambda each: each.engine_version, FILES),
        Column("weights", lambda each: each.weight_type),
        Column("perplexity", lambda each: each.ppl, short="ppl"),
        Column("prefill, tokens/s", lambda each: _speed(each, "prefill"), short="prefill"),
        Column("decoding, tokens/s", lambda each: _speed(each, "decode"), short="decoding"),
        Column("size", lambda each: number(each.model_bytes, bytes_text)),
        Column("agreement", lambda each: number(each.agreement, "{:.0%}".format), FILES),
        Column("threads", lambda each: each.threads),
        Column("device", lambda each: f"{each.device}, {each.host}", FILES),
        Column("n", lambda each: each.measurements, FILES),
    ]

    def mark(each: MeasuredSpeed) -> str:
        return "unresolved" if each.emulated else ""

    title = "Speed of the full model by engine"
    yield from tabulate(title, sheet.section.speeds, heads, mark, note=NOTE, cut=True, sort=True)


def _speed(each: MeasuredSpeed, what: str) -> Number:
    value = getattr(each, f"{what}_tokens_per_second")
    return Number(speed_text(value, getattr(each, f"{what}_spread")), value)


def speed_line(trial_id: str, speed: EngineSpeed) -> str:
    """A measurement in words."""
    prefill = speed_text(speed.prefill_tokens_per_second, speed.prefill_spread)
    decode = speed_text(speed.decode_tokens_per_second, speed.decode_spread)
    made = f"{speed.engine_version}; {speed.weight_type}{', emulated' * speed.emulated}"
    return (
        f"{trial_id} in {speed.engine} ({made}): prefill {prefill}, decoding {decode} tokens/s; "
        f"{bytes_text(speed.model_bytes)}, {speed.threads} thread{'s' * (speed.threads > 1)}, "
        f"{speed.agreement:.0%} of its tokens are the trial's own choice"
    )
