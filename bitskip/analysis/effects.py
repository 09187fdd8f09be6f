"""Main and composition effects with intervals and verdicts, straight from measured trials (docs/effects.md).

An effect is a contrast over cells of one stratum. Seeds fix initial weights and data order in every cell (common random
numbers), so a contrast is formed per seed that all its cells share and the seed's own shift cancels. Its standard error
comes from the residual of the two-way fit value = cell + seed over the whole stratum. No model fills in cells: what was
not run is *not estimable*.

Three estimands, always named:
- anchored: all other techniques at the baseline (the Möbius term);
- averaged: the mean over every setting of the other techniques in which all cells of the contrast were run;
- nested: anchored at another level of one technique, where the baseline's was never run together with the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitskip.analysis.factorial import Cell, Stratum, strata
from bitskip.analysis.levels import INDEX, TECHNIQUES, Level, Levels, cell_label, inert, level_label, with_level
from bitskip.analysis.metrics import Metric, metric_named
from bitskip.analysis.multiple_testing import benjamini_hochberg, headlines, holm, joint_test
from bitskip.analysis.seed_noise import SeedNoise, known_noise, seed_noise

if TYPE_CHECKING:
    from bitskip.store.tables import Results

ESTIMANDS = ("anchored", "averaged", "nested")
NOT_ESTIMABLE = "not estimable"
UNRESOLVED = "unresolved"
SINGLE_VERDICTS = ("raises", "lowers", "no effect", UNRESOLVED)
JOINT_VERDICTS = ("super-additive", "sub-additive", "additive", UNRESOLVED)
"""95 % interval above zero, below zero, 90 % interval inside the margin (two one-sided tests), else."""

CONFIDENCE = 0.95
ERROR_RATE = 0.05
POWER = 0.8
MOST_SEEDS = 1000
"""Where a verdict needs more, it is out of reach."""

Term = tuple[str, Level]
Values = Mapping[Levels, Mapping[int, float]]


@dataclass(frozen=True)
class Estimate:
    """A contrast's value on the metric's additive scale; `se` is None without a variance estimate."""

    value: float
    se: float | None
    df: float
    seeds: int

    def interval(self, level: float = CONFIDENCE) -> tuple[float, float] | None:
        """Two-sided Student interval."""
        if self.se is None:
            return None
        half = student_t_quantile((1 + level) / 2, self.df) * self.se
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float | None:
        """Two-sided Student test of no effect; 0 or 1 where there is no noise."""
        if self.se is None:
            return None
        if self.se == 0:
            return float(self.value == 0)
        return 2 * student_t_tail(abs(self.value) / self.se, self.df)

    @property
    def detectable(self) -> float | None:
        """The effect that a two-sided 5 % test finds with 80 % power: (t_0.975 + t_0.8) standard errors."""
        if self.se is None:
            return None
        return (student_t_quantile((1 + CONFIDENCE) / 2, self.df) + student_t_quantile(POWER, self.df)) * self.se


@dataclass(frozen=True)
class Effect:
    """The effect of one technique, or of several together beyond that of all their smaller combinations.

    `value`, `se`, `low`, `high` (95 %, for this comparison alone) and `detectable` (found with 80 % power) are in
    `unit`; `percent` is the value as a change of the metric where its additive scale is a logarithm. `seeds` is the
    smallest number of seeds shared by the cells of a difference, `contexts` the number of settings of the other
    techniques averaged over. `p_adjusted` accounts for all comparisons of the `family`. `more_seeds` is how many more
    would settle the verdict if the estimate stays; None if it is settled or out of reach. `crossover`: one technique's
    effect changes sign with the other, which no change of scale removes. `reference` names the level that takes the
    baseline's place in a nested effect. `reason` says what is missing.
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
    df: float = 0
    seeds: int = 0
    contexts: int = 0
    percent: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    family: str = ""
    detectable: float | None = None
    more_seeds: int | None = None
    crossover: bool = False
    reference: str = ""
    reason: str = ""


def composition_effects(
    results: Results,
    metric: str = "ppl",
    *,
    order: int = 2,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
    exit_layer: int | None = None,
    include_artefacts: bool = False,
    variance: str = "moderated",
    seed_sd: float | None = None,
) -> list[Effect]:
    """Interactions of `order` techniques, per stratum; of two: I = l(AB) - l(A) - l(B) + l(0).

    Above zero is interference (worse together than the sum), below zero masking or synergy. Anchored effects come
    first; averaged ones follow where some setting of the other techniques has all cells; nested ones where the anchored
    is not estimable. `margin` is the half-width of 'additive' on the metric's additive scale, 2 % for perplexity.
    `variance` of the seeds is `moderated` by bit width and rotation, or `pooled`; `seed_sd` replaces it where nothing
    was repeated. Raises UserError for an unknown metric.
    """
    measure = metric_named(metric)
    return [
        effect
        for stratum in strata(results, exit_layer=exit_layer, include_artefacts=include_artefacts)
        for effect in stratum_effects(stratum, metric, measure, order, estimands, margin, variance, seed_sd)
    ]


def main_effects(results: Results, metric: str = "ppl", **options: object) -> list[Effect]:
    """Difference of every level of every technique to its baseline level, per stratum.

    Options are those of `composition_effects`. The averaged estimand uses matched pairs: cells that differ in that one
    technique and nothing else.
    """
    return composition_effects(results, metric, order=1, **options)  # type: ignore[arg-type]


def stratum_effects(
    stratum: Stratum,
    metric_name: str,
    metric: Metric,
    order: int,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
    variance: str = "moderated",
    seed_sd: float | None = None,
    noise: SeedNoise | None = None,
) -> list[Effect]:
    """All effects of one order (1 main, 2 and more composition) in a stratum, corrected for their number.

    `noise` is known from other calls.
    """
    values = {cell.levels: cell.values(metric) for cell in stratum.cells}
    noise = noise or seed_noise(values, variance)
    if noise.variance is None and seed_sd is not None:
        noise = known_noise(seed_sd)
    contrasts = [
        contrast
        for estimand in estimands
        for terms in _terms(stratum, order)
        if (contrast := _measure(stratum, terms, estimand, values, noise)) is not None
    ]
    width = metric.margin if margin is None else margin
    adjusted = _adjusted(contrasts, values, noise, order)
    return [
        _effect(contrast, stratum, metric_name, metric, width, correction)
        for contrast, correction in zip(contrasts, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class _Contrast:
    """A contrast as measured; `estimate` is None for the reason given."""

    terms: tuple[Term, ...]
    estimand: str
    estimate: Estimate | None
    reason: str = ""
    contexts: int = 1
    reference: str = ""
    crossover: bool = False


def _measure(
    stratum: Stratum, terms: tuple[Term, ...], estimand: str, values: Values, noise: SeedNoise
) -> _Contrast | None:
    """None where there is nothing to say: no setting to average over, or nothing that differs."""
    if estimand == "nested":
        return _nested(stratum, terms, values, noise)
    contrasts = [_weights(context, terms) for context in _contexts(stratum, terms, estimand)]
    if estimand == "averaged":
        contrasts = [weights for weights in contrasts if weights and _shared_seeds(weights, values)]
        if not contrasts:
            return None
    elif not contrasts[0]:
        return None  # switching this technique alone changes nothing (the phase without dropout and exits)
    estimate = _estimate(contrasts, values, noise)
    if estimate is None:
        return _Contrast(terms, estimand, None, _missing(contrasts[0], values, stratum))
    crossover = estimand == "anchored" and len(terms) == 2 and _crosses_over(stratum.baseline, terms, values, noise)
    return _Contrast(terms, estimand, estimate, contexts=len(contrasts), crossover=crossover)


def _nested(stratum: Stratum, terms: tuple[Term, ...], values: Values, noise: SeedNoise) -> _Contrast | None:
    """The contrast at the first other level of one technique that makes it estimable; None where none is needed."""
    anchored = _weights(stratum.baseline, terms)
    if not anchored or _shared_seeds(anchored, values):
        return None
    for factor in TECHNIQUES:
        index = INDEX[factor]
        taken = {level for name, level in terms if name == factor} | {stratum.baseline[index]}
        others = sorted({cell.levels[index] for cell in stratum.cells} - taken, key=repr, reverse=True)
        for level in others:
            weights = _weights(with_level(stratum.baseline, factor, level), terms)
            estimate = _estimate([weights], values, noise) if weights else None
            if estimate is not None:
                return _Contrast(terms, "nested", estimate, reference=level_label(factor, level))
    return None


def _crosses_over(start: Levels, terms: Sequence[Term], values: Values, noise: SeedNoise) -> bool:
    """Whether one technique's effect changes sign with the other, both signs beyond their 95 % intervals."""
    for (factor, level), other in (terms, terms[::-1]):
        without = _estimate([_weights(start, [other])], values, noise)
        along = _estimate([_weights(with_level(start, factor, level), [other])], values, noise)
        intervals = [estimate.interval() for estimate in (without, along) if estimate is not None]
        known = [interval for interval in intervals if interval is not None]
        if len(known) == 2 and (known[0][0] > 0 > known[1][1] or known[1][0] > 0 > known[0][1]):
            return True
    return False


@dataclass(frozen=True)
class _Correction:
    """A comparison's family and its p-value corrected for the family's size."""

    family: str
    p_adjusted: float | None


def _adjusted(contrasts: Sequence[_Contrast], values: Values, noise: SeedNoise, order: int) -> list[_Correction]:
    """Correct each estimand's comparisons for their number.

    The few headline pairs, declared by what they are, are a family of their own (Holm). All other pairs are controlled
    after Benjamini and Hochberg, behind a joint test of all interactions. Higher orders are exploratory.
    """
    declared = headlines([contrast.terms for contrast in contrasts]) if order == 2 else set()
    gate = joint_test(values, noise) if order == 2 else None
    families = {1: "singles", 2: "pairs"}
    corrected: dict[int, _Correction] = {}
    groups: dict[tuple[str, str], list[int]] = {}
    for index, contrast in enumerate(contrasts):
        family = "headline" if contrast.terms in declared else families.get(order, "exploratory")
        groups.setdefault((contrast.estimand, family), []).append(index)
    for (_, family), members in groups.items():
        estimates = [contrasts[index].estimate for index in members]
        raw = [None if estimate is None else estimate.p_value for estimate in estimates]
        known = [p for p in raw if p is not None]
        found = iter((holm if family == "headline" else benjamini_hochberg)(known))
        for index, p in zip(members, raw, strict=True):
            adjusted = None if p is None else next(found)
            if adjusted is not None and family == "pairs" and gate is not None:
                adjusted = max(adjusted, gate.p_value)
            corrected[index] = _Correction(family, adjusted)
    return [corrected[index] for index in range(len(contrasts))]


def _effect(
    contrast: _Contrast, stratum: Stratum, metric_name: str, metric: Metric, margin: float, correction: _Correction
) -> Effect:
    labels = tuple(level_label(factor, level) for factor, level in contrast.terms)
    estimate = contrast.estimate
    if estimate is None:
        return Effect(
            labels, contrast.estimand, stratum.label, metric_name, metric.unit, NOT_ESTIMABLE, reason=contrast.reason
        )
    low, high = estimate.interval() or (None, None)
    names = SINGLE_VERDICTS if len(labels) == 1 else JOINT_VERDICTS
    reached = verdict(estimate, margin, names, correction.p_adjusted)
    return Effect(
        labels,
        contrast.estimand,
        stratum.label,
        metric_name,
        metric.unit,
        reached,
        value=estimate.value,
        se=estimate.se,
        low=low,
        high=high,
        df=estimate.df,
        seeds=estimate.seeds,
        contexts=contrast.contexts,
        percent=100 * math.expm1(estimate.value) if metric.logarithmic else None,
        p_value=estimate.p_value,
        p_adjusted=correction.p_adjusted,
        family=correction.family,
        detectable=estimate.detectable,
        more_seeds=more_seeds(estimate, margin, correction.p_adjusted) if reached == UNRESOLVED else None,
        crossover=contrast.crossover,
        reference=contrast.reference,
    )


def verdict(
    estimate: Estimate, margin: float, names: tuple[str, str, str, str], p_adjusted: float | None = None
) -> str:
    """One of four; without a variance estimate nothing is resolved. `p_adjusted` replaces the single comparison's p."""
    above, below, equivalent, unresolved = names
    p_value = estimate.p_value if p_adjusted is None else p_adjusted
    narrow = estimate.interval(0.90)
    if p_value is None or narrow is None:
        return unresolved
    if p_value < ERROR_RATE:
        return above if estimate.value > 0 else below
    return equivalent if -margin < narrow[0] and narrow[1] < margin else unresolved


def more_seeds(estimate: Estimate, margin: float, p_adjusted: float | None = None) -> int | None:
    """Further seeds after which the verdict would be settled, should the estimate stay; None beyond reach.

    The standard error falls with the root of the seeds, quantiles with their degrees of freedom. The correction for
    many comparisons is taken to stay what it is, the ratio of corrected to plain p-value.
    """
    if estimate.se is None or estimate.p_value is None:
        return None
    correction = max(1.0, (p_adjusted or 0.0) / estimate.p_value) if estimate.p_value > 0 else 1.0
    probability = 1 - ERROR_RATE / correction / 2
    size = abs(estimate.value)
    for seeds in range(estimate.seeds + 1, MOST_SEEDS + 1):
        growth = seeds / estimate.seeds
        se, df = estimate.se / math.sqrt(growth), estimate.df * growth
        resolved = size > student_t_quantile(probability, df) * se
        if resolved or size + student_t_quantile(CONFIDENCE, df) * se < margin:
            return seeds - estimate.seeds
    return None


def headline_cells(stratum: Stratum) -> list[Levels]:
    """The cells that the anchored headline pairs compare, whether they were run or not."""
    terms = _terms(stratum, 2)
    declared = headlines(terms)
    return list(dict.fromkeys(cell for pair in terms if pair in declared for cell in _weights(stratum.baseline, pair)))


def effect_cells(stratum: Stratum, effect: Effect) -> list[Levels]:
    """The cells that the anchored form of an effect compares."""
    for terms in _terms(stratum, len(effect.techniques)):
        if tuple(level_label(factor, level) for factor, level in terms) == effect.techniques:
            return list(_weights(stratum.baseline, terms))
    return []


def compare(
    stratum: Stratum, metric: Metric, cell: Cell, reference: Cell, noise: SeedNoise | None = None
) -> Estimate | None:
    """The paired difference of two cells; None if they share no finished seed. `noise` is known from other calls."""
    values = {each.levels: each.values(metric) for each in stratum.cells}
    return _estimate([{cell.levels: 1.0, reference.levels: -1.0}], values, noise or seed_noise(values))


def _terms(stratum: Stratum, order: int) -> list[tuple[Term, ...]]:
    """Every combination of levels off the baseline of `order` different techniques."""
    choices = []
    for factor in TECHNIQUES:
        index = INDEX[factor]
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
            levels = with_level(levels, factor, stratum.baseline[INDEX[factor]])
        settings.add(levels)
    return sorted(settings, key=repr)


def _weights(context: Levels, terms: Sequence[Term]) -> dict[Levels, float]:
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


def _shared_seeds(weights: Mapping[Levels, float], values: Values) -> set[int]:
    seeds = [set(values.get(levels, {})) for levels in weights]
    return set.intersection(*seeds) if seeds else set()


def _estimate(contrasts: Iterable[Mapping[Levels, float]], values: Values, noise: SeedNoise) -> Estimate | None:
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
    if noise.variance is None:
        return Estimate(value, None, 0, int(fewest))
    by_seed: dict[int, dict[Levels, float]] = {}
    for (levels, seed), weight in trial_weights.items():
        by_seed.setdefault(seed, {})[levels] = weight
    variance, df = noise.of_contrast(by_seed)
    return Estimate(value, math.sqrt(variance), df, int(fewest))


def _missing(weights: Mapping[Levels, float], values: Values, stratum: Stratum) -> str:
    lacking = []
    for levels in weights:
        if values.get(levels):
            continue
        cell = stratum.cell(levels)
        label = cell_label(levels, stratum.baseline)
        lacking.append(f"{label} ({'not run' if cell is None else 'no trial finished'})")
    return "; ".join(lacking) or "the cells share no seed"


def student_t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t; of the standard normal with infinite degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if math.isinf(df) else stdtrit(df, probability))


def student_t_tail(t: float, df: float) -> float:
    """Probability of exceeding t."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-t) if math.isinf(df) else stdtr(df, -t))
