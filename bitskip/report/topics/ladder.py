"""What becomes of effects along a ladder of sizes and budgets: in words, and rung by rung."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bitskip.report.format import (
    THREE_DIGITS,
    count_text,
    difference_text,
    effect_name,
    interval_text,
    number_text,
    range_text,
    size_text,
)
from bitskip.report.numbers import Section
from bitskip.report.summary import Analysis
from bitskip.report.table import Block, Column, Number, Text, number, tabulate
from bitskip.scaling.along import AtRung, Crossing, EffectAlong, LadderSummary
from bitskip.scaling.contrast_laws import LEVEL
from bitskip.scaling.multiplier_laws import LossLaw, Multiplier
from bitskip.scaling.verdict import FADES, FLIPS, GROWS, HOLDS, OPEN, VERDICTS

LEVEL_TEXT = f"{100 * LEVEL:g} %"

MOST = 12
"""Effects that the summary tells; the chapter of the ladder has all."""

ALONG = {FLIPS: "flips", FADES: "fades", GROWS: "grows", HOLDS: "holds", OPEN: "is open"}
"""Verdicts as what an effect does."""


def name_of(effect: EffectAlong) -> str:
    return " × ".join(effect.techniques)


def ladder_lines(ladder: LadderSummary) -> Iterator[str]:
    """A sentence an effect: where it starts, where it ends, its verdict, and where it changes sign."""
    if not ladder.effects:
        yield from (f"Not followed along the ladder: {reason}." for reason in ladder.left_out[:1])
        return
    yield (
        f"Along the ladder of {ladder.label}, {ladder.scales} rungs of {_range(ladder.parameters, count_text)} "
        f"parameters and {_range(ladder.tokens_per_parameter)} tokens a parameter, effects on "
        f"{effect_name(ladder.metric)} with {LEVEL_TEXT} intervals:"
    )
    told = sorted(ladder.effects[:MOST], key=lambda each: len(each.techniques))
    yield from (_sentence(effect, ladder.metric) for effect in told)
    if len(ladder.effects) > MOST:
        yield f"{len(ladder.effects) - MOST} more stand below, with the ladder."


def ladder_in_short(ladder: LadderSummary) -> Iterator[str]:
    """The verdict of every effect in a line, then the main and the composition effect that change most, in words."""
    ranked = sorted(ladder.effects, key=lambda each: (_CHANGES.index(each.verdict), -abs(each.rungs[-1].value)))
    marks = [rung.mark for effect in ranked for rung in effect.rungs]
    told = ", ".join(dict.fromkeys(part for mark in marks for part in mark.split(", ") if part))
    verdicts = [
        f"{verdict}: {', '.join(names)}"
        for verdict in _CHANGES
        if (names := [name_of(effect) for effect in ranked if effect.verdict == verdict])
    ]
    part = f" ({told}{' in part' if not all(marks) else ''})" if told else ""
    yield f"Along {ladder.scales} rungs{part}, {'; '.join(verdicts)}. By rung: --only ladder."
    for order in (1, 2):
        yield from [_sentence(each, ladder.metric) for each in ranked if len(each.techniques) == order][:1]


_CHANGES = (FLIPS, FADES, GROWS, HOLDS, OPEN)


def _sentence(effect: EffectAlong, metric: str) -> str:
    told = f"{name_of(effect)} {ALONG[effect.verdict]}: {_at(_start(effect), metric)}; {_at(effect.rungs[-1], metric)}"
    # Of the largest size at which it was measured, else of the largest.
    inside = [crossing for crossing in effect.crossings if crossing.inside] or effect.crossings
    if inside and (effect.verdict == FLIPS or inside[-1].high is not None):
        told += f"; {crossing_text(inside[-1])}"
    return f"{told}; {_seeds(effect)}."


def _start(effect: EffectAlong) -> AtRung:
    """The smallest rung; of an effect that flips, the surest one on the other side of the last."""
    first, last = effect.rungs[0], effect.rungs[-1]
    others = [rung for rung in effect.rungs if rung.value * last.value < 0]
    if effect.verdict != FLIPS or not others:
        return first
    return max(others, key=lambda rung: abs(rung.value) / rung.se)


def _at(rung: AtRung, metric: str) -> str:
    value = interval_text(rung.value, rung.low, rung.high, lambda end: difference_text(end, metric))
    mark = f", {rung.mark}" if rung.mark else ""
    return f"{value} at {rung.model} with {_per_parameter(rung)} tokens a parameter{mark}"


def crossing_text(crossing: Crossing) -> str:
    """Where the sign changes, how sure that is, and whether it was measured there."""
    place = f"its sign changes at {THREE_DIGITS(crossing.tokens_per_parameter)} tokens a parameter"
    if crossing.low is None or crossing.high is None:
        place += f" ({LEVEL_TEXT} interval without bounds)"
    else:
        place += f" ({LEVEL_TEXT} {range_text(crossing.low, crossing.high)})"
    outside = "" if crossing.inside else f", outside the measured {_range(crossing.measured)}"
    return f"{place} with {count_text(crossing.parameters)} parameters{outside}"


def _per_parameter(rung: AtRung) -> str:
    return THREE_DIGITS(rung.regime.tokens_per_parameter)


def _range(ends: tuple[float, float], show: Callable[[float], str] = THREE_DIGITS) -> str:
    return " to ".join(dict.fromkeys(map(show, ends)))


def _seeds(effect: EffectAlong) -> str:
    most = max(rung.seeds for rung in effect.rungs)
    return f"n={effect.seeds}" + (f" to {most}" if most > effect.seeds else "")


def ladders(analysis: Analysis) -> Iterator[Block]:
    """Every effect along every ladder, and a table of the effect by rung for each size."""
    for ladder in analysis.report.ladders:
        yield from _ladder(ladder)
        yield from _counting(analysis, ladder)


def _ladder(ladder: LadderSummary) -> Iterator[Block]:
    def shown(value: float) -> str:
        return difference_text(value, ladder.metric)

    def at(index: int) -> Callable[[EffectAlong], Number]:
        return lambda effect: number(effect.rungs[index].value, shown)

    heads: list[Column[EffectAlong]] = [
        Column("effect", name_of),
        Column("with scale", lambda effect: effect.verdict),
        Column("smallest rung", at(0)),
        Column("largest rung", at(-1)),
        Column("sign changes at, tokens a parameter", _crossings, short="sign changes at"),
        Column("seeds", _seeds),
    ]
    yield from tabulate(
        f"Effects on {effect_name(ladder.metric)} along the ladder of {ladder.label}",
        sorted(ladder.effects, key=lambda each: (len(each.techniques), VERDICTS.index(each.verdict), each.techniques)),
        heads,
        note="Verdicts are those of what was measured, between the smallest and the largest rung (docs/scaling.md).",
        cut=True,
    )
    sizes = {rung.parameters: rung.model for effect in ladder.effects for rung in effect.rungs}
    for parameters, model in sorted(sizes.items()):
        yield from _by_rung(ladder, model, parameters)
    if ladder.loss_law:
        yield from _multipliers(ladder.loss_law)
    yield Text([f"Not followed: {reason}." for reason in ladder.left_out], tone="soft")


def _multipliers(law: LossLaw) -> Iterator[Block]:
    """What each technique is worth in parameters and tokens, if one law of the loss holds for all."""

    def shown(value: float | None) -> Number:
        return number(value, lambda nats: f"{nats:+.3f}")

    heads: list[Column[Multiplier]] = [
        Column("effect", lambda each: " × ".join(each.techniques)),
        Column("parameters ×", lambda each: Number(interval_text(*each.parameters), each.parameters[0])),
        Column("tokens ×", lambda each: Number(interval_text(*each.tokens), each.tokens[0])),
        Column("foretold at the largest rung, nats", lambda each: shown(each.foretold), short="foretold"),
        Column("measured", lambda each: shown(each.measured)),
    ]
    note = (
        f"L = E + A (m N)^-{THREE_DIGITS(law.exponents[0])} + B (d D)^-{THREE_DIGITS(law.exponents[1])}, "
        f"E {THREE_DIGITS(law.irreducible)} nats; off by {THREE_DIGITS(law.misfit)} nats where fitted "
        f"and {THREE_DIGITS(law.held_out)} at the largest rung, held out (root mean squares)."
    )
    yield from tabulate("One law of the loss, with multipliers of each technique", law.multipliers, heads, note=note)


def _counting(analysis: Analysis, ladder: LadderSummary) -> Iterator[Block]:
    """How far the best model of each size is from 5-grams at its longest budget, where one is above, and why."""
    scales = {rung.scale for effect in ladder.effects for rung in effect.rungs}
    longest: dict[int, Section] = {}
    for section in sorted((s for s in analysis.report.sections if s.scale in scales), key=lambda s: s.regime.tokens):
        longest[section.regime.parameters] = section
    over = {
        parameters: math.exp(min(above))
        for parameters, section in sorted(longest.items())
        if (above := [each.above_fivegram for each in section.leaderboard if each.above_fivegram is not None])
    }
    ratios = list(over.values())
    if len(ratios) < 2 or max(ratios) < 1:
        return
    told = ", ".join(f"{ratio:.1f} times with {count_text(parameters)}" for parameters, ratio in over.items())
    nearer = all(larger < smaller for smaller, larger in itertools.pairwise(ratios))
    why = "every larger model comes nearer: parameters and tokens are what they lack"
    yield Text(
        [
            f"At their longest budget the best models have the perplexity of 5-grams of the same tokens {told} "
            f"parameters; {why if nearer else 'larger models do not come nearer throughout'}."
        ]
    )


@dataclass(frozen=True)
class _Line:
    """A line of the table of one size: a name, and a cell by tokens."""

    name: str
    cells: dict[int, Number]


def _by_rung(ladder: LadderSummary, model: str, parameters: int) -> Iterator[Block]:
    here = [
        (name_of(effect), {rung.tokens: rung for rung in effect.rungs if rung.parameters == parameters})
        for effect in ladder.effects
    ]
    rungs = {tokens: rung for _, found in here for tokens, rung in sorted(found.items())}
    lines = [_Line("regime", {tokens: Number(_mark(here, tokens)) for tokens in rungs})]
    lines += [
        _Line(name, {tokens: _with_half(rung, ladder.metric) for tokens, rung in found.items()})
        for name, found in here
        if found
    ]

    def budget(tokens: int) -> Column[_Line]:
        return Column(f"{_per_parameter(rungs[tokens])} tokens a parameter", lambda line: line.cells.get(tokens))

    yield from tabulate(
        f"Effect by rung on {effect_name(ladder.metric)}: {model}, {count_text(parameters)} parameters",
        lines,
        [Column("effect", lambda line: line.name), *map(budget, sorted(rungs))],
        note=f"± half of the {LEVEL_TEXT} interval.",
        cut=True,
    )


def _mark(here: Sequence[tuple[str, dict[int, AtRung]]], tokens: int) -> str:
    """The marks of a rung, each once."""
    found = (mark for _, rungs in here if tokens in rungs for mark in rungs[tokens].mark.split(", "))
    return ", ".join(dict.fromkeys(filter(None, found)))


def _with_half(rung: AtRung, metric: str) -> Number:
    half = size_text((rung.high - rung.low) / 2, metric)
    return Number(f"{difference_text(rung.value, metric)} ± {half}", rung.value)


def _crossings(effect: EffectAlong) -> str:
    """At every size, with a word where it lies outside what was measured."""
    return "; ".join(
        f"{number_text(crossing.tokens_per_parameter)} "
        + (f"({range_text(crossing.low, crossing.high)}) " if crossing.low is not None else "")
        + f"with {count_text(crossing.parameters)}"
        + ("" if crossing.inside else ", outside")
        for crossing in effect.crossings
    )
