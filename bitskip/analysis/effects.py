"""Main and composition effects with intervals and verdicts, straight from measured trials (docs/effects.md).

An effect is a contrast over cells of one stratum. What was not run is *not estimable*. Estimands are always named:

- anchored: all other techniques at the baseline (the Möbius term);
- averaged: the mean over every setting of the other techniques in which all cells of the contrast were run;
- nested: anchored at another level of one technique, where the baseline's was never run together with the others;
- modelled: none of these can be had, but least squares of single effects and pairs determine the anchored one;
  `reference` says whether of all pairs, or of this one with the others taken as chance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bitskip.analysis.contrasts import (
    Sequences,
    Treatment,
    Values,
    Weights,
    estimate,
    moebius,
    shared_seeds,
    treated,
    treatment_combinations,
)
from bitskip.analysis.effect import Effect as Effect
from bitskip.analysis.effect import Effects as Effects
from bitskip.analysis.factorial import TUNED, Cell, Stratum, strata
from bitskip.analysis.levels import INDEX, TECHNIQUES, Levels, cell_label, level_label, with_level
from bitskip.analysis.looks import added_seeds, price
from bitskip.analysis.metrics import METRICS, Metric, metric_named
from bitskip.analysis.missing import shifts
from bitskip.analysis.multiple_testing import benjamini_hochberg, headlines, holm
from bitskip.analysis.pair_model import PairModel
from bitskip.analysis.seed_noise import SeedNoise, known_noise, seed_noise
from bitskip.analysis.student_t import Estimate
from bitskip.analysis.verdicts import BELOW_COUNTING, more_seeds, verdict
from bitskip.techniques.base import plain

if TYPE_CHECKING:
    from bitskip.store.tables import Results

ESTIMANDS = ("anchored", "averaged", "nested", "modelled")
PRIMARY = ("averaged", "anchored", "nested", "modelled")
"""The first that is known of a combination decides whether it has a verdict at all: the others say where it lies."""

VARIANCES = ("own", "pooled")
NOT_ESTIMABLE = "not estimable"
UNRESOLVED = "unresolved"
SINGLE_VERDICTS = ("raises", "lowers", "no effect", UNRESOLVED)
JOINT_VERDICTS = ("super-additive", "sub-additive", "additive", UNRESOLVED)
"""95 % interval above zero, below zero, 90 % interval inside the margin (two one-sided tests), else."""


def composition_effects(
    results: Results,
    metric: str | None = None,
    *,
    order: int = 2,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
    exit_layer: int | None = None,
    include_artefacts: bool = False,
    variance: str = "own",
    seed_sd: float | None = None,
) -> Effects:
    """Interactions of `order` techniques, per stratum; of two: I = l(AB) - l(A) - l(B) + l(0).

    Of a loss, above zero is interference (worse together than the sum), below zero masking or synergy. Anchored effects
    come first; averaged ones follow where some setting of the other techniques has all cells; nested ones where the
    anchored is not estimable. Without `metric` each stratum has its own: perplexity, or what another trainer measured.
    `margin` is the half-width of 'additive' on the metric's additive scale, 2 % for perplexity.
    `variance` is that of the contrast's `own` values by seed, or the residual one of the whole stratum, `pooled`, which
    supposes independent and equally noisy trials; `seed_sd` replaces it where nothing was repeated. Raises UserError
    for an unknown metric.
    """
    if metric is not None:
        metric_named(metric)
    return Effects(
        effect
        for stratum in strata(results, exit_layer=exit_layer, include_artefacts=include_artefacts)
        for name in [metric or stratum.metric]
        for effect in stratum_effects(stratum, name, METRICS[name], order, estimands, margin, variance, seed_sd)
    )


def main_effects(results: Results, metric: str | None = None, **options: Any) -> Effects:
    """Difference of every level of every technique to its baseline level, per stratum.

    Options are those of `composition_effects`. The averaged estimand uses matched pairs: cells that differ in that one
    technique and nothing else.
    """
    return composition_effects(results, metric, order=1, **options)


def stratum_effects(
    stratum: Stratum,
    metric_name: str,
    metric: Metric,
    order: int,
    estimands: Sequence[str] = ESTIMANDS,
    margin: float | None = None,
    variance: str = "own",
    seed_sd: float | None = None,
) -> list[Effect]:
    """All effects of one order (1 main, 2 and more composition) in a stratum, corrected for their number."""
    values = {cell.levels: cell.values(metric) for cell in stratum.cells}
    noise = seed_noise(values, "pooled") if variance == "pooled" else None
    if seed_sd is not None and all(len(own) < 2 for own in values.values()):
        noise = known_noise(seed_sd)
    text = {cell.levels: cell.sequences(metric) for cell in stratum.cells}
    if not stratum.trained and any(text.values()):
        noise = known_noise(0.0)  # the held-out text is all that chance chose
    missing = shifts(stratum.cells, values) if metric.is_loss or metric.foreign else {}
    missing = {levels: -metric.better * shift for levels, shift in missing.items()}
    measure = _Measure(stratum, values, noise, text, missing, metric.most_blocks)
    combinations = treatment_combinations(stratum, order)
    measured = [measure.of(treatments, estimand) for estimand in estimands for treatments in combinations]
    contrasts = [contrast for contrast in measured if contrast is not None]
    width = metric.margin if margin is None else margin
    return [
        _effect(contrast, stratum, metric_name, metric, width, *correction)
        for contrast, correction in zip(contrasts, _adjusted(contrasts, order), strict=True)
    ]


@dataclass(frozen=True)
class _Contrast:
    """A contrast as measured; `estimate` is None for the reason given.

    `compared` are the cells that it rests on, `looks` counts seeds added later.
    """

    treatments: tuple[Treatment, ...]
    estimand: str
    estimate: Estimate | None
    compared: Collection[Levels] = ()
    looks: int = 0
    reason: str = ""
    contexts: int = 1
    reference: str = ""
    crossover: bool = False


@dataclass(frozen=True)
class _Measure:
    """What contrasts of one stratum are measured by."""

    stratum: Stratum
    values: Values
    noise: SeedNoise | None
    text: Sequences
    missing: Mapping[Levels, float]
    most_blocks: int | None

    def of(self, treatments: tuple[Treatment, ...], estimand: str) -> _Contrast | None:
        """None where there is nothing to say: no setting to average over, or nothing that differs.

        A technique may change nothing alone, as the phase without dropout and exits.
        """
        if estimand == "averaged":
            return self._averaged(treatments)
        anchored = moebius(self.stratum.baseline, treatments)
        if not anchored:
            return None
        if estimand == "nested":
            return None if shared_seeds(anchored, self.values) else self._nested(treatments)
        if estimand == "modelled":
            return self._modelled(treatments, anchored)
        found = self._estimate(anchored)
        if found is None:
            return _Contrast(treatments, estimand, None, reason=self._missing(treatments, anchored))
        crossover = self._crosses_over(treatments)
        return _Contrast(treatments, estimand, found, anchored, self._looks(anchored), crossover=crossover)

    def _estimate(self, *contrasts: Weights) -> Estimate | None:
        found = estimate(contrasts, self.values, self.noise, self.text, self.most_blocks)
        if found is None or not self.missing:
            return found
        shift = sum(weight * self.missing.get(own, 0.0) for weights in contrasts for own, weight in weights.items())
        return dataclasses.replace(found, shift=shift / len(contrasts))

    @cached_property
    def _added(self) -> set[int]:
        return added_seeds(self.stratum.cells)

    def _looks(self, *contrasts: Weights) -> int:
        """How many seeds of the contrasts were added after a look."""
        if not self._added:
            return 0
        used = set().union(*(shared_seeds(weights, self.values) for weights in contrasts))
        return len(used & self._added)

    def _averaged(self, treatments: tuple[Treatment, ...]) -> _Contrast | None:
        """Over all settings of the other factors in which every cell was run."""
        off = [(factor, self.stratum.baseline[INDEX[factor]]) for factor, _ in treatments]
        contexts = sorted({treated(cell.levels, off) for cell in self.stratum.cells}, key=repr)
        contrasts = [moebius(context, treatments) for context in contexts]
        estimable = [weights for weights in contrasts if shared_seeds(weights, self.values)]
        if not estimable:
            return None
        found, looks = self._estimate(*estimable), self._looks(*estimable)
        compared = set().union(*estimable)
        return _Contrast(treatments, "averaged", found, compared, looks, contexts=len(estimable))

    def _nested(self, treatments: tuple[Treatment, ...]) -> _Contrast | None:
        """The contrast at the first other level of one technique that makes it estimable."""
        baseline = self.stratum.baseline
        for factor in TECHNIQUES:
            index = INDEX[factor]
            taken = {level for name, level in treatments if name == factor} | {baseline[index]}
            others = {cell.levels[index] for cell in self.stratum.cells} - taken
            for level in sorted(others, key=repr, reverse=True):
                weights = moebius(with_level(baseline, factor, level), treatments)
                found = self._estimate(weights)
                if found is not None:
                    looks = self._looks(weights)
                    reference = level_label(factor, level)
                    return _Contrast(treatments, "nested", found, weights, looks, reference=reference)
        return None

    def _modelled(self, treatments: tuple[Treatment, ...], anchored: Weights) -> _Contrast | None:
        """Where no cells tell it and a model of pairs does."""
        if shared_seeds(anchored, self.values) or self._averaged(treatments) or self._nested(treatments):
            return None
        for name, model in self._models(treatments).items():
            found = model.estimate(anchored)
            if found is not None:
                return _Contrast(treatments, "modelled", found, model.run, contexts=len(model.run), reference=name)
        return None

    def _models(self, treatments: tuple[Treatment, ...]) -> dict[str, PairModel]:
        """By what they suppose, the one that supposes least first."""
        known, factors = self._pair_models, frozenset(factor for factor, _ in treatments)
        cells = [cell.levels for cell in self.stratum.cells]
        for pair in (None, *([factors] if len(factors) < 3 else [])):
            if pair not in known:
                known[pair] = PairModel(cells, self.values, self.stratum.baseline, pair)
        models = {"a model of all pairs": known[None]}
        return models if len(factors) > 2 else models | {"a model without other pairs": known[factors]}

    @cached_property
    def _pair_models(self) -> dict[frozenset[str] | None, PairModel]:
        return {}

    def _crosses_over(self, treatments: tuple[Treatment, ...]) -> bool:
        """Whether one of two techniques' effects changes sign with the other, both beyond their 95 % intervals."""
        if len(treatments) != 2:
            return False
        for switched, other in (treatments, treatments[::-1]):
            found = [self._estimate(moebius(treated(self.stratum.baseline, on), [other])) for on in ([], [switched])]
            signs = {_sign(each) for each in found}
            if signs == {-1, 1}:
                return True
        return False

    def _missing(self, treatments: tuple[Treatment, ...], weights: Weights) -> str:
        """Which cells of a contrast lack values."""
        lacking = []
        for levels in weights:
            if not self.values.get(levels):
                label = cell_label(levels, self.stratum.baseline)
                lacking.append(f"{label} ({'no trial finished' if levels in self.values else 'not run'})")
        known = any(model.estimate(weights) for model in self._models(treatments).values())
        told = "" if known else "; nor does a model of pairs determine it"
        return ("; ".join(lacking) or "the cells share no seed") + told


def _sign(found: Estimate | None) -> int:
    """Of the whole 95 % interval; 0 where it holds zero or is not known."""
    low, high = (found and found.interval()) or (0.0, 0.0)
    return (low > 0) - (high < 0)


def _adjusted(contrasts: Sequence[_Contrast], order: int) -> list[tuple[str, float | None]]:
    """(family of comparisons, p-value corrected for the family's size) of each contrast.

    The few headline pairs, declared by what they are, are a family of their own (Holm); all other pairs are controlled
    after Benjamini and Hochberg; each of the two spends half of the error rate. A combination is judged by its primary
    estimand first: no other can have a verdict without it. Higher orders are exploratory.
    """
    declared = headlines([contrast.treatments for contrast in contrasts]) if order == 2 else set()
    usual = {1: "singles", 2: "pairs"}.get(order, "exploratory")
    families = ["headline" if contrast.treatments in declared else usual for contrast in contrasts]
    groups: dict[tuple[int, str], dict[int, float]] = {}
    judged: set[tuple[Treatment, ...]] = set()
    for index in sorted(range(len(contrasts)), key=lambda index: PRIMARY.index(contrasts[index].estimand)):
        contrast = contrasts[index]
        if contrast.estimate and contrast.estimate.p_value is not None:
            # Primary estimands of all combinations are one family: who can't average one pair makes no fewer tests.
            primary = order > 1 and contrast.treatments not in judged
            judged.add(contrast.treatments)
            paid = min(1.0, contrast.estimate.p_value * price(contrast.looks))
            place = -1 if primary else PRIMARY.index(contrast.estimand)
            groups.setdefault((place, families[index]), {})[index] = paid
    shares = len({family for _, family in groups})
    corrected: list[float | None] = [None] * len(contrasts)
    decided: dict[tuple[Treatment, ...], float] = {}
    for (_, family), p_values in sorted(groups.items()):
        correct = holm if family == "headline" else benjamini_hochberg
        for index, adjusted in zip(p_values, correct(list(p_values.values())), strict=True):
            first = decided.setdefault(contrasts[index].treatments, adjusted) if order > 1 else 0.0
            corrected[index] = min(1.0, max(adjusted, first) * shares)
    return list(zip(families, corrected, strict=True))


def _effect(
    contrast: _Contrast,
    stratum: Stratum,
    metric_name: str,
    metric: Metric,
    margin: float,
    family: str,
    p_adjusted: float | None,
) -> Effect:
    labels = tuple(level_label(factor, level) for factor, level in contrast.treatments)
    names = labels, contrast.estimand, stratum.label, metric_name, metric.unit
    found = contrast.estimate
    if found is None:
        return Effect(*names, NOT_ESTIMABLE, reason=contrast.reason, rates=_rates(stratum))
    low, high = found.interval() or (None, None)
    reached = verdict(found, margin, SINGLE_VERDICTS if len(labels) == 1 else JOINT_VERDICTS, p_adjusted)
    if any(cell.below_counting for cell in stratum.cells if cell.levels in contrast.compared):
        reached = BELOW_COUNTING
    return Effect(
        *names,
        reached,
        value=found.value,
        se=found.se,
        low=low,
        high=high,
        df=found.df,
        seeds=found.seeds,
        contexts=contrast.contexts,
        percent=100 * math.expm1(found.value) if metric.logarithmic else None,
        p_value=found.p_value,
        p_adjusted=p_adjusted,
        family=family,
        detectable=found.detectable,
        more_seeds=more_seeds(found, margin, p_adjusted) if reached == UNRESOLVED and stratum.trained else None,
        crossover=contrast.crossover,
        reference=contrast.reference,
        rates=_rates(stratum),
        text_se=found.text_se,
    )


def _rates(stratum: Stratum) -> str:
    rate = None if stratum.scale.get("model.parameters") else stratum.scale.get("lr")
    return "" if rate is None else "at tuned rates" if rate == TUNED else f"at lr {plain(rate)}"


def compare(metric: Metric, cell: Cell, reference: Cell) -> Estimate | None:
    """The paired difference of two cells of one stratum; None if they share no finished seed."""
    cells = (cell, reference)
    values = {each.levels: each.values(metric) for each in cells}
    text = {each.levels: each.sequences(metric) for each in cells}
    untrained = all(row.get("training") == "none" for each in cells for row in each.rows)
    noise = known_noise(0.0) if untrained and any(text.values()) else None
    return estimate([{cell.levels: 1.0, reference.levels: -1.0}], values, noise, text, metric.most_blocks)
