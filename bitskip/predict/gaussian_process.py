"""A Gaussian process over cells, with exact predictions from all others (docs/prediction.md, Model).

Hyper-parameters are those of largest posterior density. With G^-1 the inverse of the covariance with its noise and
alpha = G^-1 z, the prediction is k' alpha, the residual of a block B that is left out is r_B = (G^-1_BB)^-1 alpha_B,
and a prediction without B is k' alpha - k' G^-1_.B r_B (Rasmussen and Williams 2006, section 5.4.2), at these
hyper-parameters.

A warped process models z = (e^(w y) - 1) / w: one number more than the process itself (Tukey's single degree of freedom
for non-additivity). Where effects multiply an excess over a floor, w < 0 makes them add up; where the worst technique
dominates or effects saturate, w > 0. Noise is that of y.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitskip.predict.features import Array, Inputs
from bitskip.predict.kernels import PRIORS, Kernel, Pairwise, covariance

WARP_PRIOR, STRONGEST_WARP = 0.7, 1.5
"""Standard deviation around 0 and bound of w, for y of unit variance."""

STEPS, STEPS_NEAR = 60, 15
MOST_SOUGHT = 160
"""Configurations that hyper-parameters are sought on: of more, an even part. Each step inverts their covariance."""

Blocks = Sequence[Sequence[int]]


@dataclass(frozen=True)
class GaussianProcess:
    """A process fitted to configurations, in units of their values; inside, these are standardised.

    `parameters` are logarithms of the kernel's hyper-parameters, `precision` how many trials each value is worth.
    """

    kernel: Kernel
    parameters: Array
    warp: float
    inputs: Sequence[Inputs]
    values: Array
    precision: Array

    @functools.cached_property
    def centre(self) -> float:
        return float(self.values.mean())

    @functools.cached_property
    def spread(self) -> float:
        return spread_of(self.values)

    @functools.cached_property
    def _standard(self) -> Array:
        standard: Array = (self.values - self.centre) / self.spread
        return standard

    @functools.cached_property
    def _inverse(self) -> Array:
        # Found at first use: not every process is asked.
        found = covariance(self.kernel, self.parameters, Pairwise(self.inputs, self.inputs))
        return inverse_of(found + np.diag(_noise(self.parameters[0], self.warp, self._standard, self.precision)))

    @functools.cached_property
    def _weights(self) -> Array:
        weights: Array = self._inverse @ warped(self.warp, self._standard)
        return weights

    def _natural(self, latent: Array) -> Array:
        """Of predictions of z, in units of the values; beyond the values seen the transform goes on as a line."""
        if self.warp == 0:
            return self.centre + self.spread * latent
        low, high = float(self._standard.min()), float(self._standard.max())
        ends = warped(self.warp, np.array([low, high]))
        inside = np.log1p(self.warp * np.clip(latent, *ends)) / self.warp
        below, above = np.minimum(latent - ends[0], 0.0), np.maximum(latent - ends[1], 0.0)
        found: Array = inside + below * np.exp(-self.warp * low) + above * np.exp(-self.warp * high)
        return self.centre + self.spread * found

    def _prior(self, inputs: Sequence[Inputs]) -> Array:
        return covariance(self.kernel, self.parameters, Pairwise(inputs, self.inputs))

    def predict(self, inputs: Sequence[Inputs]) -> Array:
        """Expected values of cells."""
        return self._natural(self._prior(inputs) @ self._weights)

    def _missed(self, block: Sequence[int]) -> Array:
        """z minus its prediction for configurations that are left out together."""
        index = np.asarray(block)
        missed: Array = np.linalg.solve(self._inverse[np.ix_(index, index)], self._weights[index])
        return missed

    def residuals(self, block: Sequence[int]) -> Array:
        """Value minus prediction for configurations that are left out together."""
        index = np.asarray(block)
        latent = warped(self.warp, self._standard[index]) - self._missed(block)
        missed: Array = self.values[index] - self._natural(latent)
        return missed

    def predict_without(self, inputs: Sequence[Inputs], blocks: Blocks) -> Array:
        """Predictions of cells without each block in turn, [cells, blocks]."""
        prior = self._prior(inputs)
        reach = prior @ self._inverse
        changes = np.array([reach[:, list(block)] @ self._missed(block) for block in blocks]).T
        return self._natural((prior @ self._weights)[:, None] - changes)

    def contrast(self, inputs: Sequence[Inputs], weights: Array) -> tuple[float, float]:
        """(mean, standard deviation) of sum(weights * surface) over cells; the latter to first order of the warp."""
        expected = self.predict(inputs)
        slope = np.exp(-self.warp * (expected - self.centre) / self.spread) * weights
        reach = slope @ self._prior(inputs)
        prior = float(slope @ covariance(self.kernel, self.parameters, Pairwise(inputs, inputs)) @ slope)
        variance = max(prior - float(reach @ self._inverse @ reach), 0.0)
        return float(weights @ expected), self.spread * float(np.sqrt(variance))

    def refitted(self, rows: npt.NDArray[np.intp]) -> GaussianProcess:
        """The process fitted anew to these configurations alone."""
        part = [each.rows(rows) for each in self.inputs]
        return fit_process(self.kernel, part, self.values[rows], self.precision[rows], near=self)

    def plain(self) -> dict[str, Any]:
        """What a search finds, JSON-ready; `process_from` is the inverse."""
        return {"parameters": self.parameters.tolist(), "warp": self.warp}


def process_from(
    plain: Mapping[str, Any], kernel: Kernel, inputs: Sequence[Inputs], values: Array, precision: Array
) -> GaussianProcess:
    """The process of `GaussianProcess.plain`. Raises KeyError, TypeError or ValueError if it is something else."""
    parameters = np.array(plain["parameters"], dtype=float)
    if parameters.shape != (sum(kernel.sizes(inputs).values()),):
        raise ValueError("other hyper-parameters than the kernel's")
    return GaussianProcess(kernel, parameters, float(plain["warp"]), inputs, values, precision)


def spread_of(values: Array) -> float:
    """Standard deviation, or 1 where nothing varies."""
    deviation = float(values.std())
    return deviation if deviation > 1e-12 * max(1.0, abs(float(values.mean()))) else 1.0


def inverse_of(matrix: Array) -> Array:
    inverse = np.linalg.inv(matrix)
    symmetric: Array = (inverse + inverse.T) / 2
    return symmetric


def warped(warp: float, values: Array) -> Array:
    """z = (e^(w y) - 1) / w; y itself without a warp."""
    found: Array = values if warp == 0 else np.expm1(warp * values) / warp
    return found


def _warp_slope(warp: float, values: Array) -> Array:
    """dz / dw."""
    if abs(warp) < 1e-4:
        return values**2 / 2 + warp * values**3 / 3
    slope: Array = (warp * values * np.exp(warp * values) - np.expm1(warp * values)) / warp**2
    return slope


def _noise(log_variance: float, warp: float, values: Array, precision: Array) -> Array:
    """Variance of each z, where that of y is the same for all trials: the transform's slope is e^(w y)."""
    variances: Array = np.exp(log_variance + 2 * warp * values) / precision
    return variances


class Search:
    """Minus the log posterior density of hyper-parameters, with its gradient; the warp comes last, where there is one.

    `values` are standardised.
    """

    def __init__(self, kernel: Kernel, inputs: Sequence[Inputs], values: Array, precision: Array):
        self.kernel, self.values, self.precision = kernel, values, precision
        self.pairwise = Pairwise(inputs, inputs)
        rows = [PRIORS[name] for name, count in kernel.sizes(inputs).items() for _ in range(count)]
        median, self.above, widening = np.array(rows).T
        self.start = np.log(median)
        self.below = self.above * widening
        self.bounds = [(start - 9.0, start + 7.0) for start in self.start]
        if kernel.warped:
            self.start, self.above, self.below = (
                np.append(each, last)
                for each, last in ((self.start, 0.0), (self.above, WARP_PRIOR), (self.below, WARP_PRIOR))
            )
            self.bounds.append((-STRONGEST_WARP, STRONGEST_WARP))

    def __call__(self, point: Array) -> tuple[float, Array]:
        warp = float(point[-1]) if self.kernel.warped else 0.0
        target = warped(warp, self.values)
        slopes: list[Array] = []
        matrix = covariance(self.kernel, point, self.pairwise, slopes)
        noise = _noise(point[0], warp, self.values, self.precision)
        matrix = matrix + np.diag(noise)
        inverse = inverse_of(matrix)
        weights = inverse @ target
        sign, log_determinant = np.linalg.slogdet(matrix)
        if sign <= 0:
            return np.inf, np.zeros(len(point))
        # Of the determinant and of the exponent, by every element of the matrix.
        outer = (inverse - np.outer(weights, weights)) / 2
        value = (float(target @ weights) + float(log_determinant)) / 2
        gradient = [float(np.diag(outer) @ noise), *(float(np.vdot(outer, slope)) for slope in slopes)]
        if self.kernel.warped:
            # A density of z is one of y by way of the transform's slope.
            value -= warp * float(self.values.sum())
            of_target = float(weights @ _warp_slope(warp, self.values)) - float(self.values.sum())
            gradient.append(of_target + 2 * float(np.diag(outer) @ (noise * self.values)))
        away = (point - self.start) / np.where(point < self.start, self.below, self.above)
        slope = away / np.where(point < self.start, self.below, self.above)
        return value + float(away @ away) / 2, np.array(gradient) + slope


def fit_process(
    kernel: Kernel,
    inputs: Sequence[Inputs],
    values: Array,
    precision: Array,
    near: GaussianProcess | None = None,
) -> GaussianProcess:
    """The process whose hyper-parameters have the largest posterior density, from one start.

    The search starts at the prior's medians; from another process that was fitted to nearly the same it is short.
    """
    from scipy.optimize import minimize

    standard = (values - values.mean()) / spread_of(values)
    seen = np.arange(len(values))
    if len(seen) > MOST_SOUGHT:
        seen = np.sort(np.random.default_rng(0).permutation(len(values))[:MOST_SOUGHT])
    part = [each.rows(seen) for each in inputs]
    search = Search(kernel, part, standard[seen], precision[seen])
    start, steps = search.start, STEPS
    if near:
        start, steps = np.append(near.parameters, [near.warp] * kernel.warped), STEPS_NEAR
    found = minimize(search, start, jac=True, method="L-BFGS-B", bounds=search.bounds, options={"maxiter": steps}).x
    warp = float(found[-1]) if kernel.warped else 0.0
    return GaussianProcess(kernel, found[: len(found) - kernel.warped], warp, inputs, values, precision)
