"""A metric as a function of techniques and size inside one family, with intervals and scores (docs/prediction.md).

The surface is a stack of Gaussian processes (`stacking.MODELS`), weighted by how they predict left-out configurations.
Beyond what was measured the additive one predicts alone.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitskip.analysis.factorial import Family
from bitskip.analysis.levels import INDEX, SIZES, Levels
from bitskip.analysis.metrics import Metric
from bitskip.analysis.seed_noise import SeedNoise, seed_noise
from bitskip.errors import UserError
from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.predict.cross_validation import Scores, ceiling, mean_error, r_squared, rank_correlation, skill_over
from bitskip.predict.dataset import tupled
from bitskip.predict.features import Array, Encoding, encode
from bitskip.predict.gaussian_process import Blocks, fit_process, process_from
from bitskip.predict.jackknife import (
    Residuals,
    coverage,
    half_width,
    inner_blocks,
    jackknife_plus,
    joined,
    last_blocks,
    pair_blocks,
    prefix_blocks,
    scaled,
    stretched,
    widened,
)
from bitskip.predict.stacking import MODELS, Stack, left_out_residuals, optimism, stacking_weights

FEWEST_CONFIGURATIONS = 3
FEWEST_FOR_INTERACTIONS = 12

GAP_SHARE = 0.2
"""Of the distance between two levels, what a smooth curve through them may miss in between. Levels that lie between
others and are left out say whether the curve is smooth."""


@dataclass(frozen=True)
class Seeds:
    """What the seeds say. `shift_sd` is the standard deviation of what a new seed does to all cells at once, beyond the
    mean of the seeds that were run; None where one seed was run.
    """

    count: int
    sd: float | None
    shift_sd: float | None
    shift_df: int = 0


@dataclass(frozen=True)
class HalfWidths:
    """90 % half-widths beside which the interval inside what was measured may be narrow; None where nothing tells.

    `new_pair` is of two levels never run together, `outside` of a level beyond the last one, with the additive model.
    `between` is of a value between measured ones in units of `gap_scale`.
    """

    new_pair: float | None
    between: float | None
    outside: float | None


@dataclass(frozen=True)
class Surface:
    """The fitted model of one family.

    `trials` are each configuration's finished trials without the shifts of shared seeds, on the metric's additive
    scale. `blocks` are left out together. `known_optimism` is None in a new fit: it is found when asked for.
    """

    levels: tuple[Levels, ...]
    trials: tuple[Array, ...]
    blocks: tuple[tuple[int, ...], ...]
    encoding: Encoding
    model: Stack
    scores: Scores
    seeds: Seeds
    halves: HalfWidths
    known_optimism: float | None
    baseline: Levels

    @property
    def values(self) -> Array:
        """Means over the trials of each configuration."""
        return self.model.processes[0].values

    @property
    def additive(self) -> Stack:
        """Single effects alone."""
        return Stack(self.model.processes[:1], (1.0,))

    @functools.cached_property
    def doubtful(self) -> Stack:
        """The stack with some weight on every model: what a contrast may be, rather than what is expected."""
        floored = [weight + 0.1 for weight in self.model.weights]
        return Stack(self.model.processes, tuple(weight / math.fsum(floored) for weight in floored))

    @property
    def kind(self) -> str:
        """The model in words: what it is stacked from."""
        parts = [
            f"{weight:.0%} {name}" for name, weight in zip(MODELS, self.model.weights, strict=False) if weight > 0.005
        ]
        few = f" (fewer than {FEWEST_FOR_INTERACTIONS} configurations)"
        alone = few if len(self.levels) < FEWEST_FOR_INTERACTIONS else " (no two techniques vary)"
        return " + ".join(parts) if len(self.model.processes) > 1 else f"additive{alone}"

    def mean(self, levels: Levels, model: Stack | None = None) -> float:
        """Expected value on the additive scale."""
        return self.means([levels], model)[0]

    def means(self, cells: Sequence[Levels], model: Stack | None = None) -> list[float]:
        """Expected values on the additive scale."""
        found: list[float] = (model or self.model).predict(self.encoding.inputs(cells)).tolist()
        return found

    def contrast(self, weights: Mapping[Levels, float], model: Stack) -> tuple[float, float]:
        """(mean, posterior standard deviation) of a weighted sum of cells."""
        return model.contrast(self.encoding.inputs(list(weights)), np.array(list(weights.values())))

    @functools.cached_property
    def expected(self) -> Array:
        """Each configuration as predicted without its block."""
        found = np.empty(len(self.levels))
        for block in self.blocks:
            found[list(block)] = self.values[list(block)] - self.model.residuals(block)
        return found

    @functools.cached_property
    def residuals(self) -> Residuals:
        """Of every configuration, left out with its block."""
        return _residuals(self.model, self.trials, self.blocks)

    @functools.cached_property
    def optimism(self) -> float:
        """By what factor residuals of left-out configurations are too small."""
        prices = [price for _, price in MODELS.values()][: len(self.model.processes)]
        return self.known_optimism or optimism(self.model, prices, self.blocks)

    @functools.cached_property
    def honest(self) -> Residuals:
        """The residuals as they would be had hyper-parameters and weights been chosen without the block."""
        return stretched(self.residuals, self.optimism)

    def interval(self, levels: Levels, *, trial: bool) -> tuple[float, float]:
        """90 % interval of a configuration that was not run: of one new seed, or of the mean over the seeds run."""
        middle = self.mean(levels)
        without = self.model.predict_without(self.encoding.inputs([levels]), self.blocks)[0][self.honest.block]
        found = jackknife_plus(without, self.honest, middle, trial=trial)
        return self.of_new_seed(found, middle) if trial else found

    def between(self, around: Sequence[tuple[Levels, Levels]]) -> float:
        """90 % half-width of a value that lies between these pairs of measured cells; several add in squares."""
        ends = [self.means(list(cells)) for cells in zip(*around, strict=True)]
        scale = gap_scale(half_width(self.residuals), np.array(ends[0]) - np.array(ends[1]))
        return float(np.sqrt(np.sum(scale**2))) * max(1.0, self.halves.between or 1.0)

    def of_new_seed(self, interval: tuple[float, float], middle: float) -> tuple[float, float]:
        """An interval widened by what leaving configurations out can't show: the shifts that all of them share."""
        if not self.seeds.shift_sd:
            return interval
        df = max(len(self.blocks) - 1, 1)
        return widened(interval, middle, df, self.seeds.shift_sd, self.seeds.shift_df)

    def plain(self) -> dict[str, Any]:
        """Everything that takes time to find, JSON-ready; `surface_from` rebuilds the rest."""
        return {
            "levels": self.levels,
            "trials": [own.tolist() for own in self.trials],
            "precision": self.model.processes[0].precision.tolist(),
            "layers": self.encoding.layers,
            "processes": [each.plain() for each in self.model.processes],
            "weights": self.model.weights,
            "scores": asdict(self.scores),
            "seeds": asdict(self.seeds),
            "halves": asdict(self.halves),
            "optimism": self.optimism,
            "baseline": self.baseline,
        }


def surface_from(plain: Mapping[str, Any]) -> Surface:
    """Inverse of `Surface.plain`. Raises KeyError, TypeError or ValueError if the data is something else."""
    levels = tuple(map(tupled, plain["levels"]))
    trials = tuple(np.array(own, dtype=float) for own in plain["trials"])
    encoding = encode(levels, int(plain["layers"]))
    fitted_to = encoding.inputs(levels), _means(trials), np.array(plain["precision"], dtype=float)
    kernels = [kernel for kernel, _ in MODELS.values()]
    processes = zip(plain["processes"], kernels, strict=False)
    return Surface(
        levels=levels,
        trials=trials,
        blocks=tuple(map(tuple, prefix_blocks(levels))),
        encoding=encoding,
        model=Stack(
            tuple(process_from(own, kernel, *fitted_to) for own, kernel in processes),
            tuple(float(weight) for weight in plain["weights"]),
        ),
        scores=Scores(**plain["scores"]),
        seeds=Seeds(**plain["seeds"]),
        halves=HalfWidths(**plain["halves"]),
        known_optimism=float(plain["optimism"]),
        baseline=tupled(plain["baseline"]),
    )


def fit_surface(family: Family, metric: Metric) -> Surface:
    """Fit the additive model and, with enough configurations, all others; weigh them by left-out configurations.

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
    inputs, values = encoding.inputs(data.levels), _means(data.trials)
    blocks = tuple(map(tuple, prefix_blocks(data.levels)))
    several = count >= FEWEST_FOR_INTERACTIONS and len(inputs) > 1
    chosen = list(MODELS.values())[: None if several else 1]
    processes = tuple(fit_process(kernel, inputs, values, data.precision) for kernel, _ in chosen)
    left_out = [left_out_residuals(each, blocks) for each in processes]
    weights = stacking_weights(left_out, [price for _, price in chosen])
    model = Stack(processes, tuple(weights.tolist()))
    baseline = family.strata[0].baseline
    inside = _residuals(model, data.trials, blocks)
    left_out_whole = {
        "new_pair": (model, pair_blocks(data.levels, baseline)),
        "outside": (Stack(processes[:1], (1.0,)), last_blocks(data.levels)),
    }
    apart = {
        tier: _residuals(own, data.trials, whole) if whole else None for tier, (own, whole) in left_out_whole.items()
    }
    inner, around = inner_blocks(data.levels)
    apart["between"] = None
    if inner:
        ends = [model.predict(encoding.inputs(list(cells))) for cells in zip(*itertools.chain(*around), strict=True)]
        scale = gap_scale(half_width(inside), ends[0] - ends[1])
        apart["between"] = scaled(_residuals(model, data.trials, inner), scale)
    return Surface(
        levels=data.levels,
        trials=data.trials,
        blocks=blocks,
        encoding=encoding,
        model=model,
        scores=_scores(
            data,
            inside,
            weights @ np.array(left_out),
            left_out[0],
            apart,
            stacked=several,
            logarithmic=metric.logarithmic,
        ),
        seeds=data.seeds,
        halves=HalfWidths(
            **{tier: half_width(own, few=tier != "between") if own else None for tier, own in apart.items()}
        ),
        known_optimism=None,
        baseline=baseline,
    )


def gap_scale(inside: float, gap: Array) -> Array:
    """How far a value between two measured ones may be missed: as one that was run, and by a part of their distance."""
    found: Array = np.hypot(inside, GAP_SHARE * gap) + 1e-12
    return found


def _residuals(model: Stack, trials: Sequence[Array], blocks: Blocks) -> Residuals:
    values = model.processes[0].values
    return joined(blocks, trials, [values[list(block)] - model.residuals(block) for block in blocks])


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
                variance = noise.own_variance if noise.by_technique else noise.of(own)[0]
                variances.append((variance or 0.0) / len(values))
    count = max(map(len, trials), default=0)
    return _Data(
        levels=tuple(levels),
        trials=tuple(trials),
        precision=np.array(precision),
        noise=np.array(variances) if variances and len(variances) == len(levels) else None,
        seeds=_seeds([noise for noise in noises if noise.variance is not None], count),
    )


def _seeds(known: Sequence[SeedNoise], count: int) -> Seeds:
    """Pooled over strata by degrees of freedom."""
    if not known:
        return Seeds(count, None, None)
    variance = sum((noise.variance or 0.0) * noise.df for noise in known) / sum(noise.df for noise in known)
    # A seed may shift all sizes alike: several strata do not know its shifts better than one.
    shift_df = max(noise.shift_df for noise in known)
    if not shift_df:
        return Seeds(count, math.sqrt(variance), None)
    shift = sum(noise.shift_variance * noise.shift_df for noise in known) / sum(noise.shift_df for noise in known)
    # What a new seed does to the techniques is no more seen by leaving configurations out than its common shift.
    favour = max(max((noise.variance or 0.0) - (noise.own_variance or 0.0), 0.0) for noise in known)
    return Seeds(count, math.sqrt(variance), math.sqrt((shift + favour) * (1 + 1 / count)), shift_df)


def _scores(
    data: _Data,
    residuals: Residuals,
    left_out: Array,
    additive: Array,
    apart: Mapping[str, Residuals | None],
    *,
    stacked: bool,
    logarithmic: bool,
) -> Scores:
    groups = [(own[INDEX["bits"]][0] < UNQUANTIZED_BITS, *(own[INDEX[size]] for size in SIZES)) for own in data.levels]
    values = _means(data.trials)
    value, low, high = skill_over(left_out, additive) if stacked else (None, None, None)
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
        rank_correlation=rank_correlation(values - left_out, values),
        coverage=coverage(residuals),
        **{f"coverage_{tier}": coverage(own) if own else None for tier, own in apart.items()},
    )
