"""What a predictor can be asked: the values of its evidence, and the predictions that are worth having first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import Family, Stratum
from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, TECHNIQUES, Levels, axes_of, inert, with_level
from bitskip.errors import UserError
from bitskip.predict.completion import Completed, complete
from bitskip.predict.extrapolation import OUTSIDE, TIERS, outside_of
from bitskip.predict.features import position
from bitskip.predict.prediction import Prediction
from bitskip.predict.predictor import Predictor
from bitskip.predict.response_surface import Surface
from bitskip.techniques.base import plain
from bitskip.trial.config import ModelConfig, make_trial, model_label

MOST_QUESTIONS = 3

BEST, UNTRIED, TOGETHER, HALF = (
    "the best of all",
    "the best that was not run",
    "where techniques change each other most",
    "the best after half of its blocks",
)


@dataclass(frozen=True)
class Choice:
    """An axis that differs among the measured configurations, and its values there, as one writes them."""

    axis: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """Why it is worth asking, the axes that one has to name for it, and the answer; `seeds` is how many were run."""

    why: str
    axes: dict[str, Any]
    exit_layer: int | None
    seeds: int
    prediction: Prediction


def choices(predictor: Predictor) -> list[Choice]:
    """Axes of techniques in the order of the tables, then the sizes, each with more than one measured value.

    An axis that matters only while its technique is on has the values that it has then.
    """
    cells = [cell.levels for family in predictor.families for cell in family.cells]
    found: dict[str, list[str]] = {}
    for factor, members in FACTORS.items():
        levels = [own[INDEX[factor]] for own in cells]
        if factor == "model":
            ordered = sorted(set(levels), key=lambda level: position(factor, level))
            found[factor] = [model_label(ModelConfig(*level)) for level in ordered]
            continue
        on = [level for level in levels if level != NEUTRAL[factor]]
        for at, axis in enumerate(members):
            known = {level[at] for level in (levels if at == 0 else on)}
            found[axis] = list(map(plain, sorted(known, key=_order)))
    return [Choice(axis, tuple(values)) for axis, values in found.items() if len(values) > 1]


def _order(value: Any) -> tuple[bool, Any]:
    """Texts behind numbers, each in their own order."""
    return isinstance(value, str), value


def questions(predictor: Predictor) -> list[Question]:
    """At most three predictions that are worth having where nothing was asked for.

    They are of configurations that were run, or are one technique away from one that was: the surface is believed
    there. Raises UserError with too few configurations.
    """
    asked = complete(predictor.families, {})
    surface = predictor.surface(asked.family)
    run = {cell.levels: len(cell.values(predictor.metric)) for cell in asked.stratum.cells}
    near = _near(asked.stratum)
    means = dict(zip(near, surface.means(near), strict=True))
    alone = dict(zip(near, surface.means(near, surface.additive), strict=True))
    sign = -1 if predictor.metric.higher_is_better else 1
    ranked = sorted(near, key=lambda own: sign * means[own])
    half = asked.trial.model.layers // 2
    wanted: list[tuple[str, Iterable[Levels], int | None]] = [
        (BEST, ranked, None),
        (UNTRIED, (own for own in ranked if not run.get(own)), None),
        (TOGETHER, sorted(near, key=lambda own: -abs(means[own] - alone[own])), None),
    ]
    if half and predictor.measured.speed_gains(asked.stratum, half):
        wanted.append((HALF, ranked, half))
    found: dict[tuple[Levels, int | None], Question] = {}
    for why, candidates, layer in wanted:
        own = next((each for each in candidates if _believed(asked.family, surface, each)), None)
        if own is not None and (own, layer) not in found and len(found) < MOST_QUESTIONS:
            axes = _named(predictor, asked, own)
            answer = predictor.predict(exit_layer=layer, **axes)
            found[own, layer] = Question(why, axes, layer, run.get(own, 0), answer)
    return list(found.values())


def _near(stratum: Stratum) -> list[Levels]:
    """The cells of a stratum, and what differs from one of them in one technique's measured level."""
    measured = {factor: {cell.levels[INDEX[factor]] for cell in stratum.cells} for factor in TECHNIQUES}
    steps = (
        inert(with_level(cell.levels, factor, level))
        for cell in stratum.cells
        for factor, levels in measured.items()
        for level in levels
    )
    return sorted({cell.levels for cell in stratum.cells} | set(steps), key=repr)


def _believed(family: Family, surface: Surface, levels: Levels) -> bool:
    """Whether it can be built, and is not outside what was measured."""
    try:
        make_trial(**{**family.strata[0].settings(levels), **axes_of(levels)})
    except UserError:
        return False
    return outside_of(levels, family, surface, {}).tier != TIERS[OUTSIDE]


def _named(predictor: Predictor, asked: Completed, levels: Levels) -> dict[str, Any]:
    """The fewest axes that ask for these levels: those that differ from what is assumed and do not follow."""
    apart = [name for name, own, off in zip(FACTORS, levels, asked.levels, strict=True) if own != off]
    values = axes_of(levels)
    named = {axis: values[axis] for factor in apart for axis in FACTORS[factor]}
    for axis in reversed(list(named)):
        fewer = {key: value for key, value in named.items() if key != axis}
        if complete(predictor.families, fewer).levels == levels:
            named = fewer
    leader = next(iter(TECHNIQUES.values()))[0]
    return named or {leader: values[leader]}  # naming nothing asks for no prediction
