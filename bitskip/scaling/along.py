"""What becomes of every effect between the rungs of a ladder, and where it changes sign (docs/scaling.md).

Nothing is said beyond the measured sizes and budgets; `Scaling.contrast` does that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.contrasts import Treatment
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import level_label
from bitskip.analysis.regime import Regime
from bitskip.analysis.student_t import student_t_quantile
from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.errors import UserError
from bitskip.scaling.contrast_laws import FEWEST_VALUES, LEVEL, HeldOut, Scaling, fitted, held_out_error, interval
from bitskip.scaling.ladder import Effects, Rung, by_text
from bitskip.scaling.laws import fit_laws, mix
from bitskip.scaling.verdict import FADES, FLIPS, verdict

ORDERS = (1, 2)
"""Main effects, and those of two techniques."""


@dataclass(frozen=True)
class Crossing:
    """Where an effect changes sign, in tokens a parameter, at one measured size.

    Its median by the linear law, and its 90 % interval: below `low` and above `high` the sign is known to 95 %; None
    where it is on neither side. `measured` are the fewest and most tokens a parameter that were run at this size.
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

    `verdict` is of what was measured, by the laws that fit it; `seeds` are the fewest of a rung. `crossings` are those
    of the sizes with two budgets or more, the smallest first, where the effect flips or fades. `held_out` is the
    largest rung as the others foretell it.
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

    `parameters` and `tokens_per_parameter` are the fewest and most that were run.
    """

    label: str
    metric: str
    scales: int
    parameters: tuple[float, float]
    tokens_per_parameter: tuple[float, float]
    effects: tuple[EffectAlong, ...]
    left_out: tuple[str, ...]


def scalings(found: Sequence[Stratum], metric: str) -> list[Scaling]:
    """One for every text with as many rungs as a law needs."""
    several = (Scaling(own, metric) for own in by_text(found))
    return [scaling for scaling in several if len(scaling.scales) >= FEWEST_VALUES]


def summary(scaling: Scaling, name: str) -> LadderSummary:
    """Every main and composition effect of a ladder; `name` is the metric's."""
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
        name,
        len(sizes),
        (min(sizes), max(sizes)),
        (min(per_parameter), max(per_parameter)),
        tuple(each for each in effects if not any(_within(each, other) for other in effects)),
        tuple(dict.fromkeys(left_out)),
    )


def _within(one: EffectAlong, other: EffectAlong) -> bool:
    """Whether it is another effect at fewer rungs: canonical form can depend on depth."""
    measured, others = ({(rung.scale, rung.value) for rung in each.rungs} for each in (one, other))
    return measured < others


def along(scaling: Scaling, treatments: tuple[Treatment, ...]) -> EffectAlong:
    """An effect between the rungs. Raises UserError where fewer than three have it, or no rung has two seeds."""
    labels = tuple(level_label(*each) for each in treatments)
    effects = scaling.effects(treatments)
    if len(effects.rungs) < FEWEST_VALUES:
        raise UserError(f"{' × '.join(labels)}: measured at {len(effects.rungs)} rungs, {FEWEST_VALUES} are needed")
    reach = student_t_quantile((1 + LEVEL) / 2, effects.df)
    # Between rungs the data speak: no floor for laws that do not fit.
    mixture = mix(fitted(effects, effects.places), floor=0.0)
    intervals = [
        interval(mean, variance, reach)
        for mean, variance in zip(mixture.mean, np.diag(mixture.covariance), strict=True)
    ]
    step = np.zeros(len(effects.rungs))
    step[-1], step[0] = 1.0, -1.0
    change = interval(float(step @ mixture.mean), float(step @ mixture.covariance @ step), reach)
    above = mixture.above_zero(-1, effects.df)
    found = verdict(intervals, intervals[-1], above, change, scaling.metric.margin)
    return EffectAlong(
        labels,
        found,
        tuple(_at_rung(rung, reach, scaling.regimes[rung.scale]) for rung in effects.rungs),
        min(rung.seeds for rung in effects.rungs),
        mixture.weights,
        tuple(crossings(effects)) if found in (FLIPS, FADES) else (),
        held_out_error(effects),
    )


def _at_rung(rung: Rung, reach: float, regime: Regime) -> AtRung:
    low, high = interval(rung.value, rung.se**2, reach)
    mark = ", ".join(filter(None, [regime.mark, BELOW_COUNTING if rung.below_counting else ""]))
    return AtRung(**vars(rung), low=low, high=high, regime=regime, mark=mark)


def crossings(effects: Effects) -> Iterator[Crossing]:
    """At every size with two budgets or more, where the linear law has a zero.

    Fieller's interval of the ratio of intercept and slope (J. R. Stat. Soc. B 16, 1954). The errors of the rungs are
    widened by what the law misses, by the root of chi² per degree of freedom (Birge, Phys. Rev. 40, 1932): an effect
    that is curved in ln D has no sharper zero than the curve allows.
    """
    widened = effects.covariance * _misfit(effects)
    centre = effects.places.mean(axis=0)
    by_size: dict[int, list[int]] = {}
    for rung in effects.rungs:
        by_size.setdefault(rung.parameters, []).append(rung.tokens)
    reach = student_t_quantile((1 + LEVEL) / 2, effects.df)
    for size, budgets in by_size.items():
        if len(budgets) < 2:
            continue
        # The law along tokens at this size, by its values at the ladder's middle and at one factor e more.
        asked = np.array([[math.log(size), centre[1]], [math.log(size), centre[1] + 1.0]]) - centre
        fit = next(
            each for each in fit_laws(effects.places - centre, effects.values, widened, asked) if each.law == "linear"
        )
        turn = np.array([[1.0, 0.0], [-1.0, 1.0]])
        (level, slope), covariance = turn @ fit.mean, turn @ fit.covariance @ turn.T
        if slope:
            zero, (low, high) = -level / slope, _fieller(level, slope, covariance, reach)
            per_parameter = [
                None if z is None or abs(z) > FARTHEST_ZERO else math.exp(z + float(centre[1])) / size
                for z in (zero, low, high)
            ]
            if per_parameter[0] is not None:
                measured = (min(budgets) / size, max(budgets) / size)
                yield Crossing(size, per_parameter[0], per_parameter[1], per_parameter[2], measured)


FARTHEST_ZERO = 20.0
"""Logarithms of tokens from the ladder's middle beyond which a zero is none."""


def _misfit(effects: Effects) -> float:
    """Chi² per degree of freedom of a line in both logarithms, by generalized least squares; at least 1."""
    places = effects.places - effects.places.mean(axis=0)
    design = np.column_stack([np.ones(len(places)), places])
    free = len(places) - np.linalg.matrix_rank(design)
    if free < 1:
        return 1.0
    whiten = np.linalg.pinv(np.linalg.cholesky(effects.covariance + 1e-12 * np.eye(len(places))))
    seen, values = whiten @ design, whiten @ effects.values
    missed = values - seen @ np.linalg.lstsq(seen, values, rcond=None)[0]
    return max(1.0, float(missed @ missed) / float(free))


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
