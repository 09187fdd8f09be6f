"""Predict a metric for any configuration, with what it rests on (docs/prediction.md).

Asks are made in axes; what is not named is taken from the measured baseline and listed as assumed. Importing this
module and predicting from a finished fit needs numpy and plain data only.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.analysis.factorial import Family, Stratum, families
from bitskip.analysis.failure_rates import Risk
from bitskip.analysis.levels import FACTORS, INDEX, Levels, cell_label, level_label, with_level, without_techniques
from bitskip.analysis.metrics import Metric, metric_named
from bitskip.analysis.regime import Regime, regime_of
from bitskip.errors import UserError
from bitskip.predict.completion import complete
from bitskip.predict.cross_validation import NOISE_LIMITED
from bitskip.predict.dataset import Measurements, measure, tupled
from bitskip.predict.extrapolation import Extrapolation, outside_of
from bitskip.predict.failure_model import FailureModel, fit_failures
from bitskip.predict.jackknife import NOMINAL_COVERAGE
from bitskip.predict.prediction import ModelSummary, Neighbour, Prediction, Term
from bitskip.predict.response_surface import Surface, fit_surface, surface_from
from bitskip.predict.waterfall import start_of, waterfall
from bitskip.trial.config import AXES, TrialConfig

if TYPE_CHECKING:
    from bitskip.store.tables import Results

__all__ = ["Prediction", "Predictor", "Term", "fit_predictor"]

NEAREST = 5
SHOWN_SCALES = 3


class Predictor:
    """Fitted surfaces by family and exit layer, each fitted when it is first asked for."""

    def __init__(self, measured: Measurements):
        self.measured = measured
        self.metric: Metric = replace(metric_named(measured.metric), read=operator.itemgetter("value"))
        self.strata: tuple[Stratum, ...] = measured.strata
        self.families: list[Family] = families(measured.strata)
        self._surfaces: dict[tuple[int, tuple[int, int] | None], Surface] = {}
        self._failures: dict[int, FailureModel] = {}
        if not self.strata:
            had = ", ".join(f"{n} {status}" for status, n in sorted(measured.statuses.items()))
            raise UserError(f"no finished trials in the results ({had or 'they are empty'}): run `bitskip sweep` first")

    @property
    def model(self) -> ModelSummary:
        """The model of the largest family at the full depth."""
        return summary_of(self.surface(self.families[0]), self.families[0])

    def surface(self, family: Family, exit_of: tuple[int, int] | None = None) -> Surface:
        """The fitted surface of a family: of the full model, or of an exit (layer, depth of the model).

        The same exit of a deeper model is another share of it: only strata of that depth are used. Raises UserError if
        too few configurations were measured.
        """
        key = (self.families.index(family), exit_of)
        if key not in self._surfaces:
            if exit_of is not None:
                layer, depth = exit_of
                alike = [stratum for stratum in family.strata if _depth(stratum) == depth]
                if not alike:
                    raise UserError(f"exit_layer: no model of {depth} layers was measured")
                family = Family(tuple(self.measured.at_exit(stratum, layer) for stratum in alike))
            self._surfaces[key] = fit_surface(family, self.metric)
        return self._surfaces[key]

    def failures(self, family: Family, pooled: Risk | None = None) -> FailureModel:
        """The fitted risk of failing in a family; `pooled` is known from an earlier fit."""
        key = self.families.index(family)
        if key not in self._failures:
            self._failures[key] = fit_failures(family.cells, _depth(family.strata[0]), pooled)
        return self._failures[key]

    def plain(self) -> dict[str, Any]:
        """All that was fitted so far, JSON-ready; `restore` is the inverse."""
        return {
            "surfaces": [[list(key), surface.plain()] for key, surface in self._surfaces.items()],
            "failures": [[key, list(model.pooled)] for key, model in self._failures.items()],
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take over what `plain` holds. Raises KeyError, TypeError or ValueError if it is something else."""
        for key, surface in plain["surfaces"]:
            self._surfaces[tupled(key)] = surface_from(surface)
        for index, pooled in plain["failures"]:
            self.failures(self.families[index], Risk(*pooled))

    @property
    def fitted(self) -> int:
        """How many fits there are; a larger number than before means that there is something to keep."""
        return len(self._surfaces) + len(self._failures)

    def predict(self, *, exit_layer: int | None = None, **axes: Any) -> Prediction:
        """The metric at a configuration given by axes; None counts as not named.

        Raises UserError for an unknown axis, an impossible combination, an exit the model does not have, or too few
        measured configurations.
        """
        asked = complete(self.families, axes)
        family, stratum, levels = asked.family, asked.stratum, asked.levels
        depth = asked.trial.model.layers
        layer = depth if exit_layer is None else exit_layer
        if not 1 <= layer <= depth:
            raise UserError(f"exit_layer: {layer} is not one of 1…{depth}, the exits of {stratum.label}")
        surface = self.surface(family, None if layer == depth else (layer, depth))
        beyond = outside_of(levels, family, surface, asked.elsewhere)
        # Beyond the measured levels no interaction is known.
        model = surface.additive if beyond.tier == "outside" else surface.model
        mean = surface.mean(levels, model)
        low, high = _interval(surface, levels, mean, beyond, trial=True)
        mean_low, mean_high = _interval(surface, levels, mean, beyond, trial=False)
        baseline, mains, compositions = waterfall(surface, levels, model)
        gain, measured = self._speed_gain(stratum, layer, depth)
        risk = self.failures(family).risk(levels)
        show = self.metric.show
        return Prediction(
            metric=self.measured.metric,
            mean=show(mean),
            low=show(low),
            high=show(high),
            level=NOMINAL_COVERAGE,
            mean_low=show(mean_low),
            mean_high=show(mean_high),
            exit_layer=layer,
            speed_gain=gain,
            speed_gain_trials=measured,
            divergence_risk=risk.probability,
            divergence_risk_low=risk.low,
            divergence_risk_high=risk.high,
            additive_mean=show(surface.mean(levels, surface.additive)),
            trial=asked.trial,
            assumed=tuple(name for name in AXES if name not in asked.named and name != "seed"),
            baseline={
                "configuration": _baseline_label(surface.baseline),
                "mean": show(baseline.value),
                "low": show(baseline.low),
                "high": show(baseline.high),
                "value": baseline.value,
            },
            main_effects=mains,
            composition_effects=compositions,
            nearest=self._nearest(family, surface, levels),
            extrapolation=beyond.reasons,
            tier=beyond.tier,
            notes=self._notes(stratum, surface, asked.named),
            model=summary_of(surface, family, beyond),
            scale=self._regime(stratum, asked.trial),
        )

    def _regime(self, stratum: Stratum, trial: TrialConfig) -> Regime:
        """Of the configuration asked for; a search tells of the size and budget at which it was run."""
        known = next(regime for own, regime in zip(self.strata, self.measured.regimes, strict=True) if own is stratum)
        asked = regime_of(trial)
        here = (asked.parameters, asked.tokens) == (known.parameters, known.tokens)
        return regime_of(trial, known.rate) if here else asked

    def _notes(self, stratum: Stratum, surface: Surface, named: Mapping[str, Any]) -> tuple[str, ...]:
        notes = []
        if len(self.strata) > 1 and not named.keys() & stratum.scale.keys():
            rest = [each for each in self.strata if each is not stratum]
            others = "; ".join(f"{each.label} ({each.finished} trials)" for each in rest[:SHOWN_SCALES])
            others += f"; and {len(rest) - SHOWN_SCALES} more" if len(rest) > SHOWN_SCALES else ""
            notes.append(
                f"{len(self.strata)} scales were measured; taken is the one with most trials, {stratum.label} "
                f"({stratum.finished}). Others: {others}. Choose with --model, --tokens or --set"
            )
        if surface.seeds.count < 2 and stratum.trained:
            notes.append("one seed only: the intervals know nothing of how far a seed shifts all configurations")
        return (*notes, *self.measured.problems)

    def _speed_gain(self, stratum: Stratum, layer: int, depth: int) -> tuple[float | None, int]:
        """(median, trials) of the measured gain: exits cost the same time in every cell."""
        if layer == depth:
            return 0.0, 0
        gains = self.measured.speed_gains(stratum, layer)
        if not gains or _depth(stratum) != depth:
            return None, 0
        return float(np.median(gains)), len(gains)

    def _nearest(self, family: Family, surface: Surface, levels: Levels) -> tuple[Neighbour, ...]:
        """Measured configurations that differ in fewest techniques, then least in what was measured of them."""
        expected = surface.mean(levels)
        start = start_of(surface, levels)
        ids = {
            cell.levels: tuple(str(row["trial_id"]) for row in cell.rows if row["status"] == "ok")
            for cell in family.cells
        }

        def differing(own: Levels) -> list[str]:
            together = zip(FACTORS, own, levels, strict=True)
            return [level_label(factor, level) for factor, level, asked in together if level != asked]

        ranked = sorted(
            zip(surface.levels, surface.values.tolist(), surface.trials, strict=True),
            key=lambda each: (len(differing(each[0])), abs(each[1] - expected), repr(each[0])),
        )
        return tuple(
            Neighbour(cell_label(own, start), tuple(differing(own)), self.metric.show(value), len(trials), ids[own])
            for own, value, trials in ranked[:NEAREST]
        )


def fit_predictor(results: Results, metric: str | None = None, *, include_artefacts: bool = False) -> Predictor:
    """A predictor over all finished trials. Raises UserError if there are none, or for an unknown metric.

    Without `metric` it is perplexity, or what another trainer measured.
    """
    return Predictor(measure(results, metric, include_artefacts=include_artefacts))


def _depth(stratum: Stratum) -> int:
    return int(stratum.scale["model.layers"])


def _baseline_label(baseline: Levels) -> str:
    off = without_techniques(baseline)
    return "every technique off" if baseline == off else cell_label(baseline, off)


def _interval(
    surface: Surface, levels: Levels, mean: float, beyond: Extrapolation, *, trial: bool
) -> tuple[float, float]:
    """90 % interval; what an unseen pair, an unseen value and an untried technique may do is added in squares."""
    low, high = surface.interval(levels, trial=trial)
    if beyond.tier == "interior":
        return low, high
    halves = surface.halves
    inside = (high - low) / 2
    pair = halves.new_pair or inside
    squares = beyond.new_pairs * pair**2 + (surface.between(beyond.around) ** 2 if beyond.around else 0.0)
    if beyond.tier == "outside":
        squares += (halves.outside or pair) ** 2 + _untried(surface, levels, beyond) ** 2
    half = math.sqrt(squares)
    if trial:
        half = mean - surface.of_new_seed((mean - half, mean + half), mean)[0]
    return min(low, mean - half), max(high, mean + half)


def _untried(surface: Surface, levels: Levels, beyond: Extrapolation) -> float:
    """The largest effect of a technique in a pair that was never tried although one is made for the other: it may undo
    or double what the other does.
    """
    start = start_of(surface, levels)
    alone = [
        with_level(start, factor, levels[INDEX[factor]]) for factor in dict.fromkeys(itertools.chain(*beyond.untried))
    ]
    return max((abs(surface.mean(own) - surface.mean(start)) for own in alone), default=0.0)


def summary_of(surface: Surface, family: Family, beyond: Extrapolation | None = None) -> ModelSummary:
    """The model card: what it rests on and how it did on left-out configurations."""
    scores = surface.scores
    outside = beyond is not None and beyond.tier == "outside"
    verdicts = []
    if scores.skill_low is not None and scores.skill_low <= 0:
        verdicts.append("additive suffices: interactions do not predict better on this grid, beyond chance")
    error, noise = scores.loco_mae_percent, scores.noise_percent
    if error is not None and noise is not None and error <= NOISE_LIMITED * noise:
        verdicts.append("noise-limited: the error is that of the seeds; more seeds would tell more than another model")
    return ModelSummary(
        **asdict(scores),
        kind="additive (outside the measured space)" if outside else surface.kind,
        trials=sum(len(own) for own in surface.trials),
        configurations=len(surface.levels),
        scale=family.label,
        seeds=surface.seeds.count,
        seed_sd=surface.seeds.sd,
        verdicts=tuple(verdicts),
    )
