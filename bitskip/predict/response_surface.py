"""A metric as a function of techniques and size inside one family, with intervals and scores (docs/effects.md, Model).

The model is a graded ridge. Its interactions are used where they predict left-out configurations better than single
effects do, beyond chance; otherwise the additive model predicts, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitskip.analysis.factorial import Family
from bitskip.analysis.levels import INDEX, SIZES, Levels
from bitskip.analysis.metrics import Metric
from bitskip.analysis.seed_noise import SeedNoise, seed_noise
from bitskip.analysis.student_t import student_t_quantile
from bitskip.errors import UserError
from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.predict.cross_validation import (
    Scores,
    ceiling,
    mean_error,
    permutations,
    r_squared,
    rank_correlation,
    skill_over,
)
from bitskip.predict.dataset import tupled
from bitskip.predict.features import Array, Encoding, encode
from bitskip.predict.jackknife import (
    NOMINAL_COVERAGE,
    Residuals,
    coverage,
    jackknife_plus,
    pair_blocks,
    pair_half_width,
    student_half,
    widened,
)
from bitskip.predict.kernel_ridge import ADDITIVE_GRID, GradedRidge, fit_graded, ridge_from

FEWEST_CONFIGURATIONS = 3
FEWEST_FOR_INTERACTIONS = 12


@dataclass(frozen=True)
class Seeds:
    """What the seeds say. `shift_half` is the 90 % half-width of what a new seed does to all cells at once."""

    count: int
    sd: float | None
    shift_half: float | None


@dataclass(frozen=True)
class Surface:
    """The fitted model of one family.

    `trials` are each configuration's finished trials without the shifts of shared seeds, on the metric's additive
    scale. `interacting` is None where interactions were not fitted. `pair_half` is the half-width for a pair of levels
    never run together.
    """

    levels: tuple[Levels, ...]
    trials: tuple[Array, ...]
    encoding: Encoding
    additive: GradedRidge
    interacting: GradedRidge | None
    scores: Scores
    seeds: Seeds
    pair_half: float | None
    baseline: Levels

    @property
    def values(self) -> Array:
        """Means over the trials of each configuration."""
        return self.additive.values

    @property
    def model(self) -> GradedRidge:
        """The one that predicts."""
        return self.interacting if self.composes and self.interacting is not None else self.additive

    @property
    def composes(self) -> bool:
        """Whether interactions predict left-out configurations better than single effects, beyond chance."""
        return self.scores.skill_low is not None and self.scores.skill_low > 0

    @property
    def kind(self) -> str:
        """The model in words, with the reason where it is additive."""
        skill = self.scores.skill
        if self.composes:
            return "graded ridge"
        if skill is not None:
            return f"additive (interactions do not predict left-out configurations better: skill {skill:+.2f})"
        few = f"fewer than {FEWEST_FOR_INTERACTIONS} configurations"
        return f"additive ({few if len(self.encoding.factors) > 1 else 'no two techniques vary'})"

    def mean(self, levels: Levels, model: GradedRidge | None = None) -> float:
        """Expected value on the additive scale."""
        return self.means([levels], model)[0]

    def means(self, cells: Sequence[Levels], model: GradedRidge | None = None) -> list[float]:
        """Expected values on the additive scale."""
        found: list[float] = (model or self.model).predict(self.encoding.codes(cells)).tolist()
        return found

    def contrast(self, weights: Mapping[Levels, float], model: GradedRidge | None = None) -> tuple[float, float]:
        """(mean, posterior standard deviation) of a weighted sum of cells."""
        return (model or self.model).contrast(self.encoding.codes(list(weights)), np.array(list(weights.values())))

    def residuals(self) -> Residuals:
        """Those of the model that predicts."""
        return Residuals(self.trials, self.values, self.model.left_out)

    def interval(self, levels: Levels, *, trial: bool) -> tuple[float, float]:
        """90 % interval of a configuration that was not run: of one new seed, or of the mean over the seeds run."""
        middle = self.mean(levels)
        without = self.model.predict_left_out(self.encoding.codes([levels]))[0]
        found = jackknife_plus(without, self.residuals(), middle, trial=trial)
        # Leaving configurations out shows no more than the shifts of the seeds that all of them share.
        return widened(found, middle, self.seeds.shift_half or 0.0) if trial else found

    def widest(self) -> float:
        """The largest residual of any trial whose configuration was left out, or the half-width for new pairs."""
        magnitudes, _, weights = self.residuals().of_trials()
        return max(float(magnitudes.max()), self.pair_half or 0.0, student_half(magnitudes, weights, len(self.values)))

    def plain(self) -> dict[str, Any]:
        """Everything that takes time to find, JSON-ready; `surface_from` rebuilds the rest."""
        return {
            "levels": self.levels,
            "trials": [own.tolist() for own in self.trials],
            "precision": self.additive.precision.tolist(),
            "layers": self.encoding.layers,
            "additive": self.additive.plain(),
            "interacting": self.interacting.plain() if self.interacting else None,
            "scores": asdict(self.scores),
            "seeds": asdict(self.seeds),
            "pair_half": self.pair_half,
            "baseline": self.baseline,
        }


def surface_from(plain: Mapping[str, Any]) -> Surface:
    """Inverse of `Surface.plain`. Raises KeyError, TypeError or ValueError if the data is something else."""
    levels = tuple(map(tupled, plain["levels"]))
    trials = tuple(np.array(own, dtype=float) for own in plain["trials"])
    encoding = encode(levels, int(plain["layers"]))
    fitted_to = encoding.codes(levels), _means(trials), np.array(plain["precision"], dtype=float)
    return Surface(
        levels=levels,
        trials=trials,
        encoding=encoding,
        additive=ridge_from(plain["additive"], *fitted_to),
        interacting=ridge_from(plain["interacting"], *fitted_to) if plain["interacting"] else None,
        scores=Scores(**plain["scores"]),
        seeds=Seeds(**plain["seeds"]),
        pair_half=plain["pair_half"],
        baseline=tupled(plain["baseline"]),
    )


def fit_surface(family: Family, metric: Metric) -> Surface:
    """Fit the additive model and, with enough configurations, interactions; choose by left-out configurations.

    Raises UserError with fewer than three configurations that hold a finished trial.
    """
    data = _collect(family, metric)
    count = len(data.levels)
    if count < FEWEST_CONFIGURATIONS:
        raise UserError(
            f"{count} configuration(s) with a finished trial at {family.label}: prediction needs at least "
            f"{FEWEST_CONFIGURATIONS}; run a sweep with more levels"
        )
    encoding = encode(data.levels, int(family.strata[0].scale["model.layers"]))
    codes, values = encoding.codes(data.levels), _means(data.trials)
    additive, _ = fit_graded(codes, values, data.precision, ADDITIVE_GRID)
    interacting, skill, control = None, None, None
    if count >= FEWEST_FOR_INTERACTIONS and len(codes) > 1:
        interacting, shuffled = fit_graded(codes, values, data.precision, shuffled=permutations(values))
        skill = skill_over(interacting.left_out, additive.left_out)
        control = float(np.mean([r_squared(values, own) or 0.0 for own in shuffled]))
    model = interacting if interacting and skill and skill[1] > 0 else additive
    residuals = Residuals(data.trials, values, model.left_out)
    baseline = family.strata[0].baseline
    return Surface(
        levels=data.levels,
        trials=data.trials,
        encoding=encoding,
        additive=additive,
        interacting=interacting,
        scores=_scores(data, residuals, additive.left_out, skill, control, metric.logarithmic),
        seeds=data.seeds,
        pair_half=pair_half_width(model, residuals, pair_blocks(data.levels, baseline)),
        baseline=baseline,
    )


def _means(trials: Sequence[Array]) -> Array:
    return np.array([own.mean() for own in trials])


@dataclass(frozen=True)
class _Data:
    """A family's finished trials by configuration, stratum by stratum without the shifts of its seeds.

    `noise` is the variance of each configuration's mean, None where it is not known of all.
    """

    levels: tuple[Levels, ...]
    trials: tuple[Array, ...]
    precision: Array
    noise: Array | None
    seeds: Seeds


def _collect(family: Family, metric: Metric) -> _Data:
    levels: list[Levels] = []
    trials: list[Array] = []
    precision: list[float] = []
    variances: list[float] = []
    noises: list[SeedNoise] = []
    for stratum in family.strata:
        measured = {cell.levels: values for cell in stratum.cells if (values := cell.values(metric))}
        noise = seed_noise(measured)
        noises.append(noise)
        for own, values in measured.items():
            levels.append(own)
            # A cell that lacks a seed is compared as if it had run them all.
            trials.append(np.array([value - noise.seed_shifts.get(seed, 0.0) for seed, value in values.items()]))
            precision.append(noise.precision(own, len(values)))
            if noise.variance is not None:
                # What a seed does to a technique moves cells and prediction alike: it is no error of the model.
                variance = noise.by_technique.squares[-1] if noise.by_technique else noise.of(own)[0]
                variances.append(variance / len(values))
    count = max(map(len, trials), default=0)
    return _Data(
        levels=tuple(levels),
        trials=tuple(trials),
        precision=np.array(precision),
        noise=np.array(variances) if variances and len(variances) == len(levels) else None,
        seeds=_seeds([noise for noise in noises if noise.variance is not None], count),
    )


def _seeds(known: Sequence[SeedNoise], count: int) -> Seeds:
    """Pooled over strata by degrees of freedom; the shift's half-width is Student's for one more seed."""
    if not known:
        return Seeds(count, None, None)
    variance = sum((noise.variance or 0.0) * noise.df for noise in known) / sum(noise.df for noise in known)
    shift_df = sum(noise.shift_df for noise in known)
    if not shift_df:
        return Seeds(count, math.sqrt(variance), None)

    def half_width(variance: float, df: float) -> float:
        return student_t_quantile((1 + NOMINAL_COVERAGE) / 2, df) * math.sqrt(variance * (1 + 1 / count))

    shift = sum(noise.shift_variance * noise.shift_df for noise in known) / shift_df
    # What a new seed does to the techniques is no more seen by leaving configurations out than its common shift.
    favours = [(max((n.variance or 0.0) - (n.own_variance or 0.0), 0.0), n.by_technique) for n in known]
    favour, favour_df = max(((each, by.dfs[0]) for each, by in favours if by is not None), default=(0.0, 1.0))
    return Seeds(count, math.sqrt(variance), math.hypot(half_width(shift, shift_df), half_width(favour, favour_df)))


def _scores(
    data: _Data,
    residuals: Residuals,
    additive: Array,
    skill: tuple[float, float, float] | None,
    control: float | None,
    logarithmic: bool,
) -> Scores:
    groups = [(own[INDEX["bits"]][0] < UNQUANTIZED_BITS, *(own[INDEX[size]] for size in SIZES)) for own in data.levels]
    values, left_out = residuals.values, residuals.left_out
    value, low, high = skill or (None, None, None)
    # The mean of |x| is 0.8 standard deviations of a normal x.
    floor = None if data.noise is None else np.sqrt(2 / np.pi * data.noise)
    return Scores(
        loco_r2=r_squared(values, left_out),
        r2_ceiling=ceiling(values, data.noise),
        within_r2=r_squared(values, left_out, groups),
        within_ceiling=ceiling(values, data.noise, groups),
        additive_r2=r_squared(values, additive),
        additive_mae_percent=mean_error(additive, values, logarithmic),
        skill=value,
        skill_low=low,
        skill_high=high,
        loco_mae_percent=mean_error(left_out, values, logarithmic),
        noise_percent=None if floor is None else mean_error(floor, values, logarithmic),
        rank_correlation=rank_correlation(residuals.expected, values),
        coverage=coverage(residuals),
        permuted_r2=control,
    )
