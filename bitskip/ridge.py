"""Graded ridge in kernel form with exact leave-one-configuration-out residuals (EFFECTS 3, component A).

The prior covariance of the surface is K = c0 + Z1 Z1'/p1 + rho Z2 Z2'/p2 (up to a variance that cancels out of the
mean), the noise of a configuration's mean over n seeds is lambda/n. With G = K + diag(lambda/n) and alpha = G^-1 y:
the prediction is k' alpha, the residual of configuration i when it is left out is alpha_i / (G^-1)_ii, that of a block
B (G^-1_BB)^-1 alpha_B, and a prediction without i is k' alpha - (k' G^-1 e_i) r_i. All exact at fixed (lambda, rho).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitskip.encoding import Array

INTERCEPT_VARIANCE = 1e4
"""c0: so large that the mean level is free, so small that G stays well conditioned."""

NOISE_GRID = tuple(float(value) for value in np.logspace(-4, 1, 11))
PAIR_GRID = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8)
ADDITIVE_GRID = (0.0,)

NESTED_BELOW = 25
"""With fewer configurations (lambda, rho) are chosen anew for each one left out: fixed ones flatter (EFFECTS 3)."""


def kernel(main_a: Array, pairs_a: Array, main_b: Array, pairs_b: Array, pair_share: float) -> Array:
    """Prior covariance between two sets of cells; `pair_share` is rho."""
    covariance = np.full((len(main_a), len(main_b)), INTERCEPT_VARIANCE)
    if main_a.shape[1]:
        covariance += main_a @ main_b.T / main_a.shape[1]
    if pair_share and pairs_a.shape[1]:
        covariance += pair_share * (pairs_a @ pairs_b.T) / pairs_a.shape[1]
    return covariance


@dataclass(frozen=True)
class Ridge:
    """A fitted surface. Rows of `main` and `pairs` are configurations; `seeds` counts the trials behind each value."""

    main: Array
    pairs: Array
    values: Array
    seeds: Array
    noise: float
    pair_share: float
    inverse: Array
    weights: Array
    left_out: Array

    def covariance(self, main: Array, pairs: Array) -> Array:
        """Prior covariance of new cells with the configurations, [new, configurations]."""
        return kernel(main, pairs, self.main, self.pairs, self.pair_share)

    def predict(self, main: Array, pairs: Array) -> Array:
        predicted: Array = self.covariance(main, pairs) @ self.weights
        return predicted

    def predict_left_out(self, main: Array, pairs: Array) -> Array:
        """Predictions of new cells without each configuration in turn, [new, configurations]."""
        covariance = self.covariance(main, pairs)
        full = covariance @ self.weights
        influence = covariance @ self.inverse
        # A configuration's residual without it undoes what it contributed.
        own: Array = self.weights / np.diag(self.inverse)
        without: Array = full[:, None] - influence * own[None, :]
        return without

    def block_residuals(self, block: Sequence[int]) -> Array:
        """Value minus prediction for configurations that are left out together."""
        index = np.asarray(block)
        residuals: Array = np.linalg.solve(self.inverse[np.ix_(index, index)], self.weights[index])
        return residuals

    def contrast_deviation(self, main: Array, pairs: Array, contrast: Array) -> float:
        """Posterior standard deviation of sum(contrast * surface) over given cells."""
        prior = kernel(main, pairs, main, pairs, self.pair_share)
        reach = contrast @ self.covariance(main, pairs)
        variance = float(contrast @ prior @ contrast - reach @ self.inverse @ reach)
        return float(np.sqrt(max(variance, 0.0) * self.scale))

    @property
    def scale(self) -> float:
        """The variance that multiplies the kernel, at its maximum of the marginal likelihood."""
        centred = self.values - self.values.mean()
        return float(centred @ self.inverse @ centred) / max(len(self.values) - 1, 1)


def fit_at(main: Array, pairs: Array, values: Array, seeds: Array, noise: float, pair_share: float) -> Ridge:
    """The ridge at fixed hyper-parameters."""
    gram = kernel(main, pairs, main, pairs, pair_share) + np.diag(noise / seeds)
    inverse = np.linalg.inv(gram)
    inverse = (inverse + inverse.T) / 2
    weights = inverse @ values
    left_out = weights / np.diag(inverse)
    return Ridge(main, pairs, values, seeds, noise, pair_share, inverse, weights, left_out)


def fit_ridge(main: Array, pairs: Array, values: Array, seeds: Array, pair_grid: Sequence[float]) -> Ridge:
    """The ridge whose leave-one-configuration-out error is smallest on the grid (lambda x rho).

    `left_out` then holds honest residuals: with few configurations the grid is searched anew without each of them.
    `pair_grid` of (0,) gives the additive model.
    """
    candidates = [
        fit_at(main, pairs, values, seeds, noise, share) for share, noise in itertools.product(pair_grid, NOISE_GRID)
    ]
    best = min(candidates, key=lambda ridge: _error(ridge.left_out))
    if not 3 <= len(values) < NESTED_BELOW:
        return best
    return replace(best, left_out=_nested_residuals(candidates))


def _error(residuals: Array) -> float:
    return float(residuals @ residuals)


def _nested_residuals(candidates: Sequence[Ridge]) -> Array:
    """For each configuration, its residual under the hyper-parameters that the others choose among themselves."""
    count = len(candidates[0].values)
    honest = np.empty(count)
    for left in range(count):
        others = np.delete(np.arange(count), left)
        # Downdate: the inverse of G without row and column `left`, and the inner leave-one-out residuals from it.
        errors = []
        for ridge in candidates:
            row = ridge.inverse[others, left]
            pivot = ridge.inverse[left, left]
            diagonal = np.diag(ridge.inverse)[others] - row**2 / pivot
            inner = ridge.weights[others] - row * ridge.weights[left] / pivot
            errors.append(_error(inner / diagonal))
        honest[left] = candidates[int(np.argmin(errors))].left_out[left]
    return honest
