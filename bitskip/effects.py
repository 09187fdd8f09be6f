"""Main and composition effects with intervals and verdicts, straight from measured trials (EFFECTS 2.1, 2.2).

An effect is a contrast over cells of one stratum. Seeds fix initial weights and data order in every cell (common random
numbers), so a contrast is formed per seed that all its cells share and the seed's own shift cancels. Its standard error
comes from the pooled residual of the two-way fit value = cell + seed over the whole stratum. No model fills in cells:
what was not run is *not estimable*.

Two estimands, always named:
- anchored: all other techniques at the baseline (the Möbius term);
- averaged: the mean over every setting of the other techniques in which all cells of the contrast were run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bitskip.cells import (
    FACTORS,
    METRICS,
    Cell,
    Level,
    Levels,
    Metric,
    Stratum,
    cell_label,
    inert,
    level_label,
    strata,
    with_level,
)
from bitskip.errors import UserError, nearest

if TYPE_CHECKING:
    from bitskip.results import Results

ESTIMANDS = ("anchored", "averaged")
NOT_ESTIMABLE = "not estimable"
VERDICTS: dict[int, tuple[str, str, str, str]] = {
    1: ("raises", "lowers", "no effect", "unresolved"),
    2: ("super-additive", "sub-additive", "additive", "unresolved"),
}
"""By number of techniques: 95 % interval above zero, below zero, 90 % interval inside the margin (TOST), else."""

Term = tuple[str, Level]


@dataclass(frozen=True)
class Estimate:
    """A contrast's value on the metric's additive scale; `se` and what follows are None without a variance estimate."""

    value: float
    se: float | None
    df: int
    seeds: int

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Two-sided Student interval."""
        if self.se is None:
            return None
        half = student_t_quantile((1 + level) / 2, self.df) * self.se
        return self.value - half, self.value + half


@dataclass(frozen=True)
class Effect:
    """The effect of one technique, or of two together beyond the sum of their single effects.

    `value`, `se`, `low` and `high` (95 %) are in `unit`; `percent` is the same as a change of the metric where its
    additive scale is a logarithm. `seeds` is the smallest number of seeds shared by the cells of a difference and
    `contexts` the number of settings of the other techniques averaged over. `reason` says what is missing.
    """

    techniques: tuple[str, ...]
    estimand: str
    stratum: str
    metric: str
    unit: str
    verdict: str
    value: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    df: int = 0
    seeds: int = 0
    contexts: int = 0
    percent: float | None = None
    reason: str = ""


def composition_effects(
    results: Results,
    metric: str = "ppl",
    *,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
    exit_layer: int | None = None,
    include_artefacts: bool = False,
) -> list[Effect]:
    """Difference in differences of every pair of techniques: I = l(AB) - l(A) - l(B) + l(0), per stratum.

    Above zero is interference (worse together than the sum), below zero masking or synergy. Anchored effects come
    first; averaged ones follow where some setting of the other techniques has all four cells. `margin` is the
    half-width of 'additive' on the metric's additive scale, 2 % for perplexity. Raises UserError for an unknown metric.
    """
    measure = metric_named(metric)
    found = strata(results, exit_layer=exit_layer, include_artefacts=include_artefacts)
    return [effect for stratum in found for effect in stratum_effects(stratum, metric, measure, 2, estimands, margin)]


def main_effects(
    results: Results,
    metric: str = "ppl",
    *,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
    exit_layer: int | None = None,
    include_artefacts: bool = False,
) -> list[Effect]:
    """Difference of every level of every technique to its baseline level, per stratum; see `composition_effects`.

    The averaged estimand uses matched pairs: cells that differ in that one technique and nothing else.
    """
    measure = metric_named(metric)
    found = strata(results, exit_layer=exit_layer, include_artefacts=include_artefacts)
    return [effect for stratum in found for effect in stratum_effects(stratum, metric, measure, 1, estimands, margin)]


def metric_named(name: str) -> Metric:
    """The metric, or UserError with the known ones."""
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise UserError(f"unknown metric '{name}'{nearest(name, METRICS)} (one of {known})")
    return METRICS[name]


def stratum_effects(
    stratum: Stratum,
    metric_name: str,
    metric: Metric,
    order: int,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
) -> list[Effect]:
    """All effects of one order (1 main, 2 composition) in a stratum."""
    values = {cell.levels: cell.values(metric) for cell in stratum.cells}
    variance, df = pooled_variance(list(values.values()))
    effects = []
    for estimand in estimands:
        for terms in _terms(stratum, order):
            labels = tuple(level_label(factor, level) for factor, level in terms)
            described = (labels, estimand, stratum.label, metric_name, metric.unit)
            contexts = _contexts(stratum, terms, estimand)
            contrasts = [_contrast(context, terms) for context in contexts]
            if estimand == "averaged":
                contrasts = [weights for weights in contrasts if _shared_seeds(weights, values)]
                if not contrasts:
                    continue
            elif not contrasts[0]:
                continue  # switching this technique alone changes nothing (the phase without dropout and exits)
            estimate = _estimate(contrasts, values, variance, df)
            if estimate is None:
                reason = _missing(contrasts[0], values, stratum)
                effects.append(Effect(*described, NOT_ESTIMABLE, reason=reason))
                continue
            effects.append(_effect(described, estimate, metric, order, margin, len(contrasts)))
    return effects


def _effect(
    described: tuple[tuple[str, ...], str, str, str, str],
    estimate: Estimate,
    metric: Metric,
    order: int,
    margin: float | None,
    contexts: int,
) -> Effect:
    interval = estimate.interval()
    low, high = interval or (None, None)
    return Effect(
        *described,
        verdict=verdict(estimate, metric.margin if margin is None else margin, VERDICTS[order]),
        value=estimate.value,
        se=estimate.se,
        low=low,
        high=high,
        df=estimate.df,
        seeds=estimate.seeds,
        contexts=contexts,
        percent=100 * math.expm1(estimate.value) if metric.logarithmic else None,
    )


def verdict(estimate: Estimate, margin: float, names: tuple[str, str, str, str]) -> str:
    """One of four (EFFECTS 2.2); without a variance estimate nothing is resolved."""
    above, below, equivalent, unresolved = names
    wide, narrow = estimate.interval(0.95), estimate.interval(0.90)
    if wide is None or narrow is None:
        return unresolved
    if wide[0] > 0:
        return above
    if wide[1] < 0:
        return below
    return equivalent if -margin < narrow[0] and narrow[1] < margin else unresolved


def compare(stratum: Stratum, metric: Metric, cell: Cell, reference: Cell) -> Estimate | None:
    """The paired difference of two cells; None if they share no finished seed."""
    values = {each.levels: each.values(metric) for each in stratum.cells}
    variance, df = pooled_variance(list(values.values()))
    return _estimate([{cell.levels: 1.0, reference.levels: -1.0}], values, variance, df)


@dataclass(frozen=True)
class TwoWayFit:
    """Least squares of value = cell + seed: residual variance (None without degrees of freedom), seed shifts."""

    variance: float | None
    df: int
    seed_shifts: Mapping[int, float]


def two_way_fit(cells: Sequence[Mapping[int, float]]) -> TwoWayFit:
    """Fit cell and seed effects to whatever is there: cells may lack seeds, and seeds may be unshared.

    Only cells with several seeds say anything; shifts sum to zero over seeds that are compared, and a seed that no such
    cell holds has none.
    """
    repeated = [cell for cell in cells if len(cell) > 1]
    seeds = sorted({seed for cell in repeated for seed in cell})
    if not repeated:
        return TwoWayFit(None, 0, {})
    centred_values, centred_seeds = [], []
    for cell in repeated:
        indicator = np.array([[seed == s for s in seeds] for seed in sorted(cell)], dtype=float)
        value = np.array([cell[seed] for seed in sorted(cell)])
        # Centring within the cell removes the cell's own level (Frisch-Waugh).
        centred_values.append(value - value.mean())
        centred_seeds.append(indicator - indicator.mean(axis=0))
    target, design = np.concatenate(centred_values), np.concatenate(centred_seeds)
    # Of all equivalent solutions the shortest one, whose shifts sum to zero.
    shifts, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
    df = len(target) - len(repeated) - int(rank)
    residual = target - design @ shifts
    variance = float(residual @ residual) / df if df > 0 else None
    named = {seed: float(shift) for seed, shift in zip(seeds, shifts, strict=True)}
    return TwoWayFit(variance, max(df, 0), named)


def pooled_variance(cells: Sequence[Mapping[int, float]]) -> tuple[float | None, int]:
    """(residual variance, degrees of freedom) of the two-way fit; (None, 0) if none is left."""
    fitted = two_way_fit(cells)
    return fitted.variance, fitted.df


def _terms(stratum: Stratum, order: int) -> list[tuple[Term, ...]]:
    """Every combination of levels off the baseline of `order` different factors."""
    choices = []
    for index, factor in enumerate(FACTORS):
        present = {cell.levels[index] for cell in stratum.cells} - {stratum.baseline[index]}
        choices.append([(factor, level) for level in sorted(present, key=repr)])
    return [terms for factors in itertools.combinations(choices, order) for terms in itertools.product(*factors)]


def _contexts(stratum: Stratum, terms: Sequence[Term], estimand: str) -> list[Levels]:
    """Settings of all factors with those of the terms at the baseline."""
    if estimand == "anchored":
        return [stratum.baseline]
    settings = set()
    for cell in stratum.cells:
        levels = cell.levels
        for factor, _ in terms:
            levels = with_level(levels, factor, stratum.baseline[list(FACTORS).index(factor)])
        settings.add(levels)
    return sorted(settings, key=repr)


def _contrast(context: Levels, terms: Sequence[Term]) -> dict[Levels, float]:
    """Weights of the Möbius difference around a context; empty if a technique alone changes nothing."""
    weights: dict[Levels, float] = {}
    for size in range(len(terms) + 1):
        for subset in itertools.combinations(terms, size):
            levels = context
            for factor, level in subset:
                levels = with_level(levels, factor, level)
            levels = inert(levels)
            weights[levels] = weights.get(levels, 0.0) + (-1.0) ** (len(terms) - size)
    return {levels: weight for levels, weight in weights.items() if weight}


def _shared_seeds(weights: Mapping[Levels, float], values: Mapping[Levels, Mapping[int, float]]) -> set[int]:
    seeds = [set(values.get(levels, {})) for levels in weights]
    return set.intersection(*seeds) if seeds else set()


def _estimate(
    contrasts: Iterable[Mapping[Levels, float]],
    values: Mapping[Levels, Mapping[int, float]],
    variance: float | None,
    df: int,
) -> Estimate | None:
    """Mean of the contrasts over their shared seeds; its variance is that of the sum of its trials' weights."""
    contrasts = list(contrasts)
    trial_weights: dict[tuple[Levels, int], float] = {}
    fewest = math.inf
    for weights in contrasts:
        seeds = _shared_seeds(weights, values)
        if not seeds:
            return None
        fewest = min(fewest, len(seeds))
        for levels, weight in weights.items():
            for seed in seeds:
                key = (levels, seed)
                share = weight / len(seeds) / len(contrasts)
                trial_weights[key] = trial_weights.get(key, 0.0) + share
    value = math.fsum(w * values[levels][seed] for (levels, seed), w in trial_weights.items())
    squares = math.fsum(weight**2 for weight in trial_weights.values())
    se = None if variance is None else math.sqrt(variance * squares)
    return Estimate(value, se, df, int(fewest))


def _missing(
    weights: Mapping[Levels, float],
    values: Mapping[Levels, Mapping[int, float]],
    stratum: Stratum,
) -> str:
    lacking = []
    for levels in weights:
        if values.get(levels):
            continue
        cell = stratum.cell(levels)
        label = cell_label(levels, stratum.baseline)
        lacking.append(f"{label} ({'not run' if cell is None else 'no trial finished'})")
    return "; ".join(lacking) or "the cells share no seed"


@lru_cache(maxsize=256)
def student_t_quantile(probability: float, df: int) -> float:
    """Quantile (probability > 0.5) of Student's t with whole degrees of freedom, by bisection of the exact CDF."""
    low, high = 0.0, 1.0
    while _student_t_cdf(high, df) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _student_t_cdf(middle, df) < probability else (low, middle)
    return (low + high) / 2


def _student_t_cdf(t: float, df: int) -> float:
    """Abramowitz and Stegun 26.7.3 and 26.7.4: a finite trigonometric sum for whole df."""
    angle = math.atan(t / math.sqrt(df))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = df % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, df + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    if df == 1:
        inside = 2 * angle / math.pi
    elif odd:
        inside = 2 / math.pi * (angle + sine * total)
    else:
        inside = sine * total
    return (1 + inside) / 2
