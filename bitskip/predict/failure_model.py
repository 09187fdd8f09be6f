"""The risk that a trial stalls or diverges: a hurdle before the metric, never averaged into it (docs/prediction.md).

Failures are rare and have another cause than a slightly worse loss, so they get a model of their own: logistic
regression on main and pair contrasts with a normal prior (ridge), shrinking pairs twice as much, and half a failure and
half a success of prior weight spread over all trials (Firth's correction for the intercept alone).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.design_matrix import pair_products
from bitskip.analysis.factorial import Cell
from bitskip.analysis.failure_rates import Risk, jeffreys, tried
from bitskip.analysis.levels import Levels
from bitskip.analysis.student_t import NORMAL_95
from bitskip.predict.features import Array, Codes, Encoding, encode

PAIR_WEIGHT = 0.5**0.5


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


def fit_failures(cells: Sequence[Cell], layers: int, pooled: Risk | None = None) -> FailureModel:
    """Fit the risk to all cells that were tried; `pooled` spares computing a known rate again."""
    encoding = encode([cell.levels for cell in cells], layers)
    failed, trials = np.array([tried([cell]) for cell in cells], dtype=float).T
    rate = pooled or jeffreys(float(failed.sum()), float(trials.sum()))
    if failed.sum() == 0 or failed.sum() == trials.sum() or not encoding.factors:
        return FailureModel(rate, encoding, None, None)
    design = _design(encoding.codes([cell.levels for cell in cells]))
    prior = trials / trials.sum()
    weights, covariance = _logistic_ridge(design, failed + prior / 2, trials + prior)
    return FailureModel(rate, encoding, weights, covariance)


def _design(codes: Codes) -> Array:
    blocks = list(codes.values())
    pairs = [PAIR_WEIGHT * block for block in pair_products(blocks)]
    return np.hstack([np.ones((len(blocks[0]), 1)), *blocks, *pairs])


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
