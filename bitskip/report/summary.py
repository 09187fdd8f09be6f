"""From the trials of a results folder to the numbers of its report (`numbers`): each is computed once, here.

Scales (strata) are kept apart; failed trials are counted and listed, never averaged; perplexities are means and sample
standard deviations over the finished seeds of a configuration.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bitskip.analysis.effects import compare, stratum_effects
from bitskip.analysis.factorial import SEQUENCES, Cell, Family, Stratum, strata
from bitskip.analysis.failure_rates import failure_compositions
from bitskip.analysis.levels import FACTORS, INDEX, Levels, cell_label, level_label, levels_of
from bitskip.analysis.metrics import METRICS, Metric, Row, metric_named
from bitskip.analysis.regime import UNDERTRAINED, Regime, regimes
from bitskip.analysis.seed_noise import seed_noise
from bitskip.errors import UserError
from bitskip.paper.attribution import attributions
from bitskip.paper.claims import judged_claims
from bitskip.predict.fanova import variance_shares
from bitskip.predict.predictor import summary_of
from bitskip.predict.response_surface import Surface, fit_surface
from bitskip.report.controls import alone_exits, equal_costs
from bitskip.report.early_decoding import early_decoding
from bitskip.report.numbers import (
    CountingLines,
    ExitMeasure,
    ExitProfile,
    Failure,
    Overview,
    PointRatio,
    Report,
    Section,
    SeedSummary,
    Standing,
)
from bitskip.report.speeds import measured_speeds
from bitskip.scaling.along import scalings
from bitskip.scaling.along import summary as ladder_summary
from bitskip.scaling.contrast_laws import Scaling
from bitskip.scaling.ladder import by_text
from bitskip.store.provenance import provenance
from bitskip.store.schema import Status
from bitskip.training.exits import WITHIN, best_exit
from bitskip.trial.config import POINTS, make_trial

if TYPE_CHECKING:
    import pyarrow as pa

    from bitskip.store.tables import Results

TOP_WITH_EXITS = 3

EVERYTHING_OFF = "no technique"


@dataclass(frozen=True)
class Sheet:
    """One scale: its numbers, its trials and fit, and the rows of their exits, curves, layers and speeds by trial."""

    section: Section
    stratum: Stratum
    surface: Surface | None
    exits: Mapping[str, Sequence[Row]]
    curves: Mapping[str, Sequence[Row]]
    layers: Mapping[str, Sequence[Row]]
    speeds: Mapping[str, Sequence[Row]]

    def name(self, cell: Cell) -> str:
        """A named variant's, else what it changes: the paper's baseline has dropout and exit loss, the anchor none."""
        label = cell_label(cell.levels, self.stratum.baseline)
        return point_of(cell) or (label if label != "baseline" else EVERYTHING_OFF)

    def named_cells(self) -> Iterator[tuple[str, Cell]]:
        """The configurations whose exits the report shows."""
        cells = {self.name(cell): cell for cell in self.stratum.cells}
        return ((each.name, cells[each.name]) for each in self.section.exits if each.name in cells)


@dataclass(frozen=True)
class Analysis:
    """A report, and what its tables and figures are made from: a sheet per section, and the results themselves.

    `everything` are the strata with the trials that carry an artefact, `scalings` what `Report.ladders` sums up.
    """

    report: Report
    sheets: tuple[Sheet, ...]
    everything: tuple[Stratum, ...]
    scalings: tuple[Scaling, ...]
    results: Results
    source: Path

    @cached_property
    def letters(self) -> dict[str, str]:
        """A short name for every scale: A, B, …; two letters after Z."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        scales = [each.section.scale for each in self.sheets] + [each.scale for each in self.report.causes]
        names = enumerate(dict.fromkeys(scales))
        return {name: (alphabet[at // 26 - 1] if at >= 26 else "") + alphabet[at % 26] for at, name in names}


def summarise(results: Results, within: float = WITHIN, metric: str | None = None) -> Report:
    """All numbers of a report.

    `within` is the loss of perplexity that the best exit may cost; effects are those on `metric`, without it on
    what each scale is judged by: perplexity, or what another trainer measured there. Raises UserError if
    there is no such metric.
    """
    return analyse(results, within, metric).report


def analyse(
    results: Results, within: float = WITHIN, metric: str | None = None, source: Path = Path("results")
) -> Analysis:
    """`summarise`, with what it has fitted; `source` is the folder that the results are from."""
    if metric is not None:
        metric_named(metric)
    tables = (results.exits, results.curves, results.layers, results.speeds)
    exits, curves, layers, speeds = map(_by_trial, tables)
    sheets = []
    found, everything = strata(results), tuple(strata(results, include_artefacts=True))
    for stratum, regime in zip(found, regimes(found), strict=True):
        surface = _surface(stratum)
        section = dataclasses.replace(
            _section(stratum, regime, surface, exits, within, metric or stratum.metric),
            alone=tuple(alone_exits(stratum, found, exits)),
            equal_costs=tuple(equal_costs(stratum, found)),
            speeds=tuple(measured_speeds(stratum, speeds)),
            early_decoding=tuple(early_decoding(stratum, exits)),
        )
        fitted = surface if isinstance(surface, Surface) else None
        sheets.append(Sheet(section, stratum, fitted, exits, curves, layers, speeds))
    sheets = _foremost_first(sheets)
    followed = tuple(scalings(found, metric))
    report = Report(
        _overview(results),
        tuple(sheet.section for sheet in sheets),
        tuple(ladder_summary(each) for each in followed),
        tuple(judged_claims(found, exits, layers)),
        tuple(attributions(everything)),
        provenance(results.trials.to_pylist()),
    )
    return Analysis(report, tuple(sheets), everything, followed, results, source)


def _foremost_first(sheets: Sequence[Sheet]) -> list[Sheet]:
    """On a ladder the largest model that is trained long enough, not the scale with most trials.

    It has repeats, and more than half of the configurations of the fullest rung: a rung may have just begun.
    """
    ladders = by_text(sheet.stratum for sheet in sheets)
    labels = {stratum.label for stratum in ladders[0]} if ladders else set()
    rungs = [sheet.section for sheet in sheets if sheet.section.scale in labels]
    fullest = max((len(section.leaderboard) for section in rungs), default=0)
    ready = [
        section
        for section in rungs
        if UNDERTRAINED not in section.regime.mark
        and section.seeds.paired_sd is not None
        and 2 * len(section.leaderboard) > fullest
    ]
    if not ready or len({section.regime.parameters for section in rungs}) == 1:
        return list(sheets)
    foremost = max(ready, key=lambda section: (section.regime.parameters, section.regime.tokens))
    return sorted(sheets, key=lambda sheet: sheet.section is not foremost)


def _by_trial(table: pa.Table) -> dict[str, list[Row]]:
    """Rows by trial, without the losses of every sequence."""
    grouped: dict[str, list[Row]] = {}
    for row in table.select([name for name in table.schema.names if name != SEQUENCES]).to_pylist():
        grouped.setdefault(row["trial_id"], []).append(row)
    return grouped


def _surface(stratum: Stratum) -> Surface | str:
    """The fit on this scale alone, or why there is none."""
    try:
        return fit_surface(Family((stratum,)), METRICS[stratum.metric])
    except UserError as error:
        return str(error)


def _overview(results: Results) -> Overview:
    rows = results.trials.to_pylist()

    def distinct(name: str) -> tuple[str, ...]:
        return tuple(sorted({str(row[name]) for row in rows if row.get(name)}))

    return Overview(
        trials=len(rows),
        status=dict(Counter(row["status"] for row in rows).most_common()),
        artefacts=sum(bool(row.get("artefact")) for row in rows),
        sweeps=distinct("sweep"),
        hosts=distinct("host"),
        devices=distinct("device"),
        train_seconds=math.fsum(row.get("train_seconds") or 0.0 for row in rows),
        eval_seconds=math.fsum(row.get("eval_seconds") or 0.0 for row in rows),
        problems=tuple(results.problems),
    )


def _baseline_label(stratum: Stratum, regime: Regime) -> str:
    """What the baseline changes against the defaults; of results from elsewhere, which have none, its levels."""
    if not regime.elsewhere:
        return cell_label(stratum.baseline, levels_of({}))
    return " + ".join(level_label(factor, stratum.baseline[INDEX[factor]]) for factor in stratum.varying())


def _section(
    stratum: Stratum,
    regime: Regime,
    surface: Surface | str,
    exits: Mapping[str, Sequence[Row]],
    within: float,
    name: str,
) -> Section:
    metric, ranked = METRICS[name], METRICS[stratum.metric]
    varying = stratum.varying()
    finished = [(_standing(cell, stratum, varying), cell) for cell in stratum.cells if cell.values(ranked)]
    board = sorted(finished, key=lambda each: (-ranked.better * each[0].value, repr(each[1].levels)))
    named = {standing.point: cell for standing, cell in finished if standing.point}
    shown = dict(sorted(named.items(), key=lambda item: (item[0] != "baseline", item[0]))) or {
        standing.configuration: cell for standing, cell in board[:TOP_WITH_EXITS]
    }
    profiles = [exit_profile(label, cell, exits, within) for label, cell in shown.items()]
    values = {cell.levels: cell.values(metric) for cell in stratum.cells}
    noise = seed_noise(values)
    return Section(
        scale=stratum.label,
        regime=regime,
        metric=name,
        ranked=stratum.metric,
        baseline=_baseline_label(stratum, regime),
        trials=stratum.trials,
        finished=stratum.finished,
        varying=tuple(varying),
        counting=_counting(stratum),
        leaderboard=tuple(standing for standing, _ in board),
        failures=tuple(_failures(stratum)),
        points=tuple(_ratios(stratum, named, metric)),
        main_effects=tuple(stratum_effects(stratum, name, metric, 1)),
        composition_effects=tuple(stratum_effects(stratum, name, metric, 2)),
        higher_effects=tuple(stratum_effects(stratum, name, metric, 3, ("anchored", "averaged"))),
        seeds=SeedSummary(_root(noise.variance), _root(noise.unpaired), noise.df),
        failure_compositions=tuple(failure_compositions(stratum)),
        model=summary_of(surface, Family((stratum,))) if isinstance(surface, Surface) else None,
        no_model="" if isinstance(surface, Surface) else surface,
        shares=tuple(variance_shares(surface)) if isinstance(surface, Surface) else (),
        exits=tuple(profile for profile in profiles if profile is not None),
    )


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


@cache
def _known_points(_factors: tuple[str, ...]) -> dict[Levels, str]:
    """By their levels, which are of other factors once some have been declared."""
    return {levels_of(make_trial(**axes).axes()): name for name, axes in POINTS.items()}


def point_of(cell: Cell) -> str | None:
    """The name a sweep gave the configuration, or that of the paper's variant that it equals."""
    given = next((str(row["point"]) for row in cell.rows if row.get("point")), None)
    return given or _known_points(tuple(FACTORS)).get(cell.levels)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _standing(cell: Cell, stratum: Stratum, varying: Sequence[str]) -> Standing:
    metric = METRICS[stratum.metric]
    additive = list(cell.values(metric).values())
    shown = list(map(metric.show, additive))
    mean, sd = statistics.fmean(shown), statistics.stdev(shown) if len(shown) > 1 else None
    ppl = not metric.foreign
    others = {name: (each, cell.values(each)) for name, each in METRICS.items() if name != stratum.metric}
    means = {name: each.show(statistics.fmean(found.values())) for name, (each, found) in others.items() if found}
    ok = [row for row in cell.rows if row["status"] == Status.OK]
    return Standing(
        configuration=cell_label(cell.levels, stratum.baseline),
        point=point_of(cell),
        settings={name: level_label(name, cell.levels[INDEX[name]]).removeprefix(f"{name} ") for name in varying},
        value=mean,
        value_sd=sd,
        ppl=mean if ppl else None,
        ppl_sd=sd if ppl else None,
        loss_sd=statistics.stdev(additive) if ppl and len(additive) > 1 else None,
        bpb=means.get("bpb"),
        metrics=means,
        seeds=len(shown),
        trials=len(cell.rows),
        weight_bytes=next((row["weight_bytes"] for row in ok if row.get("weight_bytes")), None),
        tokens_per_second=_mean(row.get("tokens_per_second") for row in ok),
        above_bigram=cell.above("bigram_loss"),
        above_fivegram=cell.above("fivegram_loss"),
    )


def _counting(stratum: Stratum) -> CountingLines | None:
    rows = [row for cell in stratum.cells for row in cell.rows]
    lines = [_mean(row.get(name) for row in rows) for name in ("bigram_loss", "fivegram_loss", "ngram_tokens")]
    if None in lines:
        return None
    bigram, fivegram, tokens = map(float, filter(None, lines))
    leaks = [row["leaked_share"] for row in rows if row.get("leaked_share") is not None]
    return CountingLines(math.exp(bigram), math.exp(fivegram), round(tokens), max(leaks, default=None))


def _failures(stratum: Stratum) -> Iterator[Failure]:
    for cell in stratum.cells:
        label = cell_label(cell.levels, stratum.baseline)
        for row in cell.rows:
            if row["status"] != Status.OK:
                yield Failure(label, row["seed"], row["trial_id"], row["status"], str(row.get("reason") or ""))


def _ratios(stratum: Stratum, named: Mapping[str, Cell], metric: Metric) -> Iterator[PointRatio]:
    reference = named.get("baseline") or stratum.cell(stratum.baseline)
    if not named or reference is None:
        return
    name = "baseline" if "baseline" in named else cell_label(stratum.baseline, stratum.baseline)
    for point, cell in sorted(named.items()):
        if cell is reference:
            continue
        estimate = compare(metric, cell, reference)
        ends = (estimate.interval() if estimate else None) or (None, None)
        value, low, high = (None if v is None else metric.compared(v) for v in (estimate and estimate.value, *ends))
        below = cell.below_counting or reference.below_counting
        yield PointRatio(point, name, value, low, high, estimate.seeds if estimate else 0, below)


def exit_profile(name: str, cell: Cell, exits: Mapping[str, Sequence[Row]], within: float) -> ExitProfile | None:
    """Mean loss and speed gain of every exit over the finished seeds that measured them all; None without any."""
    profiles = [exits.get(row["trial_id"], ()) for row in cell.rows if row["status"] == Status.OK]
    depth = max((row["exit_layer"] for rows in profiles for row in rows), default=0)
    measured = [{row["exit_layer"]: row for row in rows if row["loss"] is not None} for rows in profiles]
    complete = [by_layer for by_layer in measured if len(by_layer) == depth]
    if not depth or not complete:
        return None
    losses = [statistics.fmean(trial[e]["loss"] for trial in complete) for e in range(1, depth + 1)]
    gains = [_mean(trial[e].get("speed_gain") for trial in complete) for e in range(1, depth + 1)]
    known = [gain for gain in gains if gain is not None]
    return ExitProfile(
        name,
        within,
        best_exit(losses, known, within) if len(known) == depth else None,
        tuple(
            ExitMeasure(layer, math.exp(loss), gain, len(complete))
            for layer, (loss, gain) in enumerate(zip(losses, gains, strict=True), start=1)
        ),
    )
