"""A prediction as a waterfall: baseline, single effects, pairs, and the rest (docs/prediction.md, Model)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from bitskip.analysis.contrasts import Treatment, moebius
from bitskip.analysis.levels import FACTORS, INDEX, SIZES, Levels, inert, level_label, with_level
from bitskip.analysis.student_t import NORMAL_95
from bitskip.predict.prediction import Term
from bitskip.predict.response_surface import Surface
from bitskip.predict.stacking import Stack


def start_of(surface: Surface, levels: Levels) -> Levels:
    """The baseline at the size asked for: sizes are no techniques."""
    start = surface.baseline
    for factor in SIZES:
        start = with_level(start, factor, levels[INDEX[factor]])
    return start


def waterfall(surface: Surface, levels: Levels, model: Stack) -> tuple[Term, tuple[Term, ...], tuple[Term, ...]]:
    """(baseline, main effects, composition effects) of a model's prediction; they sum to it exactly.

    Möbius terms around the baseline: single techniques, pairs, and one term for whatever three and more do beyond
    these. Techniques that change nothing alone (the phase, without dropout and exit loss) have no main effect. The
    intervals count the disagreement of all models, those without weight included. With too few configurations for
    interactions there are no terms for them.
    """
    start = start_of(surface, levels)
    moves = [(factor, own) for factor, own, off in zip(FACTORS, levels, start, strict=True) if own != off]

    def term(names: tuple[str, ...], weights: Mapping[Levels, float]) -> Term:
        if not weights:
            return Term(names, 0.0, 0.0, 0.0)
        value, _ = surface.contrast(weights, model)
        other, deviation = surface.contrast(weights, surface.doubtful)
        half = NORMAL_95 * math.hypot(deviation, other - value)
        return Term(names, value, value - half, value + half)

    def named(treatments: Sequence[Treatment]) -> tuple[str, ...]:
        return tuple(level_label(factor, level) for factor, level in treatments)

    single = {(move,): moebius(start, [move]) for move in moves}
    mains = [term(named(own), weights) for own, weights in single.items() if weights]
    pairs = {pair: moebius(start, pair) for pair in itertools.combinations(moves, 2)}
    known = len(surface.model.processes) > 1
    compositions = [
        term(named(pair), weights)
        for pair, weights in pairs.items()
        if known or not all(single[move,] for move in pair)
    ]
    if len(moves) > 2 and (known or "phase" in dict(moves)):
        # All that is left of the prediction once every single effect and every pair is taken out of it.
        rest = {inert(levels): 1.0}
        for weights in ({start: 1.0}, *single.values(), *pairs.values()):
            for cell, weight in weights.items():
                rest[cell] = rest.get(cell, 0.0) - weight
        compositions.append(term(named(moves), rest))
    return term(("baseline",), {start: 1.0}), tuple(mains), tuple(compositions)
