"""Predict a metric for any configuration, with what it rests on (EFFECTS 3; DESIGN 6 `predict --json`).

Asks are made in axes; what is not named is taken from the measured baseline and listed as assumed. Importing and using
this module needs numpy and plain data only.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.cells import (
    FACTORS,
    FAILED,
    Level,
    Levels,
    Metric,
    Stratum,
    axes_of,
    cell_label,
    level_label,
    levels_of,
    strata,
    with_level,
)
from bitskip.config import AXES, flatten_axes, make_trial
from bitskip.effects import metric_named
from bitskip.errors import UserError
from bitskip.extrapolation import Extrapolation, outside_of
from bitskip.prediction import ModelSummary, Neighbour, Prediction, Term
from bitskip.ridge import Ridge
from bitskip.surface import Scores, Surface, fit_surface

if TYPE_CHECKING:
    from bitskip.results import Results

__all__ = ["Prediction", "Predictor", "Term", "fit_predictor"]

LEVEL = 0.9
NORMAL_QUANTILE = 1.6448536269514722
"""Of the standard normal, for two-sided 90 % intervals of the model's own terms."""

NEAREST = 5
DISTANCE_DECAY = 0.1
"""Weight of a configuration in the failure rate, per technique in which it differs."""


class Predictor:
    """Fitted surfaces by scale and exit layer, each fitted when it is first asked for."""

    def __init__(self, results: Results, metric: str = "ppl", *, include_artefacts: bool = False):
        self.metric_name = metric
        self.metric: Metric = metric_named(metric)
        self._results = results
        self._include_artefacts = include_artefacts
        self._exits: list[dict[str, Any]] | None = None
        self._surfaces: dict[tuple[str, int | None], Surface] = {}
        found = strata(results, include_artefacts=include_artefacts)
        self.strata: list[Stratum] = [stratum for stratum in found if stratum.finished]
        if not self.strata:
            counts = Counter(row["status"] for row in results.trials.to_pylist())
            had = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
            raise UserError(f"no finished trials in the results ({had or 'they are empty'}): run `bitskip sweep` first")

    @property
    def model(self) -> ModelSummary:
        """The model of the largest stratum's full model."""
        return _summary(self.surface(self.strata[0]), self.strata[0])

    def surface(self, stratum: Stratum, exit_layer: int | None = None) -> Surface:
        """The fitted surface of a stratum at an exit; None is the full model."""
        key = (repr(stratum.scale), exit_layer)
        if key not in self._surfaces:
            at_exit = stratum if exit_layer is None else self._at_exit(stratum, exit_layer)
            self._surfaces[key] = fit_surface(at_exit, self.metric)
        return self._surfaces[key]

    def _at_exit(self, stratum: Stratum, exit_layer: int) -> Stratum:
        found = strata(self._results, exit_layer=exit_layer, include_artefacts=self._include_artefacts)
        return next(each for each in found if each.scale == stratum.scale)

    def predict(self, *, exit_layer: int | None = None, **axes: Any) -> Prediction:
        """The metric at a configuration given by axes; None counts as not named.

        Raises UserError for an unknown axis, an impossible combination, an exit the model does not have, or too few
        measured configurations.
        """
        given = flatten_axes({name: value for name, value in axes.items() if value is not None})
        if "seed" in given:
            raise UserError("seed: a prediction is for a new seed; leave it out")
        named = {name: AXES[name].check(value) for name, value in given.items()}
        stratum, elsewhere = self._choose_stratum(named)
        trial = make_trial(**{**stratum.scale, **elsewhere, **_complete(stratum, named)})
        levels = levels_of(trial.axes())
        depth = int(stratum.scale["model.layers"])
        layer = depth if exit_layer is None else exit_layer
        if not 1 <= layer <= depth:
            raise UserError(f"exit_layer: {layer} is not one of 1…{depth}, the exits of {stratum.label}")
        surface = self.surface(stratum, None if layer == depth else layer)
        beyond = outside_of(levels, stratum, surface, elsewhere)
        # Beyond the measured levels no interaction is known: the additive model, widest residual (EFFECTS 3, gate).
        ridge = surface.additive if beyond.tier == "outside" else surface.ridge
        mean = surface.mean(levels, ridge)
        low, high = _interval(surface, levels, mean, beyond)
        baseline, mains, compositions = waterfall(surface, levels, ridge)
        gain, spread, measured = self._speed_gain(stratum, layer, depth)
        show = self.metric.show
        return Prediction(
            metric=self.metric_name,
            mean=show(mean),
            low=show(low),
            high=show(high),
            level=LEVEL,
            exit_layer=layer,
            speed_gain=gain,
            speed_gain_spread=spread,
            speed_gain_trials=measured,
            divergence_risk=divergence_risk(stratum, levels),
            trial=trial,
            assumed=tuple(name for name in AXES if name not in named and name != "seed"),
            assumed_techniques=tuple(
                level_label(factor, level)
                for (factor, members), level in zip(FACTORS.items(), levels, strict=True)
                if factor in stratum.varying() and not named.keys() & set(members)
            ),
            baseline={
                "configuration": _baseline_label(surface.baseline),
                "mean": show(baseline.value),
                "low": show(baseline.low),
                "high": show(baseline.high),
                "value": baseline.value,
            },
            main_effects=mains,
            composition_effects=compositions,
            nearest=_nearest(surface, levels, self.metric),
            extrapolation=beyond.reasons,
            tier=beyond.tier,
            model=_summary(surface, stratum, beyond),
        )

    def _choose_stratum(self, named: Mapping[str, Any]) -> tuple[Stratum, dict[str, Any]]:
        """The largest stratum with most of the scale that was asked for, and what it has otherwise."""
        wanted = {name: value for name, value in named.items() if name in self.strata[0].scale}

        def differing(stratum: Stratum) -> dict[str, Any]:
            return {name: value for name, value in wanted.items() if stratum.scale[name] != value}

        chosen = min(self.strata, key=lambda stratum: len(differing(stratum)))
        return chosen, differing(chosen)

    def _speed_gain(self, stratum: Stratum, layer: int, depth: int) -> tuple[float | None, float | None, int]:
        """(median, distance between quartiles, trials) of the measured gain: exits cost the same time in every cell."""
        if layer == depth:
            return 0.0, 0.0, 0
        if self._exits is None:
            self._exits = self._results.exits.to_pylist()
        known = {row["trial_id"] for cell in stratum.cells for row in cell.rows}
        gains = [
            row["speed_gain"]
            for row in self._exits
            if row["exit_layer"] == layer and row["trial_id"] in known and row["speed_gain"] is not None
        ]
        if not gains:
            return None, None, 0
        low, median, high = np.quantile(gains, [0.25, 0.5, 0.75])
        return float(median), float(high - low), len(gains)


def fit_predictor(results: Results, metric: str = "ppl", *, include_artefacts: bool = False) -> Predictor:
    """A predictor over all finished trials. Raises UserError if there are none, or for an unknown metric."""
    return Predictor(results, metric, include_artefacts=include_artefacts)


def _complete(stratum: Stratum, named: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every technique's axes: as named, else as measured.

    A technique of which nothing is named is at the baseline. Of one that is named in part, the rest is taken from the
    measured level that agrees best, then from the most frequent one.
    """
    axes = axes_of(stratum.baseline)
    for index, (factor, members) in enumerate(FACTORS.items()):
        given = {name: named[name] for name in members if name in named}
        if not given:
            continue
        counts = Counter(cell.levels[index] for cell in stratum.cells)
        template = dict(zip(members, _agreeing_level(index, members, given, counts), strict=True))
        if factor == "bits" and "weights" not in given and template["bits"] != given["bits"]:
            template.pop("weights")  # a bit width that was not measured implies its own weights
            axes.pop("weights", None)
        axes |= template | given
    return axes


def _agreeing_level(index: int, members: Sequence[str], given: Mapping[str, Any], counts: Mapping[Level, int]) -> Level:
    """The measured level that shares most values with those given, then is on if they are, then is most frequent."""
    off = levels_of({})[index]
    neutral = dict(zip(members, off, strict=True))
    active = any(value != neutral[name] for name, value in given.items())

    def rank(level: Level) -> tuple[int, bool, int, str]:
        own = dict(zip(members, level, strict=True))
        same = sum(own[name] == value for name, value in given.items())
        return same, (level != off) == active, counts[level], repr(level)

    return max(counts, key=rank)


def _baseline_label(baseline: Levels) -> str:
    off = levels_of({})
    return "every technique off" if baseline == off else cell_label(baseline, off)


def _interval(surface: Surface, levels: Levels, mean: float, beyond: Extrapolation) -> tuple[float, float]:
    low, high = surface.interval(levels, LEVEL)
    if beyond.tier == "interior":
        return low, high
    half = surface.widest() if beyond.tier == "outside" else surface.pair_half_width(LEVEL)
    return min(low, mean - half), max(high, mean + half)


def waterfall(
    surface: Surface, levels: Levels, ridge: Ridge | None = None
) -> tuple[Term, tuple[Term, ...], tuple[Term, ...]]:
    """(baseline, main effects, composition effects) of the model's prediction; they sum to it exactly.

    Möbius terms around the baseline (EFFECTS 2.1): the model has no higher order than pairs. Where the additive model
    predicts, composition effects are zero and their interval is what the pairwise model, if fitted, leaves open.
    """
    chosen = ridge or surface.ridge
    start = surface.baseline
    moves = [
        (factor, level) for factor, level, reference in zip(FACTORS, levels, start, strict=True) if level != reference
    ]

    def term(names: tuple[str, ...], contrast: list[tuple[Levels, float]], model: Ridge = chosen) -> Term:
        value = sum(weight * surface.mean(cell, model) for cell, weight in contrast)
        half = NORMAL_QUANTILE * surface.deviation(contrast, model)
        return Term(names, value, value - half, value + half)

    mains = tuple(
        term((level_label(factor, level),), [(with_level(start, factor, level), 1.0), (start, -1.0)])
        for factor, level in moves
    )
    compositions = []
    for (factor_a, level_a), (factor_b, level_b) in itertools.combinations(moves, 2):
        names = (level_label(factor_a, level_a), level_label(factor_b, level_b))
        only_a, only_b = with_level(start, factor_a, level_a), with_level(start, factor_b, level_b)
        both = with_level(only_a, factor_b, level_b)
        contrast = [(both, 1.0), (only_a, -1.0), (only_b, -1.0), (start, 1.0)]
        if chosen is not surface.additive:
            compositions.append(term(names, contrast))
        elif surface.pairwise is not None:
            open_range = term(names, contrast, surface.pairwise)
            bounds = min(0.0, open_range.low), max(0.0, open_range.high)
            compositions.append(Term(names, 0.0, *bounds))
    return term(("baseline",), [(start, 1.0)]), mains, tuple(compositions)


def divergence_risk(stratum: Stratum, levels: Levels) -> float:
    """Rate of stalled and diverged trials at and around a configuration, strictly between 0 and 1.

    Trials count with weight 1/10 per technique in which their configuration differs; one further trial's weight goes to
    the rate of the whole stratum after Jeffreys, (failures + 1/2) / (trials + 1). Errors and timeouts do not count.
    """
    counts = [
        (DISTANCE_DECAY ** _distance(cell.levels, levels), cell.count(*FAILED), cell.count("ok", *FAILED))
        for cell in stratum.cells
    ]
    overall = (sum(failed for _, failed, _ in counts) + 0.5) / (sum(trials for *_, trials in counts) + 1)
    near = sum(weight * failed for weight, failed, _ in counts)
    return (near + overall) / (sum(weight * trials for weight, _, trials in counts) + 1)


def _distance(first: Levels, second: Levels) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))


def _nearest(surface: Surface, levels: Levels, metric: Metric) -> tuple[Neighbour, ...]:
    """Measured configurations that differ in fewest techniques, then least in what the model expects of them."""
    expected = surface.mean(levels)
    ranked = sorted(
        zip(surface.cells, surface.trials, strict=True),
        key=lambda item: (
            _distance(item[0].levels, levels),
            abs(surface.mean(item[0].levels) - expected),
            repr(item[0].levels),
        ),
    )
    return tuple(
        Neighbour(
            configuration=cell_label(cell.levels, surface.baseline),
            differs=tuple(
                level_label(factor, own)
                for factor, own, asked in zip(FACTORS, cell.levels, levels, strict=True)
                if own != asked
            ),
            mean=metric.show(float(np.mean(values))),
            seeds=len(values),
            trial_ids=tuple(row["trial_id"] for row in cell.rows if row["seed"] in cell.values(metric)),
        )
        for cell, values in ranked[:NEAREST]
    )


def _summary(surface: Surface, stratum: Stratum, beyond: Extrapolation | None = None) -> ModelSummary:
    scores: Scores = surface.scores(LEVEL)
    outside = beyond is not None and beyond.tier == "outside" and surface.composes
    return ModelSummary(
        kind="additive (outside the measured space)" if outside else surface.kind,
        loco_r2=scores.r2,
        loco_mae_percent=scores.mae_percent,
        coverage=scores.coverage,
        trials=sum(len(own) for own in surface.trials),
        configurations=len(surface.cells),
        scale=stratum.label,
    )
