"""A prediction as a waterfall: baseline, single effects, pairs, and the rest (docs/effects.md, Model)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from bitskip.analysis.contrasts import Treatment, moebius
from bitskip.analysis.levels import FACTORS, INDEX, SIZES, Levels, inert, level_label, with_level
from bitskip.analysis.student_t import NORMAL_95
from bitskip.predict.kernel_ridge import GradedRidge
from bitskip.predict.prediction import Term
from bitskip.predict.response_surface import Surface


def start_of(surface: Surface, levels: Levels) -> Levels:
    """The baseline at the size asked for: sizes are no techniques."""
    start = surface.baseline
    for factor in SIZES:
        start = with_level(start, factor, levels[INDEX[factor]])
    return start


def waterfall(surface: Surface, levels: Levels, model: GradedRidge) -> tuple[Term, tuple[Term, ...], tuple[Term, ...]]:
    """(baseline, main effects, composition effects) of a model's prediction; they sum to it exactly.

    Möbius terms around the baseline: single techniques, pairs, and one term for whatever three and more do beyond
    these. Techniques that change nothing alone (the phase, without dropout and exit loss) have no main effect. Where
    the additive model predicts, composition effects are zero and their interval is what interactions, if fitted, leave
    open.
    """
    start = start_of(surface, levels)
    moves = [(factor, own) for factor, own, off in zip(FACTORS, levels, start, strict=True) if own != off]
    additive = model is surface.additive

    def term(names: tuple[str, ...], weights: Mapping[Levels, float], source: GradedRidge = model) -> Term:
        value, deviation = surface.contrast(weights, source) if weights else (0.0, 0.0)
        return Term(names, value, value - NORMAL_95 * deviation, value + NORMAL_95 * deviation)

    def named(treatments: Sequence[Treatment]) -> tuple[str, ...]:
        return tuple(level_label(factor, level) for factor, level in treatments)

    single = {(move,): moebius(start, [move]) for move in moves}
    mains = [term(named(own), weights) for own, weights in single.items() if weights]
    pairs = {pair: moebius(start, pair) for pair in itertools.combinations(moves, 2)}
    compositions = []
    for pair, weights in pairs.items():
        if not additive or not all(single[move,] for move in pair):
            compositions.append(term(named(pair), weights))
        elif surface.interacting is not None:
            open_range = term(named(pair), weights, surface.interacting)
            compositions.append(Term(named(pair), 0.0, min(0.0, open_range.low), max(0.0, open_range.high)))
    if len(moves) > 2 and (not additive or "phase" in dict(moves)):
        # All that is left of the prediction once every single effect and every pair is taken out of it.
        rest = {inert(levels): 1.0}
        for weights in ({start: 1.0}, *single.values(), *pairs.values()):
            for cell, weight in weights.items():
                rest[cell] = rest.get(cell, 0.0) - weight
        compositions.append(term(named(moves), rest))
    return term(("baseline",), {start: 1.0}), tuple(mains), tuple(compositions)
