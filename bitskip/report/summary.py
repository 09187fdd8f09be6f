"""The numbers of a report as plain data, shared by the terminal, HTML and `report --json`.

Scales (strata) are kept apart; failed trials are counted and listed, never averaged; perplexities are means and sample
standard deviations over the finished seeds of a configuration.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from bitskip.analysis.effects import Effect, compare, stratum_effects
from bitskip.analysis.factorial import (
    FACTORS,
    METRICS,
    Cell,
    Family,
    Levels,
    Row,
    Stratum,
    as_plain,
    cell_label,
    level_label,
    levels_of,
    strata,
)
from bitskip.analysis.failure_rates import FailureComposition, failure_compositions
from bitskip.analysis.multiple_testing import JointTest, joint_test
from bitskip.analysis.seed_noise import SeedNoise, seed_noise
from bitskip.errors import UserError
from bitskip.paper.attribution import Attribution, attributions
from bitskip.paper.claims import JudgedClaim, judged_claims
from bitskip.predict.fanova import Share, variance_shares
from bitskip.predict.prediction import ModelSummary
from bitskip.predict.predictor import summary_of
from bitskip.predict.response_surface import Surface, fit_surface
from bitskip.store.provenance import Provenance, provenance
from bitskip.training.exits import WITHIN, best_exit
from bitskip.trial.config import POINTS, make_trial

if TYPE_CHECKING:
    from bitskip.store.tables import Results

TOP_WITH_EXITS = 3


@dataclass(frozen=True)
class Overview:
    """What ran, over all scales; seconds are summed over trials."""

    trials: int
    status: dict[str, int]
    artefacts: int
    sweeps: tuple[str, ...]
    hosts: tuple[str, ...]
    devices: tuple[str, ...]
    train_seconds: float
    eval_seconds: float
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A configuration with its finished seeds; `settings` names its level of every technique that varies.

    `ppl` is the mean over seeds, `ppl_sd` their standard deviation, `loss_sd` that of log-perplexity.
    """

    configuration: str
    point: str | None
    settings: dict[str, str]
    ppl: float
    ppl_sd: float | None
    loss_sd: float | None
    bpb: float | None
    seeds: int
    trials: int
    weight_bytes: int | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class Failure:
    """A trial without a usable loss."""

    configuration: str
    seed: int
    trial_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class PointRatio:
    """A named variant against the baseline: the ratio of perplexities with its 95 % interval, paired by seed."""

    point: str
    reference: str
    ratio: float | None
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class ExitMeasure:
    """Means over the finished seeds of a configuration; `ppl` is the exponential of the mean loss."""

    exit_layer: int
    ppl: float
    speed_gain: float | None
    seeds: int


@dataclass(frozen=True)
class ExitProfile:
    """Every exit of one configuration; `best_exit` is None where a speed was not measured."""

    name: str
    within: float
    best_exit: int | None
    exits: tuple[ExitMeasure, ...]


@dataclass(frozen=True)
class SeedSummary:
    """Standard deviation of a trial over seeds, on the additive scale: with the shift that seeds share, and without."""

    paired_sd: float | None
    unpaired_sd: float | None
    df: float


@dataclass(frozen=True)
class Section:
    """One scale.

    `higher_effects` are those of three techniques, exploratory. `joint_test` is of all pairs at once. `model` is the
    record of the predictor on this scale alone, or None with the reason in `no_model`; `shares` are of its surface.
    """

    scale: str
    baseline: str
    trials: int
    finished: int
    varying: tuple[str, ...]
    leaderboard: tuple[Standing, ...]
    failures: tuple[Failure, ...]
    points: tuple[PointRatio, ...]
    main_effects: tuple[Effect, ...]
    composition_effects: tuple[Effect, ...]
    higher_effects: tuple[Effect, ...]
    joint_test: JointTest | None
    seeds: SeedSummary
    failure_compositions: tuple[FailureComposition, ...]
    model: ModelSummary | None
    no_model: str
    shares: tuple[Share, ...]
    exits: tuple[ExitProfile, ...]


@dataclass(frozen=True)
class Report:
    """Everything a report shows."""

    overview: Overview
    sections: tuple[Section, ...]
    claims: tuple[JudgedClaim, ...]
    causes: tuple[Attribution, ...]
    provenance: Provenance


@dataclass(frozen=True)
class Analysis:
    """A report, and what its figures are drawn from: each section's trials and surface (None with too few of them)."""

    report: Report
    strata: tuple[Stratum, ...]
    surfaces: tuple[Surface | None, ...]


def summarise(results: Results, within: float = WITHIN) -> Report:
    """All numbers of a report; `within` is the loss of perplexity that the best exit may cost."""
    return analyse(results, within).report


def analyse(results: Results, within: float = WITHIN) -> Analysis:
    """`summarise`, with what it has fitted."""
    exits: dict[str, list[Row]] = {}
    for row in results.exits.to_pylist():
        exits.setdefault(row["trial_id"], []).append(row)
    found = tuple(strata(results))
    surfaces = [_surface(stratum) for stratum in found]
    sections = tuple(
        _section(stratum, surface, exits, within) for stratum, surface in zip(found, surfaces, strict=True)
    )
    told = tuple(judged_claims(results)), tuple(attributions(results))
    report = Report(_overview(results), sections, *told, provenance(results.trials.to_pylist()))
    return Analysis(report, found, tuple(each if isinstance(each, Surface) else None for each in surfaces))


def _surface(stratum: Stratum) -> Surface | str:
    """The fit on this scale alone, or why there is none."""
    try:
        return fit_surface(Family((stratum,)), METRICS["ppl"])
    except UserError as error:
        return str(error)


def to_json_object(results: Results, within: float = WITHIN) -> dict[str, Any]:
    """The object of `report --json`: the numbers of `summarise` as plain data."""
    plain: dict[str, Any] = as_plain(summarise(results, within))
    return plain


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


def _section(stratum: Stratum, surface: Surface | str, exits: Mapping[str, Sequence[Row]], within: float) -> Section:
    varying = stratum.varying()
    finished = [cell for cell in stratum.cells if cell.values(METRICS["ppl"])]
    ranked = sorted(finished, key=lambda cell: (_mean_ppl(cell), repr(cell.levels)))
    named = {name: cell for cell in finished if (name := point_of(cell))}
    shown = dict(sorted(named.items(), key=lambda item: (item[0] != "baseline", item[0]))) or {
        cell_label(cell.levels, stratum.baseline): cell for cell in ranked[:TOP_WITH_EXITS]
    }
    profiles = [exit_profile(name, cell, exits, within) for name, cell in shown.items()]
    ppl = METRICS["ppl"]
    values = {cell.levels: cell.values(ppl) for cell in stratum.cells}
    noise = seed_noise(values)
    return Section(
        scale=stratum.label,
        baseline=cell_label(stratum.baseline, levels_of({})),
        trials=stratum.trials,
        finished=stratum.finished,
        varying=tuple(varying),
        leaderboard=tuple(_standing(cell, stratum, varying) for cell in ranked),
        failures=tuple(_failures(stratum)),
        points=tuple(_ratios(stratum, named, noise)),
        main_effects=tuple(stratum_effects(stratum, "ppl", ppl, 1, noise=noise)),
        composition_effects=tuple(stratum_effects(stratum, "ppl", ppl, 2, noise=noise)),
        higher_effects=tuple(stratum_effects(stratum, "ppl", ppl, 3, ("anchored", "averaged"), noise=noise)),
        joint_test=joint_test(values, noise),
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
def _known_points() -> dict[Levels, str]:
    return {levels_of(make_trial(**axes).axes()): name for name, axes in POINTS.items()}


def point_of(cell: Cell) -> str | None:
    """The name a sweep gave the configuration, or that of the paper's variant that it equals."""
    given = next((str(row["point"]) for row in cell.rows if row.get("point")), None)
    return given or _known_points().get(cell.levels)


def _perplexities(cell: Cell) -> list[float]:
    return [math.exp(value) for value in cell.values(METRICS["ppl"]).values()]


def _mean_ppl(cell: Cell) -> float:
    return statistics.fmean(_perplexities(cell))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _standing(cell: Cell, stratum: Stratum, varying: Sequence[str]) -> Standing:
    perplexities = _perplexities(cell)
    ok = [row for row in cell.rows if row["status"] == "ok"]
    names = list(FACTORS)
    return Standing(
        configuration=cell_label(cell.levels, stratum.baseline),
        point=point_of(cell),
        settings={name: level_label(name, cell.levels[names.index(name)]).removeprefix(f"{name} ") for name in varying},
        ppl=statistics.fmean(perplexities),
        ppl_sd=statistics.stdev(perplexities) if len(perplexities) > 1 else None,
        loss_sd=statistics.stdev(map(math.log, perplexities)) if len(perplexities) > 1 else None,
        bpb=_mean(row.get("bpb") for row in ok),
        seeds=len(perplexities),
        trials=len(cell.rows),
        weight_bytes=next((row["weight_bytes"] for row in ok if row.get("weight_bytes")), None),
        tokens_per_second=_mean(row.get("tokens_per_second") for row in ok),
    )


def _failures(stratum: Stratum) -> list[Failure]:
    return [
        Failure(
            cell_label(cell.levels, stratum.baseline),
            row["seed"],
            row["trial_id"],
            row["status"],
            str(row.get("reason") or ""),
        )
        for cell in stratum.cells
        for row in cell.rows
        if row["status"] != "ok"
    ]


def _ratios(stratum: Stratum, named: Mapping[str, Cell], noise: SeedNoise) -> list[PointRatio]:
    reference = named.get("baseline") or stratum.cell(stratum.baseline)
    if not named or reference is None:
        return []
    name = "baseline" if "baseline" in named else cell_label(stratum.baseline, stratum.baseline)
    found = []
    for point, cell in sorted(named.items()):
        if cell is reference:
            continue
        estimate = compare(stratum, METRICS["ppl"], cell, reference, noise)
        if estimate is None:
            found.append(PointRatio(point, name, None, None, None, 0))
            continue
        low, high = estimate.interval() or (None, None)
        found.append(
            PointRatio(
                point,
                name,
                math.exp(estimate.value),
                None if low is None else math.exp(low),
                None if high is None else math.exp(high),
                estimate.seeds,
            )
        )
    return found


def exit_profile(name: str, cell: Cell, exits: Mapping[str, Sequence[Row]], within: float) -> ExitProfile | None:
    """Mean loss and speed gain of every exit over the finished seeds that measured them all; None without any."""
    profiles = [exits.get(row["trial_id"], ()) for row in cell.rows if row["status"] == "ok"]
    depth = max((row["exit_layer"] for rows in profiles for row in rows), default=0)
    complete = [
        by_layer
        for rows in profiles
        if len(by_layer := {row["exit_layer"]: row for row in rows if row["loss"] is not None}) == depth
    ]
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
