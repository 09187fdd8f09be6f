"""Graded ridge regression over cells, with exact leave-one-configuration-out residuals (docs/effects.md, Model).

The surface has a Gaussian prior with covariance K = c0 + e1/p1 + rho e2/p2 + rho^2 e3/p3. Each factor has a kernel
k_j = Z_j Z_j' over its sum-to-zero contrasts; e_o is their elementary symmetric polynomial of order o (the sum over all
interactions of o factors) and p_o its number of columns: a ridge regression whose penalty grows with the order. rho = 0
is the additive model.

The noise of a configuration's mean is noise / n, where n is how many trials of average noise it is worth. With
G = K + diag(noise / n) and alpha = G^-1 y: the prediction is k' alpha, the residual of configuration i when it is left
out is alpha_i / (G^-1)_ii, that of a block B (G^-1_BB)^-1 alpha_B, and a prediction without i is
k' alpha - (k' G^-1 e_i) r_i (Rasmussen and Williams 2006, section 5.4.2). All exact at fixed hyper-parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitskip.predict.features import Array, Codes

INTERCEPT_VARIANCE = 1e3
"""c0, in units of the variance of y: so large that the mean level is free, so small that G stays well conditioned."""

HIGHEST_ORDER = 3
NOISE_GRID = tuple(float(value) for value in np.logspace(-4, 1, 11))
SHARE_GRID = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8)
ADDITIVE_GRID = (0.0,)

NESTED_BELOW = 25
"""With fewer configurations hyper-parameters are chosen anew for each one left out: fixed ones flatter."""


def symmetric_polynomials(terms: Iterable[Array | float]) -> list[Array | float]:
    """e_1 … e_HIGHEST_ORDER of the terms: the sums of all products of that many different ones."""
    sums: list[Array | float] = [1.0, *[0.0] * HIGHEST_ORDER]
    for term in terms:
        for order in range(HIGHEST_ORDER, 0, -1):
            sums[order] = sums[order] + term * sums[order - 1]
    return sums[1:]


def _covariances(shares: Sequence[float], first: Codes, second: Codes) -> Iterator[Array]:
    """The prior covariance under each share: what takes time does not depend on it."""
    polynomials = symmetric_polynomials(first[name] @ second[name].T for name in first)
    columns = symmetric_polynomials(float(block.shape[1]) for block in first.values())
    shape = (len(next(iter(first.values()))), len(next(iter(second.values()))))
    for share in shares:
        covariance = np.full(shape, INTERCEPT_VARIANCE)
        for order, (polynomial, count) in enumerate(zip(polynomials, columns, strict=True)):
            if count:
                covariance = covariance + share**order / count * polynomial
        yield covariance


def graded_covariance(share: float, first: Codes, second: Codes) -> Array:
    """K between two sets of cells, [first, second]; `share` is rho."""
    (covariance,) = _covariances([share], first, second)
    return covariance


def spread_of(values: Array) -> float:
    """Standard deviation, or 1 where nothing varies."""
    deviation = float(values.std())
    return deviation if deviation > 1e-12 * max(1.0, abs(float(values.mean()))) else 1.0


def _inverse(covariance: Array, noise: float, precision: Array) -> Array:
    inverse = np.linalg.inv(covariance + np.diag(noise / precision))
    symmetric: Array = (inverse + inverse.T) / 2
    return symmetric


@dataclass(frozen=True)
class GradedRidge:
    """A surface fitted to configurations, in units of their values; inside, these are standardised.

    `share` is rho, `precision` how many trials each value is worth. `left_out` are honest residuals, value minus
    prediction without the configuration: with few configurations, hyper-parameters are chosen without it, too.
    """

    share: float
    noise: float
    codes: Codes
    values: Array
    precision: Array
    left_out: Array

    @property
    def centre(self) -> float:
        return float(self.values.mean())

    @functools.cached_property
    def spread(self) -> float:
        return spread_of(self.values)

    @functools.cached_property
    def _inverse(self) -> Array:
        # Found at first use: not every model is asked.
        return _inverse(graded_covariance(self.share, self.codes, self.codes), self.noise, self.precision)

    @functools.cached_property
    def _weights(self) -> Array:
        weights: Array = self._inverse @ ((self.values - self.centre) / self.spread)
        return weights

    @property
    def fixed_residuals(self) -> Array:
        """Residuals of each configuration left out, under the hyper-parameters of all."""
        residuals: Array = self.spread * (self._weights / np.diag(self._inverse))
        return residuals

    def predict(self, codes: Codes) -> Array:
        """Expected values of cells."""
        predicted: Array = self.centre + self.spread * (self._prior(codes) @ self._weights)
        return predicted

    def predict_left_out(self, codes: Codes) -> Array:
        """Predictions of cells without each configuration in turn, [cells, configurations]."""
        without: Array = self.predict(codes)[:, None] - (self._prior(codes) @ self._inverse) * self.fixed_residuals
        return without

    def block_residuals(self, block: Sequence[int]) -> Array:
        """Value minus prediction for configurations that are left out together."""
        index = np.asarray(block)
        residuals: Array = self.spread * np.linalg.solve(self._inverse[np.ix_(index, index)], self._weights[index])
        return residuals

    def contrast(self, codes: Codes, weights: Array) -> tuple[float, float]:
        """(mean, standard deviation) of sum(weights * surface) over cells, under the posterior."""
        reach = weights @ self._prior(codes)
        prior = float(weights @ graded_covariance(self.share, codes, codes) @ weights)
        variance = max(prior - float(reach @ self._inverse @ reach), 0.0)
        # The ridge fixes the ratios of its variances only; their scale is that of largest likelihood.
        standard = (self.values - self.centre) / self.spread
        scale = float(standard @ self._weights) / max(len(standard) - 1, 1)
        mean = self.centre * float(weights.sum()) + self.spread * float(reach @ self._weights)
        return mean, self.spread * float(np.sqrt(variance * scale))

    def _prior(self, codes: Codes) -> Array:
        return graded_covariance(self.share, codes, self.codes)

    def plain(self) -> dict[str, Any]:
        """What a search finds, JSON-ready; `ridge_from` is the inverse."""
        return {"share": self.share, "noise": self.noise, "left_out": self.left_out.tolist()}


def ridge_from(plain: Mapping[str, Any], codes: Codes, values: Array, precision: Array) -> GradedRidge:
    """The ridge of `GradedRidge.plain`. Raises KeyError, TypeError or ValueError if the data is something else."""
    left_out = np.array(plain["left_out"], dtype=float)
    return GradedRidge(float(plain["share"]), float(plain["noise"]), codes, values, precision, left_out)


def fit_graded(
    codes: Codes,
    values: Array,
    precision: Array,
    shares: Sequence[float] = SHARE_GRID,
    shuffled: Iterable[Array] = (),
) -> tuple[GradedRidge, Array]:
    """(the ridge of smallest error on left-out configurations, residuals [targets, configurations] of `shuffled`).

    Noise and share are chosen on a grid. Each row of `shuffled`, the values permuted, gets its own choice from it.
    """
    spread = spread_of(values)
    targets = (np.vstack([values, *shuffled]) - float(values.mean())) / spread
    inverses, residuals = [], []
    nested = 3 <= len(values) < NESTED_BELOW
    for covariance in _covariances(shares, codes, codes):
        for noise in NOISE_GRID:
            inverse = _inverse(covariance, noise, precision)
            residuals.append((targets @ inverse) / np.diag(inverse))
            inverses += [inverse] * nested  # all at once would be large
    by_candidate = np.array(residuals)
    best = np.average(by_candidate**2, axis=2, weights=precision).argmin(axis=0)
    chosen = spread * by_candidate[best, np.arange(len(targets))]
    left_out = spread * _nested_residuals(np.array(inverses), targets[0], precision) if nested else chosen[0]
    share, noise = divmod(int(best[0]), len(NOISE_GRID))
    return GradedRidge(shares[share], NOISE_GRID[noise], codes, values, precision, left_out), chosen[1:]


def _nested_residuals(inverses: Array, values: Array, precision: Array) -> Array:
    """For each configuration, its residual under the candidate (one G^-1 each) that the others choose."""
    weights = inverses @ values
    diagonals = np.diagonal(inverses, axis1=1, axis2=2)
    honest = np.empty(len(values))
    for left in range(len(values)):
        others = np.delete(np.arange(len(values)), left)
        # Downdate: the inverse of G without row and column `left`, and the inner leave-one-out residuals from it.
        row, pivot = inverses[:, others, left], diagonals[:, [left]]
        inner = (weights[:, others] - row * weights[:, [left]] / pivot) / (diagonals[:, others] - row**2 / pivot)
        best = np.average(inner**2, axis=1, weights=precision[others]).argmin()
        honest[left] = weights[best, left] / diagonals[best, left]
    return honest
