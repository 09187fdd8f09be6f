"""Where scales differ in nothing but the learning rate: its search, and what techniques do together at each rate."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence

from bitskip.analysis.effects import Effect
from bitskip.analysis.levels import cell_label
from bitskip.report.format import difference_text, interval_text, log_spread_text, number_text
from bitskip.report.summary import EVERYTHING_OFF, PPL, Analysis, Sheet
from bitskip.report.table import Block, Column, Number, Table, Text, number, tabulate
from bitskip.report.topics.effects import together

FEWEST_RATES = 3
"""Learning rates that make a search."""


def rates(analysis: Analysis) -> Iterator[Block]:
    """Every search of a learning rate, all else equal."""
    grouped: dict[tuple[object, ...], dict[float, Sheet]] = {}
    for sheet in analysis.sheets:
        if "lr" not in sheet.stratum.tuned:
            key = tuple((name, value) for name, value in sheet.stratum.scale.items() if name != "lr")
            grouped.setdefault(key, {})[float(sheet.stratum.scale["lr"])] = sheet
    tables = [table for found in grouped.values() if len(found) >= FEWEST_RATES for table in _search(found)]
    if tables:
        yield Text(
            [
                "Perplexity by peak learning rate, all else equal: one search for every precision, on the same seeds "
                "at every rate. Geometric means ± the sd of the logarithm."
            ],
            tone="soft",
        )
        yield from tables


def _search(found: dict[float, Sheet]) -> Iterator[Table]:
    """A configuration's rates are compared over the seeds that ran at all of them."""
    rates = sorted(found)
    searched: dict[str, dict[float, dict[int, float]]] = defaultdict(dict)
    effects: dict[str, dict[float, Effect]] = defaultdict(dict)
    for rate, sheet in found.items():
        for cell in sheet.stratum.cells:
            label = cell_label(cell.levels, sheet.stratum.baseline)
            if losses := cell.values(PPL):
                searched[EVERYTHING_OFF if label == "baseline" else label][rate] = losses
        for effect in sheet.section.composition_effects:
            if effect.estimand == "anchored" and effect.value is not None and effect.low is not None:
                effects[together(effect)][rate] = effect
    shared: dict[str, dict[float, list[float]]] = {}
    for name, by_rate in sorted(searched.items()):
        seeds = sorted(set.intersection(*map(set, by_rate.values())))
        if len(by_rate) >= FEWEST_RATES and seeds:
            shared[name] = {rate: [losses[seed] for seed in seeds] for rate, losses in by_rate.items()}

    def best(name: str) -> float:
        return min(shared[name], key=lambda rate: statistics.fmean(shared[name][rate]))

    if not shared:
        return
    label = found[rates[0]].section.scale
    scale = ", ".join(part for part in label.split(", ") if not part.startswith("lr "))

    def loss(rate: float) -> Column[str]:
        return Column(f"{rate:g}", lambda name: _mean(shared[name].get(rate, ())))

    def composition(rate: float) -> Column[str]:
        return Column(f"{rate:g}", lambda name: _effect(effects[name].get(rate)))

    searches: list[Column[str]] = [
        Column("configuration", str),
        *map(loss, rates),
        Column("best", lambda name: number(best(name), "{:g}".format)),
        Column("n", lambda name: len(shared[name][best(name)])),
    ]
    yield from tabulate(scale, shared, searches)
    several = [name for name, at in sorted(effects.items()) if len(at) > 1]
    title = f"{scale}: composition effects at each rate, all other techniques off (95 %)"
    yield from tabulate(title, several, [Column("techniques", str), *map(composition, rates)])


def _effect(effect: Effect | None) -> Number:
    if effect is None:
        return Number("")
    text = interval_text(effect.value, effect.low, effect.high, lambda end: difference_text(end, effect.metric))
    return Number(f"{text}, n={effect.seeds}", effect.value)


def _mean(losses: Sequence[float]) -> Number:
    if not losses:
        return Number("")
    mean = math.exp(statistics.fmean(losses))
    return Number(number_text(mean) + log_spread_text(statistics.stdev(losses) if len(losses) > 1 else None), mean)
