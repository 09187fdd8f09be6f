"""The smoothers against brute-force refits, penalised least squares and independent implementations."""

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from bitskip.predict import kernel_ridge
from bitskip.predict.kernel_ridge import (
    ADDITIVE_GRID,
    INTERCEPT_VARIANCE,
    NOISE_GRID,
    SHARE_GRID,
    Blend,
    Graded,
    Product,
    fit_graded,
    fit_product,
    plain_smoother,
    smooth,
    smoother_from,
)

GRADED = Graded(0.2, (2, 1, 3))
PRODUCT = Product((0.3, 0.1, 0.6), 0.8)


def dummy_design(count=14, seed=0):
    random = np.random.default_rng(seed)
    codes = {name: random.normal(size=(count, columns)) for name, columns in (("a", 2), ("b", 1), ("c", 3))}
    values = codes["a"][:, 0] + 0.5 * codes["b"][:, 0] * codes["c"][:, 1] + 0.2 * random.normal(size=count)
    return codes, (values - values.mean()) / values.std(), random.integers(1, 4, count).astype(float)


def take(codes, rows):
    return {name: block[rows] for name, block in codes.items()}


def products(codes):
    """Explicit columns of all products of contrasts of one, two and three factors."""
    (a, b, c), count = codes.values(), len(codes["a"])

    def times(first, second):
        return (first[:, :, None] * second[:, None, :]).reshape(count, -1)

    return [np.hstack([a, b, c]), np.hstack([times(a, b), times(a, c), times(b, c)]), times(times(a, b), c)]


@pytest.mark.parametrize("prior", [GRADED, PRODUCT])
def test_left_out_residuals_and_predictions_equal_refits(prior):
    codes, values, trials = dummy_design()
    fitted = smooth(prior, 0.3, codes, values, trials)
    new = dummy_design(2, 1)[0]
    for i in range(len(values)):
        keep = np.arange(len(values)) != i
        refit = smooth(prior, 0.3, take(codes, keep), values[keep], trials[keep])
        assert fitted.left_out[i] == pytest.approx(values[i] - refit.predict(take(codes, [i]))[0], abs=1e-7)
        assert fitted.predict_left_out(new)[:, i] == pytest.approx(refit.predict(new), abs=1e-7)


@pytest.mark.parametrize("prior", [GRADED, PRODUCT])
def test_block_residuals_equal_refits(prior):
    codes, values, trials = dummy_design()
    block = [1, 4, 9]
    keep = np.setdiff1d(np.arange(len(values)), block)
    refit = smooth(prior, 0.3, take(codes, keep), values[keep], trials[keep])
    expected = values[block] - refit.predict(take(codes, block))
    assert smooth(prior, 0.3, codes, values, trials).block_residuals(block) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("prior", [GRADED, PRODUCT])
def test_kernel_form_equals_penalised_weighted_least_squares(prior):
    codes, values, trials = dummy_design()
    first, second, third = products(codes)
    if isinstance(prior, Graded):
        variances = [[0.2**order / block.shape[1]] * block.shape[1] for order, block in enumerate(products(codes))]
        scale = None
    else:
        a, b, c = prior.weights
        variances = [[a] * 2 + [b] + [c] * 3, [a * b] * 2 + [a * c] * 6 + [b * c] * 3, [a * b * c] * 6]
        variances = [[prior.scale * v for v in own] for own in variances]
        scale = 1.0
    design = np.hstack([np.ones((len(values), 1)), first, second, third])
    precision = design.T @ (design * (trials / 0.3)[:, None])
    precision += np.diag(1 / np.array([INTERCEPT_VARIANCE, *np.concatenate(variances)]))
    coefficients = np.linalg.solve(precision, design.T @ (values * trials / 0.3))
    fitted = smooth(prior, 0.3, codes, values, trials)
    assert fitted.predict(codes) == pytest.approx(design @ coefficients, abs=1e-7)
    # Posterior of a contrast from the same normal equations.
    contrast = np.zeros(len(values))
    contrast[:2] = 1, -1
    reach = contrast @ design
    scale = scale or values @ fitted.weights / (len(values) - 1)
    mean, variance = fitted.contrast(codes, contrast)
    assert mean == pytest.approx(reach @ coefficients, abs=1e-7)
    assert variance == pytest.approx(scale * reach @ np.linalg.solve(precision, reach), rel=1e-5)


def test_product_kernel_equals_scikit_learns_gaussian_process():
    class Anova(Kernel):
        hyperparameters = ()

        def __init__(self):
            """Without hyper-parameters of its own."""

        def __call__(self, first, second=None, eval_gradient=False):
            second = first if second is None else second
            split = [slice(0, 2), slice(2, 3), slice(3, 6)]
            return PRODUCT.covariance(
                *({n: x[:, s] for n, s in zip("abc", split, strict=True)} for x in (first, second))
            )

        def diag(self, x):
            return np.diag(self(x))

        def is_stationary(self):
            return False

    codes, values, trials = dummy_design()
    challenger = GaussianProcessRegressor(Anova(), alpha=0.3 / trials, optimizer=None)
    challenger.fit(np.hstack(list(codes.values())), values)
    new = dummy_design(5, 3)[0]
    mean, covariance = challenger.predict(np.hstack(list(new.values())), return_cov=True)
    fitted = smooth(PRODUCT, 0.3, codes, values, trials)
    assert fitted.predict(new) == pytest.approx(mean, abs=1e-6)
    weights = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    assert fitted.contrast(new, weights)[1] == pytest.approx(weights @ covariance @ weights, abs=1e-6)


def test_nested_residuals_equal_a_search_without_each_configuration():
    codes, values, trials = dummy_design(13)
    found = fit_graded(codes, values, trials)
    for i in range(len(values)):
        keep = np.arange(len(values)) != i
        fits = [
            smooth(Graded(share, (2, 1, 3)), noise, take(codes, keep), values[keep], trials[keep])
            for share in SHARE_GRID
            for noise in NOISE_GRID
        ]
        best = min(fits, key=lambda fit: np.average(fit.left_out**2, weights=trials[keep]))
        assert found.left_out[i] == pytest.approx(values[i] - best.predict(take(codes, [i]))[0], abs=1e-6)


def test_permuted_targets_are_treated_like_the_values():
    codes, values, trials = dummy_design(30)
    shuffled = np.random.default_rng(0).permutation(values)
    together = fit_graded(codes, values, trials, others=shuffled[None, :])
    assert together.others[0] == pytest.approx(fit_graded(codes, shuffled, trials).left_out)


def test_likelihood_gradient_equals_finite_differences(monkeypatch):
    codes, values, trials = dummy_design()
    caught = {}

    def minimize(objective, start, **_):
        caught["objective"] = objective
        raise StopIteration

    monkeypatch.setattr("scipy.optimize.minimize", minimize)
    with pytest.raises(StopIteration):
        fit_product(codes, values, trials)
    at = np.array([-1.5, -2.5, -0.5, 0.3, -3.0])
    _, gradient = caught["objective"](at)
    for i, slope in enumerate(gradient):
        step = np.eye(len(at))[i] * 1e-5
        difference = caught["objective"](at + step)[0] - caught["objective"](at - step)[0]
        assert slope == pytest.approx(difference / 2e-5, rel=1e-4, abs=1e-5)


def test_the_product_kernel_finds_which_factors_matter():
    random = np.random.default_rng(5)
    codes = {name: random.choice([-1.0, 1.0], size=(40, 1)) for name in "abc"}
    values = codes["a"][:, 0] + codes["a"][:, 0] * codes["b"][:, 0] + 0.05 * random.normal(size=40)
    fitted, _ = fit_product(codes, (values - values.mean()) / values.std(), np.ones(40))
    a, b, c = fitted.prior.weights
    assert min(a, b) > 5 * c


def test_additive_ridge_with_little_noise_is_least_squares():
    codes, values, trials = dummy_design(40)
    fitted = smooth(Graded(0.0, (2, 1, 3)), 1e-8, codes, values, trials)
    design = np.hstack([np.ones((40, 1)), *codes.values()])
    root = np.sqrt(trials)[:, None]
    coefficients = np.linalg.lstsq(design * root, values * root[:, 0], rcond=None)[0]
    assert fitted.predict(codes) == pytest.approx(design @ coefficients, abs=1e-3)
    assert fit_graded(codes, values, trials, ADDITIVE_GRID).smoother.prior.share == 0.0


def test_a_blend_is_the_mixture_of_its_parts():
    codes, values, trials = dummy_design()
    parts = [smooth(prior, 0.3, codes, values, trials) for prior in (GRADED, PRODUCT)]
    blend = Blend(tuple(parts), np.zeros(14))
    assert blend.predict(codes) == pytest.approx((parts[0].predict(codes) + parts[1].predict(codes)) / 2)
    contrast = np.eye(14)[0] - np.eye(14)[1]
    (m1, v1), (m2, v2) = (part.contrast(codes, contrast) for part in parts)
    mean, deviation = blend.contrast(codes, contrast)
    assert mean == pytest.approx((m1 + m2) / 2)
    assert deviation == pytest.approx(math.sqrt((v1 + v2) / 2 + (m1 - m2) ** 2 / 4))


@pytest.mark.parametrize("prior", [GRADED, PRODUCT])
def test_plain_data_restores_the_smoother(prior):
    codes, values, trials = dummy_design()
    fitted = smooth(prior, 0.3, codes, values, trials)
    restored = smoother_from(plain_smoother(fitted), codes, values, trials)
    assert restored.prior == fitted.prior
    assert np.array_equal(restored.weights, fitted.weights)
    with pytest.raises((KeyError, TypeError)):
        smoother_from({"weights": ["x"]}, codes, values, trials)


def test_symmetric_polynomials_are_sums_of_products():
    assert kernel_ridge.symmetric_polynomials([2.0, 3.0, 5.0], 3) == [10.0, 31.0, 30.0]
