"""The risk that a trial stalls or diverges: a hurdle before the metric, never averaged into it (docs/effects.md).

Failures are rare and have another cause than a slightly worse loss, so they get a model of their own: logistic
regression on main and pair contrasts with a normal prior (ridge), shrinking pairs twice as much, and half a failure and
half a success of prior weight spread over all trials (Firth's correction for the intercept alone). Errors and timeouts
of the machine say nothing about the method and do not count.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bitskip.analysis.factorial import Cell, Stratum
from bitskip.analysis.levels import TECHNIQUES, Levels, level_label
from bitskip.predict.features import Array, Codes, Encoding, encode
from bitskip.store.schema import NO_LOSS, Status

NORMAL_95 = 1.6448536269514722
"""95 % quantile of the standard normal: two-sided 90 % intervals."""

PAIR_WEIGHT = 0.5**0.5


class Risk(NamedTuple):
    """Probability of failing, with its 90 % interval."""

    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class FailureModel:
    """Fitted risk. `weights` and `covariance` are None without failures or successes: then the pooled rate stands."""

    pooled: Risk
    encoding: Encoding
    weights: Array | None
    covariance: Array | None

    def risk(self, levels: Levels) -> Risk:
        if self.weights is None or self.covariance is None:
            return self.pooled
        row = _design(self.encoding.codes([levels]))[0]
        logit = float(row @ self.weights)
        half = NORMAL_95 * math.sqrt(float(row @ self.covariance @ row))
        return Risk(*(_logistic(value) for value in (logit, logit - half, logit + half)))


def jeffreys(failures: float, trials: float) -> Risk:
    """A rate and its 90 % interval from Beta(failures + 1/2, successes + 1/2); the rate is the posterior mean."""
    from scipy.special import betaincinv

    first, second = failures + 0.5, trials - failures + 0.5
    low = 0.0 if failures == 0 else float(betaincinv(first, second, 0.05))
    high = 1.0 if failures == trials else float(betaincinv(first, second, 0.95))
    return Risk(first / (first + second), low, high)


def counts(cells: Sequence[Cell]) -> tuple[Array, Array]:
    """(failures, failures and successes) of each cell."""
    failed = np.array([cell.count(*NO_LOSS) for cell in cells], dtype=float)
    return failed, failed + np.array([cell.count(Status.OK) for cell in cells], dtype=float)


def fit_failures(cells: Sequence[Cell], layers: int, pooled: Risk | None = None) -> FailureModel:
    """Fit the risk to all cells that were tried; `pooled` spares computing a known rate again."""
    encoding = encode([cell.levels for cell in cells], layers)
    failed, trials = counts(cells)
    rate = pooled or jeffreys(float(failed.sum()), float(trials.sum()))
    if failed.sum() == 0 or failed.sum() == trials.sum() or not encoding.factors:
        return FailureModel(rate, encoding, None, None)
    design = _design(encoding.codes([cell.levels for cell in cells]))
    prior = trials / trials.sum()
    weights, covariance = _logistic_ridge(design, failed + prior / 2, trials + prior)
    return FailureModel(rate, encoding, weights, covariance)


def _design(codes: Codes) -> Array:
    blocks = list(codes.values())
    count = len(blocks[0])
    pairs = [
        PAIR_WEIGHT * (first[:, :, None] * second[:, None, :]).reshape(count, -1)
        for first, second in itertools.combinations(blocks, 2)
    ]
    return np.hstack([np.ones((count, 1)), *blocks, *pairs])


def _logistic_ridge(design: Array, failed: Array, trials: Array) -> tuple[Array, Array]:
    """(weights, posterior covariance) by Newton's method; every column but the first has a standard normal prior."""
    penalty = np.eye(design.shape[1])
    penalty[0, 0] = 1e-6
    weights = np.zeros(design.shape[1])
    weights[0] = math.log(failed.sum() / (trials.sum() - failed.sum()))

    def loss(candidate: Array) -> float:
        logits = design @ candidate
        value = trials @ np.logaddexp(0.0, logits) - failed @ logits
        return float(value + candidate @ penalty @ candidate / 2)

    current = loss(weights)
    covariance = np.linalg.inv(penalty)
    for _ in range(50):
        rate = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (failed - trials * rate) - penalty @ weights
        covariance = np.linalg.inv(design.T @ (design * (trials * rate * (1 - rate))[:, None]) + penalty)
        step = covariance @ slope
        while (following := loss(weights + step)) > current and np.abs(step).max() > 1e-10:
            step /= 2
        weights, gained, current = weights + step, current - following, following
        if gained < 1e-10:
            break
    return np.asarray(weights, dtype=np.float64), np.asarray(covariance, dtype=np.float64)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


@dataclass(frozen=True)
class FailureComposition:
    """Failure rates without, with either and with both techniques, and the excess over independent risks (Bliss).

    Rates pool all cells of the stratum with these techniques, 90 % intervals are Jeffreys'. The excess is
    p_AB - (1 - (1 - p_A)(1 - p_B)); above 0, together they fail more often than two independent causes would.
    """

    techniques: tuple[str, str]
    first: Risk
    second: Risk
    both: Risk
    excess: float
    trials: int


def failure_compositions(stratum: Stratum) -> list[FailureComposition]:
    """For every pair of levels off the baseline that was run together, where any of the three has failed."""
    found = []
    for (i, factor), (j, other) in itertools.combinations(enumerate(TECHNIQUES), 2):
        pairs = {(cell.levels[i], cell.levels[j]) for cell in stratum.cells}
        for level, partner in sorted(pairs, key=repr):
            base, reference = stratum.baseline[i], stratum.baseline[j]
            if level == base or partner == reference:
                continue
            groups = [
                counts([cell for cell in stratum.cells if (cell.levels[i], cell.levels[j]) == wanted])
                for wanted in ((level, reference), (base, partner), (level, partner))
            ]
            totals = [(float(failed.sum()), float(trials.sum())) for failed, trials in groups]
            if not any(failed for failed, _ in totals) or not all(trials for _, trials in totals):
                continue
            first, second, both = (jeffreys(*total) for total in totals)
            shares = [failed / trials for failed, trials in totals]
            excess = shares[2] - (1 - (1 - shares[0]) * (1 - shares[1]))
            names = (level_label(factor, level), level_label(other, partner))
            found.append(FailureComposition(names, first, second, both, excess, int(totals[2][1])))
    return found
