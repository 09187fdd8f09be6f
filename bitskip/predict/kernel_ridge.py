"""Linear smoothers of a surface over cells, with exact leave-one-configuration-out residuals (docs/effects.md, Model).

The surface has a Gaussian prior with covariance K, the noise of a configuration's mean over n trials is noise / n. With
G = K + diag(noise / n) and alpha = G^-1 y: the prediction is k' alpha, the residual of configuration i when it is left
out is alpha_i / (G^-1)_ii, that of a block B (G^-1_BB)^-1 alpha_B, and a prediction without i is
k' alpha - (k' G^-1 e_i) r_i (Rasmussen and Williams 2006, section 5.4.2). All exact at fixed hyper-parameters.

Both priors are built from one kernel per factor, k_j = Z_j Z_j', over its sum-to-zero contrasts:

- `Graded`: c0 + e1/p1 + rho e2/p2 + rho^2 e3/p3, with e_o the elementary symmetric polynomial of order o in the k_j
  (the sum over all interactions of o factors) and p_o its number of columns: a ridge regression whose penalty grows
  with the order. rho = 0 is the additive model.
- `Product`: c0 + s^2 (prod_j (1 + theta_j k_j) - 1), the ANOVA kernel (Durrande et al., arXiv 1106.3571): an
  interaction is expected where its factors act alone (heredity).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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


def factor_kernels(first: Codes, second: Codes) -> list[Array]:
    return [first[name] @ second[name].T for name in first]


def symmetric_polynomials(kernels: Iterable[Array | float], highest: int) -> list[Array | float]:
    """e_1 … e_highest of the kernels: the sums of all their products of that many different ones."""
    sums: list[Array | float] = [1.0, *[0.0] * highest]
    for kernel in kernels:
        for order in range(highest, 0, -1):
            sums[order] = sums[order] + kernel * sums[order - 1]
    return sums[1:]


@dataclass(frozen=True)
class Graded:
    """`share` is rho."""

    share: float
    columns: tuple[int, ...]

    def covariance(self, first: Codes, second: Codes) -> Array:
        highest = HIGHEST_ORDER if self.share else 1
        return self.mix(symmetric_polynomials(factor_kernels(first, second), highest), _shape(first, second))

    def mix(self, polynomials: Sequence[Array | float], shape: tuple[int, int]) -> Array:
        counts = symmetric_polynomials([float(count) for count in self.columns], len(polynomials))
        covariance = np.full(shape, INTERCEPT_VARIANCE)
        for order, (polynomial, count) in enumerate(zip(polynomials, counts, strict=True)):
            if count:
                covariance = covariance + self.share**order / count * polynomial
        return covariance


@dataclass(frozen=True)
class Product:
    """`weights` are theta by factor, `scale` is s^2."""

    weights: tuple[float, ...]
    scale: float

    def covariance(self, first: Codes, second: Codes) -> Array:
        product = np.ones(_shape(first, second))
        for weight, kernel in zip(self.weights, factor_kernels(first, second), strict=True):
            product *= 1 + weight * kernel
        return INTERCEPT_VARIANCE + self.scale * (product - 1)


def _shape(first: Codes, second: Codes) -> tuple[int, int]:
    return len(next(iter(first.values()))), len(next(iter(second.values())))


Prior = Graded | Product


@dataclass(frozen=True)
class Smoother:
    """A prior fitted to configurations. `values` has mean 0 and variance 1; `trials` is how many each is worth."""

    prior: Prior
    noise: float
    codes: Codes
    values: Array
    trials: Array

    @functools.cached_property
    def inverse(self) -> Array:
        """Of the covariance of the values, their noise included; found at first use, for not every model is asked."""
        return _inverse(self.prior.covariance(self.codes, self.codes), self.noise, self.trials)

    @functools.cached_property
    def weights(self) -> Array:
        found: Array = self.inverse @ self.values
        return found

    @property
    def left_out(self) -> Array:
        residuals: Array = self.weights / np.diag(self.inverse)
        return residuals

    def predict(self, codes: Codes) -> Array:
        predicted: Array = self.prior.covariance(codes, self.codes) @ self.weights
        return predicted

    def predict_left_out(self, codes: Codes) -> Array:
        """Predictions of new cells without each configuration in turn, [new, configurations]."""
        covariance = self.prior.covariance(codes, self.codes)
        without: Array = (covariance @ self.weights)[:, None] - (covariance @ self.inverse) * self.left_out
        return without

    def block_residuals(self, block: Sequence[int]) -> Array:
        """Value minus prediction for configurations that are left out together."""
        index = np.asarray(block)
        residuals: Array = np.linalg.solve(self.inverse[np.ix_(index, index)], self.weights[index])
        return residuals

    def contrast(self, codes: Codes, weights: Array) -> tuple[float, float]:
        """(mean, variance) of sum(weights * surface) over given cells, under the posterior."""
        reach = weights @ self.prior.covariance(codes, self.codes)
        prior = float(weights @ self.prior.covariance(codes, codes) @ weights)
        variance = max(prior - float(reach @ self.inverse @ reach), 0.0)
        # A graded ridge fixes the ratios of its variances only; their scale is that of largest likelihood.
        scale = 1.0
        if isinstance(self.prior, Graded):
            scale = float(self.values @ self.weights) / max(len(self.values) - 1, 1)
        return float(reach @ self.weights), variance * scale


def smooth(prior: Prior, noise: float, codes: Codes, values: Array, trials: Array) -> Smoother:
    """The smoother at fixed hyper-parameters."""
    return Smoother(prior, noise, codes, values, trials)


def _inverse(covariance: Array, noise: float, trials: Array) -> Array:
    inverse = np.linalg.inv(covariance + np.diag(noise / trials))
    symmetric: Array = (inverse + inverse.T) / 2
    return symmetric


@dataclass(frozen=True)
class GradedSearch:
    """The graded ridge of smallest left-out error, its honest residuals, and those of further targets treated alike."""

    smoother: Smoother
    left_out: Array
    others: Array


def fit_graded(
    codes: Codes, values: Array, trials: Array, shares: Sequence[float] = SHARE_GRID, others: Array | None = None
) -> GradedSearch:
    """Choose (noise, rho) on a grid by the error on left-out configurations.

    `left_out` holds honest residuals: with few configurations the choice is made anew without each of them. `others`
    ([targets, configurations], such as permuted values) get their own choices from the same grid.
    """
    targets = values[None, :] if others is None else np.vstack([values[None, :], others])
    columns = tuple(block.shape[1] for block in codes.values())
    polynomials = symmetric_polynomials(factor_kernels(codes, codes), HIGHEST_ORDER)
    shape = (len(values), len(values))
    nested = 3 <= len(values) < NESTED_BELOW
    best = np.full(len(targets), np.inf)
    chosen = np.empty_like(targets)
    best_prior, best_noise = Graded(shares[0], columns), NOISE_GRID[0]
    candidates = []
    for share, noise in itertools.product(shares, NOISE_GRID):
        prior = Graded(share, columns)
        inverse = _inverse(prior.mix(polynomials[: HIGHEST_ORDER if share else 1], shape), noise, trials)
        residuals = (targets @ inverse) / np.diag(inverse)
        errors = np.average(residuals**2, axis=1, weights=trials)
        better = errors < best
        best[better], chosen[better] = errors[better], residuals[better]
        if better[0]:
            best_prior, best_noise = prior, noise
        if nested:
            candidates.append((inverse, inverse @ values))
    smoother = smooth(best_prior, best_noise, codes, values, trials)
    honest = _nested_residuals(candidates, trials) if nested else chosen[0]
    return GradedSearch(smoother, honest, chosen[1:])


def _nested_residuals(candidates: Sequence[tuple[Array, Array]], trials: Array) -> Array:
    """For each configuration, its residual under the hyper-parameters that the others choose among themselves."""
    count = len(trials)
    honest = np.empty(count)
    for left in range(count):
        others = np.delete(np.arange(count), left)
        # Downdate: the inverse of G without row and column `left`, and the inner leave-one-out residuals from it.
        errors = []
        for inverse, weights in candidates:
            row, pivot = inverse[others, left], inverse[left, left]
            inner = (weights[others] - row * weights[left] / pivot) / (np.diag(inverse)[others] - row**2 / pivot)
            errors.append(float(np.average(inner**2, weights=trials[others])))
        inverse, weights = candidates[int(np.argmin(errors))]
        honest[left] = weights[left] / inverse[left, left]
    return honest


PRIOR_MEANS = {"weight": -2.0, "scale": 0.0, "noise": -5.0}
"""Of log theta, log s^2 and log noise, in units of the variance of y; each has standard deviation 2."""

PRIOR_DEVIATION = 2.0
BOUNDS = {"weight": (-7.0, 3.0), "scale": (-5.0, 4.0), "noise": (-10.0, 0.0)}


def fit_product(codes: Codes, values: Array, trials: Array) -> tuple[Smoother, Array]:
    """The ANOVA kernel at its most probable hyper-parameters, and residuals of left-out configurations.

    L-BFGS on the log marginal likelihood plus normal log priors; `values` must have variance 1. With few configurations
    the hyper-parameters are sought anew without each one.
    """
    kernels = factor_kernels(codes, codes)
    start = np.array([PRIOR_MEANS[kind] for kind in _kinds(len(kernels))])
    found = _most_probable(kernels, values, trials, start)
    smoother = smooth(*_hyper(found), codes, values, trials)
    left_out = smoother.left_out.copy()
    if 3 <= len(values) < NESTED_BELOW:
        for left in range(len(values)):
            keep = np.delete(np.arange(len(values)), left)
            without = [kernel[np.ix_(keep, keep)] for kernel in kernels]
            prior, noise = _hyper(_most_probable(without, values[keep], trials[keep], found))
            left_out[left] = smooth(prior, noise, codes, values, trials).left_out[left]
    return smoother, left_out


def _kinds(factors: int) -> list[str]:
    return ["weight"] * factors + ["scale", "noise"]


def _hyper(logs: Array) -> tuple[Product, float]:
    *weights, scale, noise = (math.exp(value) for value in logs)
    return Product(tuple(weights), scale), noise


def _most_probable(kernels: Sequence[Array], values: Array, trials: Array, start: Array) -> Array:
    from scipy.optimize import minimize

    kinds = _kinds(len(kernels))
    means = np.array([PRIOR_MEANS[kind] for kind in kinds])

    def objective(logs: Array) -> tuple[float, Array]:
        *weights, scale, noise = np.exp(logs)
        factors = [1 + weight * kernel for weight, kernel in zip(weights, kernels, strict=True)]
        # Products of all factors but one, from both ends: a factor may be zero.
        before = list(itertools.accumulate(factors[:-1], np.multiply, initial=np.ones_like(kernels[0])))
        after = list(itertools.accumulate(factors[:0:-1], np.multiply, initial=np.ones_like(kernels[0])))[::-1]
        shape = before[-1] * factors[-1] - 1
        gram = INTERCEPT_VARIANCE + scale * shape + np.diag(noise / trials)
        sign, log_determinant = np.linalg.slogdet(gram)
        inverse = np.linalg.inv(gram)
        alpha = inverse @ values
        excess = (logs - means) / PRIOR_DEVIATION
        value = 0.5 * float(values @ alpha) + 0.5 * float(log_determinant) + 0.5 * float(excess @ excess)
        slope = 0.5 * (inverse - np.outer(alpha, alpha))
        gradient = [
            scale * weight * float(np.sum(slope * kernel * left * right))
            for weight, kernel, left, right in zip(weights, kernels, before, after, strict=True)
        ]
        gradient += [scale * float(np.sum(slope * shape)), noise * float(np.diag(slope) @ (1 / trials))]
        if sign <= 0 or not math.isfinite(value):
            return 1e10, np.zeros_like(logs)
        return value, np.array(gradient) + excess / PRIOR_DEVIATION

    bounds = [BOUNDS[kind] for kind in kinds]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
    best: Array = found.x
    return best


@dataclass(frozen=True)
class Blend:
    """The mean of several smoothers, itself linear in the values. `left_out` are honest residuals."""

    parts: tuple[Smoother, ...]
    left_out: Array

    def predict(self, codes: Codes) -> Array:
        predicted: Array = np.mean([part.predict(codes) for part in self.parts], axis=0)
        return predicted

    def predict_left_out(self, codes: Codes) -> Array:
        predicted: Array = np.mean([part.predict_left_out(codes) for part in self.parts], axis=0)
        return predicted

    def block_residuals(self, block: Sequence[int]) -> Array:
        residuals: Array = np.mean([part.block_residuals(block) for part in self.parts], axis=0)
        return residuals

    def contrast(self, codes: Codes, weights: Array) -> tuple[float, float]:
        """(mean, standard deviation) of a contrast under the mixture of the parts' posteriors."""
        found = np.array([part.contrast(codes, weights) for part in self.parts])
        return float(found[:, 0].mean()), float(np.sqrt(found[:, 1].mean() + found[:, 0].var()))


def plain_smoother(smoother: Smoother) -> Mapping[str, object]:
    """The hyper-parameters as JSON-ready data; `smoother_from` rebuilds the rest."""
    prior = smoother.prior
    kind: dict[str, object] = {"share": prior.share} if isinstance(prior, Graded) else {"weights": list(prior.weights)}
    return kind | ({"scale": prior.scale} if isinstance(prior, Product) else {}) | {"noise": smoother.noise}


def smoother_from(plain: Mapping[str, object], codes: Codes, values: Array, trials: Array) -> Smoother:
    """Inverse of `plain_smoother`. Raises KeyError or TypeError if the data is something else."""
    prior: Prior
    if "share" in plain:
        prior = Graded(_number(plain["share"]), tuple(block.shape[1] for block in codes.values()))
    else:
        weights = plain["weights"]
        if not isinstance(weights, list) or len(weights) != len(codes):
            raise TypeError("weights must be one number per factor")
        prior = Product(tuple(map(_number, weights)), _number(plain["scale"]))
    return smooth(prior, _number(plain["noise"]), codes, values, trials)


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)
