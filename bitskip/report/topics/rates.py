"""Where scales differ in nothing but the learning rate: its search, and what techniques do together at each rate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from bitskip.analysis.contrasts import estimate, moebius, treatment_combinations
from bitskip.analysis.levels import Levels, cell_label, level_label
from bitskip.analysis.rates import Search, best_rate_effects, searches
from bitskip.analysis.student_t import Estimate
from bitskip.report.format import difference_text, interval_text, log_spread_text, number_text
from bitskip.report.summary import EVERYTHING_OFF, Analysis
from bitskip.report.table import Block, Column, Number, Table, Text, number, tabulate


def rates(analysis: Analysis) -> Iterator[Block]:
    """Every search of a learning rate, all else equal."""
    marks = {sheet.section.scale: sheet.section.regime.mark for sheet in analysis.sheets}
    found = searches([sheet.stratum for sheet in analysis.sheets])
    tables = [table for search in found for table in _search(search, marks)]
    if tables:
        yield Text(
            [
                "Perplexity by peak learning rate, all else equal: one search for every precision, on the same seeds "
                "at every rate. Geometric means ± the sd of the logarithm. These seeds count nowhere else at a rate "
                "that they chose. Best: by a parabola in log2 of the rate through each arm's best and its neighbours."
            ],
            tone="soft",
        )
        yield from tables


def _search(search: Search, marks: Mapping[str, str]) -> Iterator[Table]:
    """A configuration's rates are compared over the seeds that ran at all of them."""
    first = search.strata[search.rates[0]]
    arms = {_label(levels, first.baseline): by_rate for levels, by_rate in search.arms().items()}
    if not arms:
        return
    scale = ", ".join(part for part in first.label.split(", ") if not part.startswith("lr "))

    def best(name: str) -> float:
        return min(arms[name], key=lambda rate: statistics.fmean(arms[name][rate]))

    def loss(rate: float) -> Column[str]:
        return Column(f"{rate:g}", lambda name: _mean(arms[name].get(rate, ())))

    searched: list[Column[str]] = [
        Column("configuration", str),
        *map(loss, search.rates),
        Column("best", lambda name: number(best(name), "{:g}".format)),
        Column("n", lambda name: len(arms[name][best(name)])),
    ]
    mark = f", {marks[first.label]}" if marks[first.label] else ""
    yield from tabulate(scale + mark, sorted(arms), searched)
    optimum = best_rate_effects(search)
    at_rate = {rate: _effects(search, rate) for rate in search.rates}
    several = sorted({name for found in at_rate.values() for name in found})

    def composition(rate: float) -> Column[tuple[str, ...]]:
        return Column(f"{rate:g}", lambda name: _effect(at_rate[rate].get(name)))

    def at_best(name: tuple[str, ...]) -> Number:
        return _effect(optimum[name]) if optimum.get(name) else Number("an edge is best" if name in optimum else "")

    heads: list[Column[tuple[str, ...]]] = [
        Column("techniques", " × ".join),
        *map(composition, search.rates),
        Column("each arm at its best", at_best),
    ]
    yield from tabulate(
        f"{scale}: composition effects at each rate, all other techniques off (95 %){mark}",
        [name for name in several if sum(name in found for found in at_rate.values()) > 1],
        heads,
    )


def _label(levels: Levels, baseline: Levels) -> str:
    label = cell_label(levels, baseline)
    return EVERYTHING_OFF if label == "baseline" else label


def _effects(search: Search, rate: float) -> dict[tuple[str, ...], Estimate]:
    """Anchored composition effects at one rate, on the seeds of the search."""
    stratum, found = search.strata[rate], {}
    for treatments in treatment_combinations(stratum, 2):
        weights = moebius(stratum.baseline, treatments)
        effect = estimate([weights], search.losses[rate]) if weights else None
        if effect is not None and effect.se is not None:
            found[tuple(level_label(*each) for each in treatments)] = effect
    return found


def _effect(effect: Estimate | None) -> Number:
    low, high = (effect and effect.interval()) or (None, None)
    if effect is None:
        return Number("")
    text = interval_text(effect.value, low, high, lambda end: difference_text(end, "ppl"))
    return Number(f"{text}, n={effect.seeds}", effect.value)


def _mean(losses: Sequence[float]) -> Number:
    if not losses:
        return Number("")
    mean = math.exp(statistics.fmean(losses))
    return Number(number_text(mean) + log_spread_text(statistics.stdev(losses) if len(losses) > 1 else None), mean)
