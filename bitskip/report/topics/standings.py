"""How the configurations of a scale did: named variants, all of them by perplexity, their exits, and what failed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bitskip.analysis.failure_rates import FailureComposition, Risk
from bitskip.analysis.metrics import METRICS
from bitskip.report.format import (
    THREE_DECIMALS,
    bytes_text,
    counting_line,
    difference_text,
    interval_text,
    metric_name,
    number_text,
    range_text,
    regime_line,
    share_text,
    spread_text,
)
from bitskip.report.numbers import ExitProfile, Failure, Section, Standing
from bitskip.report.summary import Sheet
from bitskip.report.table import FILES, Block, Column, Number, Text, number, tabulate

COUNTING_NOTE = "Against n-grams counted on the same tokens: not below bigrams is below counting, which is no finding."


def finished(sheet: Sheet) -> Iterator[Block]:
    """How much of the scale ran, and the noise between its seeds."""
    section, seeds = sheet.section, sheet.section.seeds
    if not section.finished:
        yield Text([f"No trial finished: all {section.trials} failed."], tone="strong")
        return
    line = f"{section.finished} of {section.trials} trials finished; the baseline is {section.baseline}."
    if seeds.paired_sd is not None and seeds.unpaired_sd is not None:
        own, shared = (difference_text(sd, section.metric) for sd in (seeds.paired_sd, seeds.unpaired_sd))
        line += (
            f" Seed noise: {own} (sd of a trial, {seeds.df:.0f} degrees of freedom); {shared} with the shift that a "
            "seed gives all configurations."
        )
    lines = [line, regime_line(section.regime)]
    yield Text([*lines, *([counting_line(section.counting)] if section.counting else [])])


def variants(sheet: Sheet) -> Iterator[Block]:
    """Named configurations, against the baseline."""
    section = sheet.section
    named = [standing for standing in section.leaderboard if standing.point]
    ratios = {ratio.point: ratio for ratio in section.points}
    reference = section.points[0].reference if section.points else "baseline"
    metric = METRICS[section.metric]
    ratio = "odds ratio" if metric.odds else "ratio"
    what = ratio if metric.logarithmic else f"{metric_name(section.metric)} less that"

    def beside(standing: Standing) -> Number:
        found = ratios.get(standing.point or "")
        if found is None:
            return Number("")
        shown = interval_text(found.ratio, found.low, found.high, THREE_DECIMALS)
        return Number(shown or "no shared seed", found.ratio)

    def other(name: str) -> Column[Standing]:
        return Column(metric_name(name), lambda each: each.metrics.get(name))

    heads: list[Column[Standing]] = [
        Column("variant", lambda each: each.point or ""),
        *_value(section),
        *_counting(section),
        Column("n", lambda each: each.seeds),
        Column(f"{what} to {reference} (95 %)", beside, short=what),
        *(
            other(name)
            for name, metric in METRICS.items()
            if metric.reported and any(name in standing.metrics for standing in named)
        ),
        Column("weights", lambda each: number(each.weight_bytes, bytes_text)),
        Column("tokens/s", lambda each: each.tokens_per_second),
    ]
    ordered = sorted(named, key=lambda each: (each.point != "baseline", each.point or ""))
    note = COUNTING_NOTE if section.counting and ordered else ""
    where = f", {section.regime.mark}" if section.regime.mark else ""
    yield from tabulate(f"Named variants beside {reference}, 95 % intervals{where}", ordered, heads, note=note)


def _value(section: Section) -> list[Column[Standing]]:
    return [
        Column(metric_name(section.ranked), lambda each: each.value, short=section.ranked),
        Column("± sd", lambda each: number(each.value_sd, spread_text)),
    ]


def _counting(section: Section) -> list[Column[Standing]]:
    """How far above or below counting, where that was measured."""

    def against(nats: float | None) -> Number:
        return number(None if nats is None else math.expm1(nats), share_text)

    heads: list[Column[Standing]] = [
        Column("against bigrams", lambda each: against(each.above_bigram), short="bigram"),
        Column("against 5-grams", lambda each: against(each.above_fivegram), FILES),
    ]
    return heads if section.counting else []


def configurations(sheet: Sheet) -> Iterator[Block]:
    """Every configuration by perplexity, with its noise between seeds."""
    section = sheet.section

    def seeds(each: Standing) -> Number:
        return Number(str(each.seeds) + (f"/{each.trials}" if each.trials > each.seeds else ""), each.seeds)

    def setting(name: str) -> Column[Standing]:
        return Column(name, lambda each: each.settings[name])

    sd_of_logarithm: Column[Standing] = Column(
        "sd of log-perplexity", lambda each: number(each.loss_sd, THREE_DECIMALS), FILES
    )
    heads: list[Column[Standing]] = [
        Column("variant", lambda each: each.point or ""),
        *(map(setting, section.varying) if section.varying else [Column("configuration", lambda e: e.configuration)]),
        *_value(section),
        *_counting(section),
        *([sd_of_logarithm] if section.ranked == "ppl" else []),
        Column("n", seeds),
        Column("weights", lambda each: number(each.weight_bytes, bytes_text), FILES),
    ]
    title = f"Configurations by {metric_name(section.ranked)} (mean ± sd over seeds)"
    best = section.leaderboard[:1]
    note = COUNTING_NOTE if section.counting else ""

    def mark(each: Standing) -> str:
        return "lead" if each in best else "unresolved" if each.below_counting else ""

    yield from tabulate(title, section.leaderboard, heads, mark, note=note, cut=True, sort=True)


def exits(sheet: Sheet) -> Iterator[Block]:
    """Perplexity and speed of every exit of the named variants, or of the best configurations."""
    profiles = sheet.section.exits
    if not profiles:
        return

    def of(profile: ExitProfile) -> Column[int]:
        return Column(profile.name, lambda layer: at(layer, profile))

    def at(layer: int, profile: ExitProfile) -> Number:
        if layer > len(profile.exits):
            return Number("")
        measure = profile.exits[layer - 1]
        gain = "" if measure.speed_gain is None else f" {share_text(measure.speed_gain, 0)}"
        return Number(f"{number_text(measure.ppl)}{gain}{' *' if layer == profile.best_exit else '  '}", measure.ppl)

    layers = range(1, max(len(profile.exits) for profile in profiles) + 1)
    title = f"Exits: perplexity, speed gain (* = fastest within {100 * profiles[0].within:g} % of the full model)"
    yield from tabulate(title, layers, [Column("exit", lambda layer: layer), *map(of, profiles)])


def best_exits(sheet: Sheet) -> Iterator[Block]:
    """The exit of each variant that is recommended, and what it costs."""
    profiles = sheet.section.exits
    within = 100 * profiles[0].within if profiles else 0
    yield from tabulate(
        f"Best exits: the fastest within {within:g} % of the full model's perplexity",
        [(each, each.exits[each.best_exit - 1]) for each in profiles if each.best_exit is not None],
        [
            Column("variant", lambda each: each[0].name),
            Column("exit", lambda each: Number(f"{each[1].exit_layer} of {len(each[0].exits)}", each[1].exit_layer)),
            Column("perplexity", lambda each: each[1].ppl),
            Column("over the full model", lambda each: number(each[1].ppl / each[0].exits[-1].ppl - 1, share_text)),
            Column("decoding speed", lambda each: number(each[1].speed_gain, lambda gain: share_text(gain, 0))),
            Column("n", lambda each: each[1].seeds),
        ],
    )


def failures(sheet: Sheet) -> Iterator[Block]:
    """Trials without a loss that can be averaged, and techniques that fail together more often than each does."""
    heads: list[Column[Failure]] = [
        Column("configuration", lambda each: each.configuration),
        Column("seed", lambda each: each.seed),
        Column("status", lambda each: each.status),
        Column("reason", lambda each: each.reason or "-"),
        Column("trial", lambda each: each.trial_id, FILES),
    ]
    yield from tabulate("Trials without a result in the averages", sheet.section.failures, heads, cut=True)

    def between(risk: Risk) -> Number:
        return Number(range_text(risk.low, risk.high, "{:.0%}".format), risk.probability)

    pairs: list[Column[FailureComposition]] = [
        Column("techniques", lambda each: " × ".join(each.techniques)),
        Column("first", lambda each: between(each.first)),
        Column("second", lambda each: between(each.second)),
        Column("both", lambda each: between(each.both)),
        Column("beyond chance", lambda each: number(each.excess, "{:+.0%}".format)),
    ]
    title = "Failing together: share of trials stalled or diverged, 90 % interval"
    yield from tabulate(title, sheet.section.failure_compositions, pairs, cut=True)
