"""Predict a metric for any configuration, with what it rests on (docs/effects.md, Prediction).

Asks are made in axes; what is not named is taken from the measured baseline and listed as assumed. Importing this
module and predicting from a finished fit needs numpy and plain data only.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.analysis.factorial import Family, Stratum, families, varying
from bitskip.analysis.failure_rates import FailureModel, Risk, fit_failures
from bitskip.analysis.levels import (
    FACTORS,
    INDEX,
    NEUTRAL,
    SIZES,
    TECHNIQUES,
    Level,
    Levels,
    axes_of,
    cell_label,
    inert,
    level_label,
    levels_of,
    with_level,
)
from bitskip.analysis.metrics import Metric, metric_named
from bitskip.errors import UserError
from bitskip.predict.dataset import Measurements, measure, tupled
from bitskip.predict.extrapolation import Extrapolation, outside_of
from bitskip.predict.jackknife import LEVEL
from bitskip.predict.kernel_ridge import Blend
from bitskip.predict.prediction import ModelSummary, Neighbour, Prediction, Term
from bitskip.predict.response_surface import Surface, fit_surface, surface_from
from bitskip.store.schema import Status
from bitskip.trial.config import AXES, flatten_axes, make_trial

if TYPE_CHECKING:
    from bitskip.store.tables import Results

__all__ = ["Prediction", "Predictor", "Term", "fit_predictor"]

NORMAL_95 = 1.6448536269514722
"""95 % quantile of the standard normal, for two-sided 90 % intervals of the model's own terms."""

NEAREST = 5
SHOWN_SCALES = 3


class Predictor:
    """Fitted surfaces by family and exit layer, each fitted when it is first asked for."""

    def __init__(self, measured: Measurements, metric: str = "ppl"):
        self.metric_name = metric
        self.metric: Metric = metric_named(metric)
        self.measured = measured
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

    def failures(self, family: Family) -> FailureModel:
        """The fitted risk of failing in a family."""
        key = self.families.index(family)
        if key not in self._failures:
            self._failures[key] = fit_failures(family.cells, _depth(family.strata[0]))
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
            family = self.families[index]
            self._failures[index] = fit_failures(family.cells, _depth(family.strata[0]), Risk(*pooled))

    @property
    def fitted(self) -> int:
        """How many fits there are; a larger number than before means that there is something to keep."""
        return len(self._surfaces) + len(self._failures)

    def predict(self, *, exit_layer: int | None = None, **axes: Any) -> Prediction:
        """The metric at a configuration given by axes; None counts as not named.

        Raises UserError for an unknown axis, an impossible combination, an exit the model does not have, or too few
        measured configurations.
        """
        given = flatten_axes({name: value for name, value in axes.items() if value is not None})
        if "seed" in given:
            raise UserError("seed: a prediction is for a new seed; leave it out")
        named = {name: AXES[name].check(value) for name, value in given.items()}
        family, stratum, elsewhere = self._choose(named)
        asked = {**elsewhere, **_complete(family, stratum, named)}
        levels = levels_of(make_trial(**{**stratum.settings(stratum.baseline), **asked}).axes())
        trial = make_trial(**{**stratum.settings(levels), **asked})
        depth = trial.model.layers
        layer = depth if exit_layer is None else exit_layer
        if not 1 <= layer <= depth:
            raise UserError(f"exit_layer: {layer} is not one of 1…{depth}, the exits of {stratum.label}")
        surface = self.surface(family, None if layer == depth else (layer, depth))
        beyond = outside_of(levels, family, surface, elsewhere)
        # Beyond the measured levels no interaction is known: the additive model, widest residual.
        model = surface.additive if beyond.tier == "outside" else surface.model
        mean = surface.mean(levels, model)
        low, high = _interval(surface, levels, mean, beyond, trial=True)
        mean_low, mean_high = _interval(surface, levels, mean, beyond, trial=False)
        baseline, mains, compositions = waterfall(surface, levels, model)
        gain, spread, measured = self._speed_gain(stratum, layer, depth)
        risk = self.failures(family).risk(levels)
        show = self.metric.show
        varied = varying(surface.levels)
        return Prediction(
            metric=self.metric_name,
            mean=show(mean),
            low=show(low),
            high=show(high),
            level=LEVEL,
            mean_low=show(mean_low),
            mean_high=show(mean_high),
            exit_layer=layer,
            speed_gain=gain,
            speed_gain_spread=spread,
            speed_gain_trials=measured,
            divergence_risk=risk.probability,
            divergence_risk_low=risk.low,
            divergence_risk_high=risk.high,
            additive_mean=show(surface.mean(levels, surface.additive)),
            trial=trial,
            assumed=tuple(name for name in AXES if name not in named and name != "seed"),
            assumed_techniques=tuple(
                level_label(factor, level)
                for (factor, members), level in zip(FACTORS.items(), levels, strict=True)
                if factor in varied and not named.keys() & set(members)
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
            nearest=self._nearest(family, surface, levels),
            extrapolation=beyond.reasons,
            tier=beyond.tier,
            notes=self._notes(stratum, surface, named),
            model=summary_of(surface, family, beyond),
        )

    def _choose(self, named: Mapping[str, Any]) -> tuple[Family, Stratum, dict[str, Any]]:
        """The family with most of the scale asked for, its stratum with most of the size, and what neither has."""

        def differing(scale: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in named.items() if name in scale and scale[name] != value}

        family = min(self.families, key=lambda each: len(differing(each.scale)))
        stratum = min(family.strata, key=lambda each: len(differing(each.scale)))
        return family, stratum, differing(family.scale)

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
        if surface.seeds.count < 2:
            notes.append("one seed only: the intervals know nothing of how far a seed shifts all configurations")
        notes += self.measured.problems
        return tuple(notes)

    def _speed_gain(self, stratum: Stratum, layer: int, depth: int) -> tuple[float | None, float | None, int]:
        """(median, distance between quartiles, trials) of the measured gain: exits cost the same time in every cell."""
        if layer == depth:
            return 0.0, 0.0, 0
        known = [row["trial_id"] for cell in stratum.cells for row in cell.rows]
        measured = [self.measured.exits.get(trial_id, {}).get(layer, {}) for trial_id in known]
        gains = [row["speed_gain"] for row in measured if row.get("speed_gain") is not None]
        if not gains or _depth(stratum) != depth:
            return None, None, 0
        low, median, high = np.quantile(gains, [0.25, 0.5, 0.75])
        return float(median), float(high - low), len(gains)

    def _nearest(self, family: Family, surface: Surface, levels: Levels) -> tuple[Neighbour, ...]:
        """Measured configurations that differ in fewest techniques, then least in what was measured of them."""
        expected = surface.mean(levels)
        values = dict(zip(surface.levels, zip(surface.trials, surface.values, strict=True), strict=True))
        ranked = sorted(
            (cell for cell in family.cells if cell.levels in values),
            key=lambda cell: (
                _distance(cell.levels, levels),
                abs(float(values[cell.levels][1]) - expected),
                repr(cell.levels),
            ),
        )
        start = _start(surface, levels)
        return tuple(
            Neighbour(
                configuration=cell_label(cell.levels, start),
                differs=tuple(
                    level_label(factor, own)
                    for factor, own, asked in zip(FACTORS, cell.levels, levels, strict=True)
                    if own != asked
                ),
                mean=self.metric.show(float(values[cell.levels][1])),
                seeds=len(values[cell.levels][0]),
                trial_ids=tuple(str(row["trial_id"]) for row in cell.rows if row["status"] == Status.OK),
            )
            for cell in ranked[:NEAREST]
        )


def fit_predictor(results: Results, metric: str = "ppl", *, include_artefacts: bool = False) -> Predictor:
    """A predictor over all finished trials. Raises UserError if there are none, or for an unknown metric."""
    return Predictor(measure(results, include_artefacts=include_artefacts), metric)


def _depth(stratum: Stratum) -> int:
    return int(stratum.scale["model.layers"])


def _complete(family: Family, stratum: Stratum, named: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every factor's axes: as named, else as measured.

    A technique of which nothing is named is at the baseline. Of one that is named in part, the rest is taken from the
    measured level that agrees best, then from the most frequent one.
    """
    axes = axes_of(stratum.baseline)
    for factor, members in FACTORS.items():
        given = {name: named[name] for name in members if name in named}
        if not given:
            continue
        counts = Counter(cell.levels[INDEX[factor]] for cell in family.cells)
        template = dict(zip(members, _agreeing_level(factor, members, given, counts), strict=True))
        if factor == "bits" and "weights" not in given and template["bits"] != given.get("bits", template["bits"]):
            template.pop("weights")  # a bit width that was not measured implies its own weights
            axes.pop("weights", None)
        axes |= template | given
    return axes


def _agreeing_level(
    factor: str, members: Sequence[str], given: Mapping[str, Any], counts: Mapping[Level, int]
) -> Level:
    """The measured level that shares most values with those given, then is on if they are, then is most frequent."""
    off = NEUTRAL[INDEX[factor]]
    neutral = dict(zip(members, off, strict=True))
    active = any(value != neutral[name] for name, value in given.items())

    def rank(level: Level) -> tuple[int, bool, int, str]:
        own = dict(zip(members, level, strict=True))
        same = sum(own[name] == value for name, value in given.items())
        return same, (level != off) == active, counts[level], repr(level)

    return max(counts, key=rank)


def _baseline_label(baseline: Levels) -> str:
    techniques = len(TECHNIQUES)
    off = (*NEUTRAL[:techniques], *baseline[techniques:])
    return "every technique off" if baseline == off else cell_label(baseline, off)


def _interval(
    surface: Surface, levels: Levels, mean: float, beyond: Extrapolation, *, trial: bool
) -> tuple[float, float]:
    low, high = surface.interval(levels, trial=trial)
    if beyond.tier == "interior":
        return low, high
    half = surface.widest() if beyond.tier == "outside" else surface.pair_half or surface.widest()
    if trial:
        half = float(np.hypot(half, surface.seeds.shift_half or 0.0))
    return min(low, mean - half), max(high, mean + half)


def _start(surface: Surface, levels: Levels) -> Levels:
    """The baseline at the size asked for: sizes are no techniques."""
    start = surface.baseline
    for factor in SIZES:
        start = with_level(start, factor, levels[INDEX[factor]])
    return start


def waterfall(
    surface: Surface, levels: Levels, model: Blend | None = None
) -> tuple[Term, tuple[Term, ...], tuple[Term, ...]]:
    """(baseline, main effects, composition effects) of the model's prediction; they sum to it exactly.

    Möbius terms around the baseline: single techniques, pairs, and one term for whatever three and more do beyond
    these. Techniques that change nothing alone (the phase, without dropout and exit loss) have no main effect. Where
    the additive model predicts, composition effects are zero and their interval is what the blend, if fitted, leaves
    open.
    """
    chosen = model or surface.model
    start = _start(surface, levels)
    moves = {
        factor: level for factor, level, reference in zip(FACTORS, levels, start, strict=True) if level != reference
    }

    def at(*factors: str) -> Levels:
        moved = start
        for factor in factors:
            moved = with_level(moved, factor, moves[factor])
        return inert(moved)

    def term(names: tuple[str, ...], contrast: list[tuple[Levels, float]], source: Blend = chosen) -> Term:
        value, deviation = surface.contrast(contrast, source)
        return Term(names, value, value - NORMAL_95 * deviation, value + NORMAL_95 * deviation)

    def named(*factors: str) -> tuple[str, ...]:
        return tuple(level_label(factor, moves[factor]) for factor in factors)

    base = term(("baseline",), [(start, 1.0)])
    mains = [term(named(factor), [(at(factor), 1.0), (start, -1.0)]) for factor in moves if at(factor) != start]
    compositions = []
    for first, second in itertools.combinations(moves, 2):
        contrast = [(at(first, second), 1.0), (at(first), -1.0), (at(second), -1.0), (start, 1.0)]
        if chosen is not surface.additive or (at(first) == start or at(second) == start):
            compositions.append(term(named(first, second), contrast))
        elif surface.blend is not None:
            open_range = term(named(first, second), contrast, surface.blend)
            bounds = min(0.0, open_range.low), max(0.0, open_range.high)
            compositions.append(Term(named(first, second), 0.0, *bounds))
    if len(moves) > 2 and (chosen is not surface.additive or "phase" in moves):
        # All that is left of the prediction once every single effect and every pair is taken out of it.
        count = len(moves)
        rest = [(at(*moves), 1.0), (start, -1.0 + count - count * (count - 1) / 2)]
        rest += [(at(factor), count - 2.0) for factor in moves]
        rest += [(at(first, second), -1.0) for first, second in itertools.combinations(moves, 2)]
        compositions.append(term(named(*moves), rest))
    return base, tuple(mains), tuple(compositions)


def _distance(first: Levels, second: Levels) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))


def summary_of(surface: Surface, family: Family, beyond: Extrapolation | None = None) -> ModelSummary:
    """The model card: what it rests on and how it did on left-out configurations."""
    scores = surface.scores
    outside = beyond is not None and beyond.tier == "outside" and surface.composes
    verdicts = []
    if scores.additive_suffices:
        verdicts.append("additive suffices: interactions do not predict better on this grid")
    if scores.noise_limited:
        verdicts.append("noise-limited: the error is that of the seeds; more seeds would tell more than another model")
    return ModelSummary(
        kind="additive (outside the measured space)" if outside else surface.kind,
        loco_r2=scores.r2,
        loco_mae_percent=scores.mae_percent,
        coverage=scores.coverage,
        trials=sum(len(own) for own in surface.trials),
        configurations=len(surface.levels),
        scale=family.label,
        r2_ceiling=scores.r2_ceiling,
        within_r2=scores.within_r2,
        within_ceiling=scores.within_ceiling,
        additive_r2=scores.additive_r2,
        additive_mae_percent=scores.additive_mae_percent,
        skill=scores.skill,
        skill_low=scores.skill_low,
        skill_high=scores.skill_high,
        noise_percent=scores.noise_percent,
        rank_correlation=scores.rank_correlation,
        permuted_r2=scores.permuted_r2,
        seeds=surface.seeds.count,
        seed_sd=surface.seeds.sd,
        verdicts=tuple(verdicts),
    )
