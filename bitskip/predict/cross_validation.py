"""How good a fit is on configurations it has not seen, beside what could be reached (docs/prediction.md, Scores)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.predict.features import Array

RESAMPLES = 2000
NOISE_LIMITED = 1.5
"""Mean error over noise floor below which more seeds would tell more than another model."""


@dataclass(frozen=True)
class Scores:
    """Leave-one-configuration-out quality; None where it is undefined.

    `r2_ceiling` is what a perfect model would reach against noisy means, 1 - mean(noise variance) / variance. `within`
    is R^2 around the means of unquantized and quantized cells of each size. `skill` is 1 - SSE / SSE(additive) with a
    95 % bootstrap interval. `noise_percent` is the error that a perfect model would show. `coverage` is the share of
    trials inside the 90 % intervals of left-out configurations; the others are the same for pairs of levels, for levels
    between others, and for last levels that are left out whole.
    """

    loco_r2: float | None
    r2_ceiling: float | None
    within_r2: float | None
    within_ceiling: float | None
    additive_r2: float | None
    additive_mae_percent: float | None
    skill: float | None
    skill_low: float | None
    skill_high: float | None
    loco_mae_percent: float | None
    noise_percent: float | None
    rank_correlation: float | None
    coverage: float | None
    coverage_new_pair: float | None
    coverage_between: float | None
    coverage_outside: float | None


Groups = Sequence[object] | None
"""Of each value, the group whose mean is known; None for the mean of all."""


def r_squared(values: Array, residuals: Array, groups: Groups = None) -> float | None:
    """1 - SSE / SST around the mean, or around the mean of each group; None if nothing varies."""
    return _explained(values, float(residuals @ residuals), groups)


def ceiling(values: Array, noise: Array | None, groups: Groups = None) -> float | None:
    """R^2 of a perfect model against means with these noise variances."""
    found = None if noise is None else _explained(values, float(noise.sum()), groups)
    return None if found is None else max(0.0, found)


def _explained(values: Array, unexplained: float, groups: Groups) -> float | None:
    members: dict[object, list[float]] = {}
    for group, value in zip(groups or [None] * len(values), values.tolist(), strict=True):
        members.setdefault(group, []).append(value)
    total = math.fsum((value - sum(own) / len(own)) ** 2 for own in members.values() for value in own)
    return 1 - unexplained / total if total > 1e-18 * max(1.0, float(values @ values)) else None


def mean_error(residuals: Array, values: Array, logarithmic: bool) -> float | None:
    """Mean |error| in percent: of the shown metric where the scale is its logarithm, of the typical value otherwise."""
    if logarithmic:
        return 100 * float(np.mean(np.expm1(np.abs(residuals))))
    typical = float(np.mean(np.abs(values)))
    return 100 * float(np.mean(np.abs(residuals))) / typical if typical else None


def rank_correlation(first: Array, second: Array) -> float | None:
    """Spearman's rho, ties at their mean rank."""
    ranks = [_ranks(first), _ranks(second)]
    if min(float(np.ptp(each)) for each in ranks) == 0:
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def skill_over(residuals: Array, reference: Array) -> tuple[float, float, float]:
    """S = 1 - SSE / SSE(reference) with a 95 % bootstrap interval over configurations.

    Zeros if the reference leaves nothing to gain.
    """
    own, other = residuals**2, reference**2
    if other.sum() < 1e-18:
        return 0.0, 0.0, 0.0
    # A fixed seed: the same results give the same model.
    drawn = np.random.default_rng(0).integers(len(own), size=(RESAMPLES, len(own)))
    sums = other[drawn].sum(axis=1)
    resampled = 1 - own[drawn].sum(axis=1) / np.where(sums > 0, sums, np.inf)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return 1 - float(own.sum() / other.sum()), float(low), float(high)
