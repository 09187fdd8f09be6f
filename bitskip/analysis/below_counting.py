"""Effects that rest on a model below counting, which are shown and are no finding (docs/effects.md).

A model is below counting if its loss is not below that of bigrams counted on its training tokens: what a technique does
to it says nothing of models that have learned more than pairs of words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bitskip.analysis.contrasts import (
    Treatment,
    Values,
    Weights,
    moebius,
    shared_seeds,
    treated,
    treatment_combinations,
)
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import INDEX, TECHNIQUES, level_label, with_level

if TYPE_CHECKING:
    from bitskip.analysis.effects import Effect

BELOW_COUNTING = "below counting"
"""The verdict that takes the place of any other."""


def without_findings(stratum: Stratum, effects: Sequence[Effect], values: Values) -> list[Effect]:
    """The effects of a stratum, with BELOW_COUNTING as the verdict of those that compare such a model."""
    below = {cell.levels for cell in stratum.cells if cell.below_counting}
    if not below:
        return list(effects)
    orders = {len(effect.techniques) for effect in effects}
    known = {_labels(each): each for order in orders for each in treatment_combinations(stratum, order)}

    def rests_on_one(effect: Effect) -> bool:
        compared = _contrasts(stratum, effect, known[effect.techniques], values)
        return any(below.intersection(weights) for weights in compared)

    return [
        replace(effect, verdict=BELOW_COUNTING, more_seeds=None)
        if effect.value is not None and rests_on_one(effect)
        else effect
        for effect in effects
    ]


def _labels(treatments: Sequence[Treatment]) -> tuple[str, ...]:
    return tuple(level_label(factor, level) for factor, level in treatments)


def _contrasts(stratum: Stratum, effect: Effect, treatments: Sequence[Treatment], values: Values) -> Iterator[Weights]:
    """The contrasts that an effect is the mean of."""
    baseline = stratum.baseline
    if effect.estimand == "averaged":
        off = [(factor, baseline[INDEX[factor]]) for factor, _ in treatments]
        for context in {treated(cell.levels, off) for cell in stratum.cells}:
            weights = moebius(context, treatments)
            if shared_seeds(weights, values):
                yield weights
    elif effect.estimand == "nested":
        for factor in TECHNIQUES:
            for level in {cell.levels[INDEX[factor]] for cell in stratum.cells}:
                if level_label(factor, level) == effect.reference:
                    yield moebius(with_level(baseline, factor, level), treatments)
    else:
        yield moebius(baseline, treatments)
