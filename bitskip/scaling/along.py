"""What becomes of every effect between the rungs of a ladder, and where it changes sign (docs/scaling.md).

Nothing is said beyond the measured sizes and budgets; `Scaling.contrast` does that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.contrasts import Treatment
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import level_label
from bitskip.analysis.regime import Regime
from bitskip.analysis.student_t import student_t_quantile, student_t_tail
from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.errors import UserError
from bitskip.scaling.contrast_laws import FEWEST_VALUES, LEVEL, HeldOut, Scaling, fitted, held_out_error, interval
from bitskip.scaling.ladder import Effects, Rung, by_text
from bitskip.scaling.laws import SMALLEST, Mixture, fit_laws, mix
from bitskip.scaling.multiplier_laws import LossLaw, loss_law
from bitskip.scaling.verdict import FADES, FLIPS, verdict

ORDERS = (1, 2)
"""Main effects, and those of two techniques."""

FARTHEST_ZERO = 20.0
"""Logarithms of tokens from the ladder's middle beyond which a zero is none."""

WORST_FIT = 2.0
"""Chi² per degree of freedom beyond which the laws do not fit: with 6 of these, one ladder in 16 by chance."""


@dataclass(frozen=True)
class Crossing:
    """Where an effect changes sign, in tokens a parameter, at one measured size.

    Its median, and its 90 % interval: below `low` and above `high` the sign is known to 95 %; None where it is known on
    neither side. `measured` are the fewest and most tokens a parameter that were run at this size.
    """

    parameters: int
    tokens_per_parameter: float
    low: float | None
    high: float | None
    measured: tuple[float, float]

    @property
    def inside(self) -> bool:
        return self.measured[0] <= self.tokens_per_parameter <= self.measured[1]


@dataclass(frozen=True)
class AtRung(Rung):
    """An effect at a rung with its 90 % interval, and in which regime its models were trained.

    `mark` is the regime's, with a word where a model that is compared is below counting.
    """

    low: float
    high: float
    regime: Regime
    mark: str


@dataclass(frozen=True)
class EffectAlong:
    """An effect from the smallest to the largest rung, in nats per token.

    `verdict` is of what was measured, by the laws, with their `weights`, or without where none fits; `seeds` are the
    fewest of a rung. `crossings` are those of the sizes with two budgets or more, the smallest first, where the effect
    flips or fades. `held_out` is the largest rung as the others foretell it.
    """

    techniques: tuple[str, ...]
    verdict: str
    rungs: tuple[AtRung, ...]
    seeds: int
    weights: dict[str, float]
    crossings: tuple[Crossing, ...]
    held_out: HeldOut | None


@dataclass(frozen=True)
class LadderSummary:
    """The effects along one ladder, main effects first; `left_out` says which could not be followed, and why.

    `parameters` and `tokens_per_parameter` are the fewest and most that were run; `loss_law` is None where the
    rungs are too few for one.
    """

    label: str
    metric: str
    scales: int
    parameters: tuple[float, float]
    tokens_per_parameter: tuple[float, float]
    effects: tuple[EffectAlong, ...]
    left_out: tuple[str, ...]
    loss_law: LossLaw | None


def scalings(found: Sequence[Stratum], metric: str | None) -> list[Scaling]:
    """One for every text with as many rungs as a law needs; without `metric`, of what was measured on each."""
    several = (Scaling(own, metric or own[0].metric) for own in by_text(found))
    return [scaling for scaling in several if len(scaling.scales) >= FEWEST_VALUES]


def summary(scaling: Scaling) -> LadderSummary:
    """Every main and composition effect of a ladder."""
    effects, left_out = [], []
    for treatments in (each for order in ORDERS for each in scaling.measured(order)):
        try:
            effects.append(along(scaling, treatments))
        except UserError as error:
            left_out.append(str(error))
    sizes = [parameters for parameters, _ in scaling.scales]
    per_parameter = [tokens / parameters for parameters, tokens in scaling.scales]
    return LadderSummary(
        scaling.ladder[0].label.split(", ")[1],
        scaling.metric_name,
        len(sizes),
        (min(sizes), max(sizes)),
        (min(per_parameter), max(per_parameter)),
        tuple(each for each in effects if not any(_within(each, other) for other in effects)),
        tuple(dict.fromkeys(left_out)),
        loss_law(scaling),
    )


def _within(one: EffectAlong, other: EffectAlong) -> bool:
    """Whether it is another effect at fewer rungs: canonical form can depend on depth."""
    measured, others = ({(rung.scale, rung.value) for rung in each.rungs} for each in (one, other))
    return measured < others


def along(scaling: Scaling, treatments: tuple[Treatment, ...]) -> EffectAlong:
    """An effect between the rungs. Raises UserError where fewer than three have it, or no rung has two seeds."""
    labels, margin = tuple(level_label(*each) for each in treatments), scaling.metric.margin
    effects = scaling.effects(treatments)
    if len(effects.rungs) < FEWEST_VALUES:
        raise UserError(f"{' × '.join(labels)}: measured at {len(effects.rungs)} rungs, {FEWEST_VALUES} are needed")
    reach = student_t_quantile((1 + LEVEL) / 2, effects.df)
    # Between rungs the data speak: no floor for laws that do not fit.
    mixture = mix(fitted(effects, effects.places), floor=0.0)
    fits = chi_square(effects, effects.values - mixture.mean) <= WORST_FIT
    found = _of_laws(effects, mixture, reach, margin) if fits else _as_measured(effects, reach, margin)
    return EffectAlong(
        labels,
        found,
        tuple(_at_rung(rung, reach, scaling.regimes[rung.scale]) for rung in effects.rungs),
        min(rung.seeds for rung in effects.rungs),
        mixture.weights if fits else {},
        tuple(crossings(effects)) if found in (FLIPS, FADES) else (),
        held_out_error(effects),
    )


def _of_laws(effects: Effects, mixture: Mixture, reach: float, margin: float) -> str:
    """The verdict between the first and the last rung by the laws that fit them all."""
    variances = np.diag(mixture.covariance)
    rungs = [interval(mean, variance, reach) for mean, variance in zip(mixture.mean, variances, strict=True)]
    step = _first_to_last(effects)
    change = interval(float(step @ mixture.mean), float(step @ mixture.covariance @ step), reach)
    return verdict(rungs, rungs[-1], mixture.above_zero(-1, effects.df), change, margin)


def _as_measured(effects: Effects, reach: float, margin: float) -> str:
    """The verdict by the measured values alone, the sides of all rungs at once with 90 % (Bonferroni)."""
    values, variances = effects.values, np.diag(effects.covariance)
    together = student_t_quantile(1 - (1 - LEVEL) / 2 / len(values), effects.df)
    rungs = [interval(value, variance, together) for value, variance in zip(values, variances, strict=True)]
    step = _first_to_last(effects)
    change = interval(float(step @ values), float(step @ effects.covariance @ step), reach)
    above = student_t_tail(-float(values[-1]) / math.sqrt(variances[-1]), effects.df)
    return verdict(rungs, rungs[-1], above, change, margin)


def _first_to_last(effects: Effects) -> Array:
    step = np.zeros(len(effects.rungs))
    step[-1], step[0] = 1.0, -1.0
    return step


def _at_rung(rung: Rung, reach: float, regime: Regime) -> AtRung:
    low, high = interval(rung.value, rung.se**2, reach)
    mark = ", ".join(filter(None, [regime.mark, BELOW_COUNTING if rung.below_counting else ""]))
    return AtRung(**vars(rung), low=low, high=high, regime=regime, mark=mark)


def crossings(effects: Effects) -> Iterator[Crossing]:
    """At every size with two budgets or more, where the effect is zero.

    By the linear law; where that does not fit, by the line between the two budgets of the size on either side of zero.
    The interval is Fieller's for a ratio of intercept and slope (J. R. Stat. Soc. B 16, 1954), the errors of rungs
    widened by the root of chi² per degree of freedom (Birge, Phys. Rev. 40, 1932) as far as the law is taken.
    """
    reach = student_t_quantile((1 + LEVEL) / 2, effects.df)
    middle = float(effects.places[:, 1].mean())
    for size in sorted({rung.parameters for rung in effects.rungs}):
        budgets = sorted(rung.tokens for rung in effects.rungs if rung.parameters == size)
        line = _line(effects, size, middle) if len(budgets) > 1 else None
        if line is None or not line[0][1]:
            continue
        (level, slope), covariance = line
        zero, *ends = (
            None if z is None or abs(z) > FARTHEST_ZERO else math.exp(z + middle) / size
            for z in (-level / slope, *_fieller(level, slope, covariance, reach))
        )
        if zero is not None:
            yield Crossing(size, zero, ends[0], ends[1], (budgets[0] / size, budgets[-1] / size))


def _line(effects: Effects, size: int, middle: float) -> tuple[Array, Array] | None:
    """Level at `middle` and slope of the effect along ln D at a size, [2], and their covariance [2, 2]."""
    places = effects.places - effects.places.mean(axis=0)
    design = np.column_stack([np.ones(len(places)), places])
    misfit = chi_square(effects, _residuals(effects, design))
    if misfit <= WORST_FIT:
        asked = np.log([[size, math.exp(middle)], [size, math.exp(middle + 1.0)]]) - effects.places.mean(axis=0)
        fits = fit_laws(places, effects.values, effects.covariance * max(1.0, misfit), asked)
        law = next(each for each in fits if each.law == "linear")
        turn = np.array([[1.0, 0.0], [-1.0, 1.0]])
        return turn @ law.mean, turn @ law.covariance @ turn.T
    own = sorted(
        (at for at, rung in enumerate(effects.rungs) if rung.parameters == size),
        key=lambda at: effects.rungs[at].tokens,
    )
    sides = [pair for pair in itertools.pairwise(own) if effects.values[pair[0]] * effects.values[pair[1]] < 0]
    if not sides:
        return None
    pair = list(sides[-1])
    through = np.linalg.inv(np.column_stack([np.ones(2), effects.places[pair, 1] - middle]))
    return through @ effects.values[pair], through @ effects.covariance[np.ix_(pair, pair)] @ through.T


def _residuals(effects: Effects, design: Array) -> Array:
    """Of generalized least squares."""
    whiten = _whitening(effects)
    coefficients = np.linalg.lstsq(whiten @ design, whiten @ effects.values, rcond=None)[0]
    return np.asarray(effects.values - design @ coefficients)


def chi_square(effects: Effects, residuals: Array) -> float:
    """Per degree of freedom, of a law with three unknowns; 0 where none is left."""
    free = len(residuals) - 3
    return float(np.sum((_whitening(effects) @ residuals) ** 2)) / free if free > 0 else 0.0


def _whitening(effects: Effects) -> Array:
    noise = effects.covariance + SMALLEST**2 * np.eye(len(effects.rungs))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(noise)))


def _fieller(level: float, slope: float, covariance: Array, reach: float) -> tuple[float | None, float | None]:
    """Bounds of the zero of level + slope z; both None where the slope's sign is not known."""
    a = slope**2 - reach**2 * covariance[1, 1]
    if a <= 0:
        return None, None
    b = level * slope - reach**2 * covariance[0, 1]
    c = level**2 - reach**2 * covariance[0, 0]
    root = math.sqrt(max(0.0, b * b - a * c))
    return float((-b - root) / a), float((-b + root) / a)


def band(effects: Effects, scales: Array) -> tuple[Array, Array, Array]:
    """(mean, low, high) [scales] of an effect by the laws that fit it, at `scales` [scales, 2]: parameters, tokens."""
    mixture = mix(fitted(effects, np.log(scales)), floor=0.0)
    half = student_t_quantile((1 + LEVEL) / 2, effects.df) * np.sqrt(np.diag(mixture.covariance))
    return mixture.mean, mixture.mean - half, mixture.mean + half
