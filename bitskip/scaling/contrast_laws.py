"""Effects at another scale, by laws fitted to a ladder (docs/scaling.md).

The paired contrast is modelled, not the loss: per seed, what all cells share cancels, and with it most of what a law of
the loss would have to get right.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.analysis.contrasts import Treatment, treatment_combinations
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum
from bitskip.analysis.levels import level_label, without_techniques
from bitskip.analysis.metrics import metric_named
from bitskip.analysis.regime import Regime, regimes
from bitskip.analysis.student_t import student_t_quantile
from bitskip.errors import UserError
from bitskip.scaling.ladder import Effects, Rung, effects_along, ladders, scale_of, treatments_of
from bitskip.scaling.laws import Fit, fit_laws, mix
from bitskip.scaling.loss_law import LossAtScale, loss_at_scale
from bitskip.scaling.verdict import verdict

if TYPE_CHECKING:
    from bitskip.store.tables import Results

LEVEL = 0.90

FARTHEST = 8.0
"""Times the largest measured model: what laws of effects say farther off has not been tested."""

FARTHEST_TOKENS = FARTHEST**2
"""Times the largest measured budget: at equal size, tokens a parameter may grow by as much again."""

FEWEST_VALUES, FEWEST_RUNGS = 3, 5
"""Sizes, or budgets, that a law needs to go beyond them, and rungs. Two of a kind fit any law, and
do not tell a trend from a change of sign."""


@dataclass(frozen=True)
class HeldOut:
    """The largest rung, predicted from all others: `error` is measured less predicted, in nats per token.

    `low` and `high` bound the measured effect, its own error included.
    """

    rung: Rung
    mean: float
    low: float
    high: float
    error: float

    @property
    def inside(self) -> bool:
        return self.low <= self.rung.value <= self.high


@dataclass(frozen=True)
class ScaledEffect:
    """An effect at a scale, in nats per token, with its 90 % interval and a verdict (`verdict.VERDICTS`).

    `weights` are those of the laws, `rungs` what they were fitted to, `held_out` how they did on the largest rung; None
    where the others are too few. `notes` say what else a reader must know.
    """

    techniques: tuple[str, ...]
    parameters: float
    tokens: float
    mean: float
    low: float
    high: float
    verdict: str
    se: float
    weights: Mapping[str, float]
    rungs: tuple[Rung, ...]
    held_out: HeldOut | None
    notes: tuple[str, ...]

    @property
    def beyond(self) -> list[str]:
        """How the scale lies outside the measured sizes and budgets."""
        found = []
        for name, asked in (("parameters", self.parameters), ("tokens", self.tokens)):
            measured = [getattr(rung, name) for rung in self.rungs]
            if not min(measured) <= asked <= max(measured):
                found.append(f"{asked:.4g} {name}: measured were {min(measured):.4g} to {max(measured):.4g}")
        return found


class Scaling:
    """Laws of every effect along a ladder, each fitted when it is asked for."""

    def __init__(self, ladder: Sequence[Stratum], metric: str = "ppl", notes: Sequence[str] = ()):
        self.ladder = tuple(ladder)
        self.metric_name, self.metric = metric, metric_named(metric)
        self.notes = tuple(notes)
        self._measured: dict[tuple[tuple[Treatment, ...], bool], Effects] = {}

    @property
    def scales(self) -> list[tuple[int, int]]:
        """(non-embedding parameters, tokens) of every rung, the smallest first."""
        return sorted({scale_of(stratum) for stratum in self.ladder})

    def contrast(self, *treatments: Any, parameters: float, tokens: float, force: bool = False) -> ScaledEffect:
        """The effect of one technique, or of several beyond their smaller combinations, at a scale.

        Treatments are `("bits", 4)`, or mappings of several axes of a technique; `parameters` are non-embedding ones.
        Raises UserError for what was not measured, and, unless forced, where the ladder can't carry the answer: beyond
        8 times its largest model, or beyond fewer than three sizes or budgets.
        """
        return self._scaled(treatments_of(self.ladder, treatments), parameters, tokens, force)

    def difference(self, *treatments: Any, parameters: float, tokens: float, force: bool = False) -> ScaledEffect:
        """All treatments together against none of them, at a scale; otherwise as `contrast`."""
        return self._scaled(treatments_of(self.ladder, treatments), parameters, tokens, force, whole=True)

    def baseline(self, *, parameters: float, tokens: float) -> LossAtScale | None:
        """The baseline's metric on its additive scale, by a law of the loss; None where the rungs are too few, or where
        it is no loss of bitskip's own.
        """
        if self.metric.foreign:
            return None
        measured: dict[tuple[int, int], list[float]] = {}
        for stratum in self.ladder:
            cell = stratum.cell(stratum.baseline)
            if stratum.baseline == without_techniques(stratum.baseline) and cell and cell.values(self.metric):
                values = list(cell.values(self.metric).values())
                measured.setdefault(scale_of(stratum), []).append(math.fsum(values) / len(values))
        losses = np.array([min(own) for own in measured.values()])
        if not len(losses) or losses.min() <= 0:
            return None
        places = np.log([list(scale) for scale in measured])
        return loss_at_scale(places, losses, np.log([parameters, tokens]))

    @functools.cached_property
    def regimes(self) -> dict[str, Regime]:
        """By the label of a rung's scale."""
        return {stratum.label: own for stratum, own in zip(self.ladder, regimes(self.ladder), strict=True)}

    def measured(self, order: int) -> list[tuple[Treatment, ...]]:
        """Combinations of `order` treatments that were run at some rung."""
        combinations = (treatment_combinations(stratum, order) for stratum in self.ladder)
        return list(dict.fromkeys(itertools.chain.from_iterable(combinations)))

    def effect_named(self, techniques: tuple[str, ...]) -> Effects:
        """The effect that has these labels; raises UserError as `effects`."""
        labelled = {tuple(level_label(*each) for each in own): own for own in self.measured(len(techniques))}
        return self.effects(labelled[techniques])

    def effects(self, treatments: tuple[Treatment, ...], *, whole: bool = False) -> Effects:
        """An effect at every rung; raises UserError as `effects_along`."""
        if (treatments, whole) not in self._measured:
            self._measured[treatments, whole] = effects_along(self.ladder, treatments, self.metric, whole=whole)
        return self._measured[treatments, whole]

    def contrasts(self, *, parameters: float, tokens: float, order: int = 2, force: bool = False) -> list[ScaledEffect]:
        """Every effect of an order (1 main, 2 composition) that was measured with two seeds on enough rungs."""
        found = []
        for treatments in self.measured(order):
            try:
                found.append(self._scaled(treatments, parameters, tokens, force))
            except UserError:
                continue
        return found

    def _scaled(
        self,
        treatments: tuple[Treatment, ...],
        parameters: float,
        tokens: float,
        force: bool,
        *,
        whole: bool = False,
    ) -> ScaledEffect:
        for name, value in (("parameters", parameters), ("tokens", tokens)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise UserError(f"{name}: expected a positive number, got {value!r}")
        effects = self.effects(treatments, whole=whole)
        labels = tuple(level_label(*each) for each in treatments)
        lacking = missing(effects.rungs, parameters, tokens)
        if lacking and not force:
            raise UserError(f"{' × '.join(labels)}: {'; '.join(lacking)}, or pass --force (force=True) for a guess")
        asked = np.concatenate([effects.places, np.log([[parameters, tokens]])])
        fits = fitted(effects, asked)
        everywhere, fitting = mix(fits, even=bool(lacking)), mix(fits, floor=0.0)
        reach = student_t_quantile((1 + LEVEL) / 2, effects.df)
        low, high = interval(everywhere.mean[-1], everywhere.covariance[-1, -1], reach)
        # Inside the ladder the data speak: the floor of the weights is for what lies beyond it.
        at_rungs = [
            interval(mean, variance, reach)
            for mean, variance in zip(fitting.mean[:-1], np.diag(fitting.covariance)[:-1], strict=True)
        ]
        step = np.zeros(len(asked))
        step[-1], step[0] = 1.0, -1.0
        change = interval(float(step @ fitting.mean), float(step @ fitting.covariance @ step), reach)
        above = everywhere.above_zero(-1, effects.df)
        held_out = held_out_error(effects)
        notes = [*self.notes, *(f"forced: {reason}" for reason in lacking)]
        if any(rung.below_counting for rung in effects.rungs):
            notes.append(
                "some rungs compare a model that is not below bigrams: they may tell of the start of training only"
            )
        if held_out and not held_out.inside:
            notes.append("the largest rung lies outside what the others predicted of it: a law is missing")
        return ScaledEffect(
            labels,
            parameters,
            tokens,
            float(everywhere.mean[-1]),
            low,
            high,
            verdict(at_rungs, (low, high), above, change, self.metric.margin),
            math.sqrt(everywhere.covariance[-1, -1]),
            everywhere.weights,
            effects.rungs,
            held_out,
            tuple(notes),
        )


def fit_scaling(results: Results, metric: str | None = None, **scale: Any) -> Scaling:
    """Laws of effects over size and tokens, from the ladder with most rungs in the results.

    A ladder's trials share text, tokenizer and sequence length; model, tokens and recipe (rate, batch, …) go with the
    rung. `scale` names axes that all of them shall have, such as `seq_len=128`. Raises UserError for an unknown metric
    or axis, and where there are no such trials.
    """
    found = ladders(results, **scale)
    notes = []
    if len(found) > 1:
        others = "; ".join(own[0].label for own in found[1:3])
        notes.append(f"{len(found)} ladders were measured; taken is that of {found[0][0].label}. Others: {others}")
    return Scaling(found[0], metric or found[0][0].metric, notes)


def missing(rungs: Sequence[Rung], parameters: float, tokens: float) -> list[str]:
    """Why a ladder can't carry an answer at a scale, with the cure; nothing if it can."""
    sizes = {rung.parameters for rung in rungs}
    budgets = {rung.tokens for rung in rungs}
    reasons = []
    for name, asked, values, most in (
        ("parameters", parameters, sizes, FARTHEST),
        ("tokens", tokens, budgets, FARTHEST_TOKENS),
    ):
        low, high = min(values), max(values)
        if asked > most * high or asked < low / most:
            end, side = (high, "largest") if asked > high else (low, "smallest")
            reasons.append(
                f"{asked:.4g} {name} are more than {most:g} times from the {side} measured ({end:.4g}); "
                "measure a rung nearer to it"
            )
        elif not low <= asked <= high and len(values) < FEWEST_VALUES:
            kind = "sizes" if name == "parameters" else "budgets"
            reasons.append(
                f"{asked:.4g} {name} lie beyond the {len(values)} {kind} measured; going beyond needs {FEWEST_VALUES}"
            )
    beyond = not (min(sizes) <= parameters <= max(sizes) and min(budgets) <= tokens <= max(budgets))
    fewest = FEWEST_RUNGS if beyond else FEWEST_VALUES
    if len(rungs) < fewest:
        reasons.append(f"{len(rungs)} rungs have this effect, {fewest} are needed; measure more")
    return reasons


def held_out_error(effects: Effects) -> HeldOut | None:
    """The largest rung against what the others say of it; None where they could not be asked."""
    sizes = [(rung.parameters, rung.tokens) for rung in effects.rungs]
    last = sizes.index(max(sizes))
    rung, rest = effects.rungs[last], effects.without(last)
    if len(rest.rungs) < FEWEST_VALUES:
        return None
    lacking = bool(missing(rest.rungs, rung.parameters, rung.tokens))
    mixture = mix(fitted(rest, effects.places[[last]]), even=lacking)
    mean = float(mixture.mean[0])
    variance = float(mixture.covariance[0, 0] + effects.covariance[last, last])
    low, high = interval(mean, variance, student_t_quantile((1 + LEVEL) / 2, effects.df))
    return HeldOut(rung, mean, low, high, rung.value - mean)


def fitted(effects: Effects, asked: Array) -> list[Fit]:
    """The laws at `asked`, logarithms of (parameters, tokens)."""
    centre = effects.places.mean(axis=0)
    return fit_laws(effects.places - centre, effects.values, effects.covariance, asked - centre)


def interval(mean: float, variance: float, reach: float) -> tuple[float, float]:
    half = reach * math.sqrt(max(variance, 0.0))
    return float(mean - half), float(mean + half)
