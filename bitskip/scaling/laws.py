"""Laws of a composition effect over model size and tokens, and their mixture (docs/scaling.md, The laws).

With x = ln(N / N0) and z = ln(D / D0), both from the middle of the ladder:

- constant: I = c
- power: I = k exp(q z - p x), with p, q ~ N(0.1, 0.25²) (Chen 2505.14302, Ouyang 2411.17691)
- linear: I = a + b x + c z, the only one that changes sign

Each is fitted by least squares with weak Gaussian priors, and weighed by its evidence (of the power law in Laplace's
approximation). No few rungs rule a law out for good: the weights have a floor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.student_t import student_t_tail

EXPONENT, EXPONENT_SD = 0.1, 0.25
"""Prior of p and q: effects of low precision grow with tokens and fade with parameters, with exponents of 0 to 0.5."""

LEVEL_SD, SLOPE_SD = 2.0, 0.5
"""Prior deviations of levels, and of slopes per factor e, in root mean squares of the measured effects: weak beside
what rungs a factor 4 apart tell, and of one order with what the exponents' prior lets a power law do."""

FLOOR = 0.1
STARTS = ((0.1, 0.1), (-0.3, 0.4), (0.5, -0.3), (-0.3, -0.3))
"""Exponents (p, q) from which the power law is fitted."""

SMALLEST = 1e-6
"""Nats: effects of this size are nothing, and no standard error is taken to be smaller."""


@dataclass(frozen=True)
class Fit:
    """A fitted law: `mean` [points] and `covariance` [points, points] where it was asked, and its log evidence."""

    law: str
    mean: Array
    covariance: Array
    evidence: float


@dataclass(frozen=True)
class Mixture:
    """Laws with their weights, and mean [points] and covariance [points, points] of their mixture."""

    fits: tuple[Fit, ...]
    weights: dict[str, float]
    mean: Array
    covariance: Array

    def above_zero(self, point: int, df: float) -> float:
        """Probability of being above zero at a point, with Student's t for each law's own error."""
        return math.fsum(
            self.weights[fit.law]
            * student_t_tail(-float(fit.mean[point]) / max(math.sqrt(fit.covariance[point, point]), SMALLEST), df)
            for fit in self.fits
        )


def fit_laws(places: Array, values: Array, covariance: Array, asked: Array) -> list[Fit]:
    """Every law, fitted to effects `values` [rungs] at `places` [rungs, 2], which are (x, z), and read at `asked`.

    `covariance` [rungs, rungs] is that of the effects' errors.
    """
    covariance = covariance + SMALLEST**2 * np.eye(len(values))
    size = max(math.sqrt(float(np.mean(values**2))), SMALLEST)
    level, slope = LEVEL_SD * size, SLOPE_SD * size

    def with_slopes(at: Array) -> Array:
        return np.column_stack([np.ones(len(at)), at])

    return [
        _linear("constant", np.ones((len(values), 1)), values, covariance, np.ones((len(asked), 1)), [level]),
        _power(places, values, covariance, asked, level),
        _linear("linear", with_slopes(places), values, covariance, with_slopes(asked), [level, slope, slope]),
    ]


def mix(fits: Sequence[Fit], floor: float = FLOOR, *, even: bool = False) -> Mixture:
    """The fits weighed by their evidence, w = (w + floor) / sum(w + floor), or evenly; laws that disagree widen it."""
    evidence = np.array([fit.evidence for fit in fits])
    weights = np.zeros(len(fits)) if even else np.exp(evidence - evidence.max())
    weights = weights / max(weights.sum(), 1.0) + (FLOOR if even else floor)
    weights /= weights.sum()
    means = np.stack([fit.mean for fit in fits])
    mean = weights @ means
    apart = means - mean
    covariance = sum(
        w * (fit.covariance + np.outer(own, own)) for w, fit, own in zip(weights, fits, apart, strict=True)
    )
    by_law = dict(zip((fit.law for fit in fits), weights.tolist(), strict=True))
    return Mixture(tuple(fits), by_law, mean, np.asarray(covariance))


def _linear(law: str, design: Array, values: Array, noise: Array, asked: Array, prior: Sequence[float]) -> Fit:
    """Exact: coefficients are normal, and so is the marginal distribution of the values."""
    spread = np.diag(np.square(prior))
    marginal = noise + design @ spread @ design.T
    gain = np.linalg.solve(marginal, design @ spread).T
    posterior = spread - gain @ design @ spread
    _, determinant = np.linalg.slogdet(marginal)
    misfit = float(values @ np.linalg.solve(marginal, values))
    evidence = -0.5 * (misfit + float(determinant) + len(values) * math.log(2 * math.pi))
    return Fit(law, asked @ (gain @ values), asked @ posterior @ asked.T, evidence)


def _power(places: Array, values: Array, noise: Array, asked: Array, level: float) -> Fit:
    """Laplace: a normal distribution around the most probable (k, p, q)."""
    from scipy.optimize import least_squares

    whiten = np.linalg.inv(np.linalg.cholesky(noise))
    centre = np.array([0.0, EXPONENT, EXPONENT])
    sd = np.array([level, EXPONENT_SD, EXPONENT_SD])

    def law(unknown: Array, at: Array) -> Array:
        k, p, q = unknown
        return np.asarray(k * np.exp(np.clip(q * at[:, 1] - p * at[:, 0], -50.0, 50.0)))

    def slopes(unknown: Array, at: Array) -> Array:
        found = law(unknown, at)
        shape = law(np.array([1.0, *unknown[1:]]), at)
        return np.column_stack([shape, -at[:, 0] * found, at[:, 1] * found])

    def residuals(unknown: Array) -> Array:
        return np.concatenate([whiten @ (law(unknown, places) - values), (unknown - centre) / sd])

    def jacobian(unknown: Array) -> Array:
        return np.concatenate([whiten @ slopes(unknown, places), np.diag(1 / sd)])

    def start(p: float, q: float) -> Array:
        shape = whiten @ law(np.array([1.0, p, q]), places)
        return np.array([shape @ (whiten @ values) / (shape @ shape + level**-2), p, q])

    fits = [least_squares(residuals, start(p, q), jac=jacobian, x_scale=sd, max_nfev=200) for p, q in STARTS]
    best = min(fits, key=lambda fit: float(fit.cost)).x
    at_best = jacobian(best)
    precision = at_best.T @ at_best
    _, determinant = np.linalg.slogdet(precision)
    _, of_noise = np.linalg.slogdet(noise)
    # (2 pi)^(d/2) of Laplace's integral and of the prior's normalisation cancel.
    evidence = -0.5 * (
        float(np.sum(residuals(best) ** 2))
        + float(determinant)
        + 2 * float(np.log(sd).sum())
        + float(of_noise)
        + len(values) * math.log(2 * math.pi)
    )
    read = slopes(best, asked)
    return Fit("power", law(best, asked), read @ np.linalg.solve(precision, read.T), evidence)
