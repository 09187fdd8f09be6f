"""Laws of effects against closed forms: exact without noise, evidence by brute force, the mixture by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.scaling.laws import Fit, fit_laws, mix

GRID = np.array(list(itertools.product((-1.7, 0.0, 1.7), (-1.4, 0.0, 1.4))))
ASKED = np.array([[3.4, 2.8], [0.0, 0.0]])
NOISELESS = np.zeros((9, 9))


def fitted(law: str, values: np.ndarray, covariance: np.ndarray = NOISELESS) -> Fit:
    return next(fit for fit in fit_laws(GRID, values, covariance, ASKED) if fit.law == law)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.5, 0.5).filter(lambda c: abs(c) > 0.01))
def test_a_constant_is_found_exactly(c: float) -> None:
    assert fitted("constant", np.full(9, c)).mean == pytest.approx([c, c], abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.1, 0.1), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05))
def test_a_plane_is_found_exactly(a: float, b: float, c: float) -> None:
    values = a + GRID @ (b, c)
    assert fitted("linear", values).mean == pytest.approx(a + ASKED @ (b, c), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.3, 0.3).filter(lambda k: abs(k) > 0.02), st.floats(-0.3, 0.5), st.floats(-0.3, 0.5))
def test_a_power_law_is_found_exactly(k: float, p: float, q: float) -> None:
    def law(at: np.ndarray) -> np.ndarray:
        return k * np.exp(q * at[:, 1] - p * at[:, 0])

    assert fitted("power", law(GRID)).mean == pytest.approx(law(ASKED), rel=1e-3, abs=1e-5)


def test_evidence_of_a_constant_is_its_integral() -> None:
    values = np.random.default_rng(0).normal(0.05, 0.02, 9)
    prior = 2.0 * math.sqrt(np.mean(values**2))
    levels = np.linspace(-1, 1, 200_001)
    log_likelihood = -0.5 * ((values[:, None] - levels) ** 2).sum(axis=0) / 0.02**2 - 9 * math.log(
        0.02 * math.sqrt(2 * math.pi)
    )
    integrand = np.exp(log_likelihood - 0.5 * (levels / prior) ** 2) / prior / math.sqrt(2 * math.pi)
    evidence = math.log(integrand.sum() * (levels[1] - levels[0]))
    assert fitted("constant", values, 0.02**2 * np.eye(9)).evidence == pytest.approx(evidence, abs=1e-3)


def test_evidence_of_a_power_law_is_nearly_its_integral() -> None:
    """Laplace's approximation against k in closed form and (p, q) on a fine grid."""
    noise = 0.005**2 * np.eye(9)
    values = 0.1 * np.exp(0.3 * GRID[:, 1] - 0.2 * GRID[:, 0]) + np.random.default_rng(1).normal(0, 0.005, 9)
    prior = 2.0 * math.sqrt(np.mean(values**2))
    side = np.linspace(-0.5, 0.9, 141)
    total = 0.0
    for p, q in itertools.product(side, side):
        shape = np.exp(q * GRID[:, 1] - p * GRID[:, 0])
        marginal = noise + prior**2 * np.outer(shape, shape)
        misfit = values @ np.linalg.solve(marginal, values)
        likelihood = -0.5 * (misfit + np.linalg.slogdet(marginal)[1] + 9 * math.log(2 * math.pi))
        density = math.exp(-0.5 * (((p - 0.1) / 0.25) ** 2 + ((q - 0.1) / 0.25) ** 2)) / (2 * math.pi * 0.25**2)
        total += math.exp(likelihood) * density * (side[1] - side[0]) ** 2
    assert fitted("power", values, noise).evidence == pytest.approx(math.log(total), abs=0.1)


def test_mixture_by_hand() -> None:
    one = Fit("constant", np.array([1.0]), np.array([[0.04]]), math.log(3.0))
    other = Fit("linear", np.array([2.0]), np.array([[0.09]]), math.log(1.0))
    found = mix([one, other])
    first, second = (0.75 + 0.1) / 1.2, (0.25 + 0.1) / 1.2
    mean = first * 1.0 + second * 2.0
    assert found.weights == pytest.approx({"constant": first, "linear": second})
    assert found.mean == pytest.approx([mean])
    variance = first * (0.04 + (1 - mean) ** 2) + second * (0.09 + (2 - mean) ** 2)
    assert found.covariance[0, 0] == pytest.approx(variance)
    assert mix([one, other], even=True).weights == pytest.approx({"constant": 0.5, "linear": 0.5})


def test_no_law_is_ruled_out() -> None:
    values = 0.05 + GRID @ (0.03, -0.02)
    weights = mix(fit_laws(GRID, values, 1e-6 * np.eye(9), ASKED)).weights
    assert max(weights, key=lambda law: weights[law]) == "linear"
    assert min(weights.values()) == pytest.approx(0.1 / 1.3)
