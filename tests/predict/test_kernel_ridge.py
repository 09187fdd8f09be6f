"""The graded ridge against brute-force refits, penalised least squares and an independent implementation."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from bitskip.predict.kernel_ridge import (
    ADDITIVE_GRID,
    INTERCEPT_VARIANCE,
    NOISE_GRID,
    SHARE_GRID,
    GradedRidge,
    fit_graded,
    graded_covariance,
    ridge_from,
    symmetric_polynomials,
)

SHARE, NOISE = 0.2, 0.3


def dummy_design(count=14, seed=0):
    random = np.random.default_rng(seed)
    codes = {name: random.normal(size=(count, columns)) for name, columns in (("a", 2), ("b", 1), ("c", 3))}
    values = codes["a"][:, 0] + 0.5 * codes["b"][:, 0] * codes["c"][:, 1] + 0.2 * random.normal(size=count)
    return codes, (values - values.mean()) / values.std(), random.integers(1, 4, count).astype(float)


def take(codes, rows):
    return {name: block[rows] for name, block in codes.items()}


def predicted_from(codes, values, precision, new, share=SHARE, noise=NOISE):
    """The posterior mean, written out, for values that are standardised already."""
    gram = graded_covariance(share, codes, codes) + np.diag(noise / precision)
    return graded_covariance(share, new, codes) @ np.linalg.solve(gram, values)


@pytest.fixture
def design():
    return dummy_design()


@pytest.fixture
def fitted(design):
    return GradedRidge(SHARE, NOISE, *design, np.zeros(14))


def products(codes):
    """Explicit columns of all products of contrasts of one, two and three factors."""
    (a, b, c), count = codes.values(), len(codes["a"])

    def times(first, second):
        return (first[:, :, None] * second[:, None, :]).reshape(count, -1)

    return [np.hstack([a, b, c]), np.hstack([times(a, b), times(a, c), times(b, c)]), times(times(a, b), c)]


def test_left_out_residuals_and_predictions_equal_refits(design, fitted):
    codes, values, precision = design
    new = dummy_design(2, 1)[0]
    for i in range(len(values)):
        keep = np.arange(len(values)) != i
        rest = take(codes, keep), values[keep], precision[keep]
        assert fitted.fixed_residuals[i] == pytest.approx(
            values[i] - predicted_from(*rest, take(codes, [i]))[0], abs=1e-7
        )
        assert fitted.predict_left_out(new)[:, i] == pytest.approx(predicted_from(*rest, new), abs=1e-7)


def test_block_residuals_equal_refits(design, fitted):
    codes, values, precision = design
    block = [1, 4, 9]
    keep = np.setdiff1d(np.arange(len(values)), block)
    expected = values[block] - predicted_from(take(codes, keep), values[keep], precision[keep], take(codes, block))
    assert fitted.block_residuals(block) == pytest.approx(expected, abs=1e-7)


def test_kernel_form_equals_penalised_weighted_least_squares(design, fitted):
    codes, values, precision = design
    variances = [[SHARE**order / block.shape[1]] * block.shape[1] for order, block in enumerate(products(codes))]
    columns = np.hstack([np.ones((len(values), 1)), *products(codes)])
    normal = columns.T @ (columns * (precision / NOISE)[:, None])
    normal += np.diag(1 / np.array([INTERCEPT_VARIANCE, *np.concatenate(variances)]))
    coefficients = np.linalg.solve(normal, columns.T @ (values * precision / NOISE))
    assert fitted.predict(codes) == pytest.approx(columns @ coefficients, abs=1e-7)
    # Posterior of a contrast from the same normal equations, at the scale of largest likelihood.
    contrast = np.zeros(len(values))
    contrast[:2] = 1, -1
    reach = contrast @ columns
    gram = graded_covariance(SHARE, codes, codes) + np.diag(NOISE / precision)
    scale = values @ np.linalg.solve(gram, values) / (len(values) - 1)
    mean, deviation = fitted.contrast(codes, contrast)
    assert mean == pytest.approx(reach @ coefficients, abs=1e-7)
    assert deviation**2 == pytest.approx(scale * reach @ np.linalg.solve(normal, reach), rel=1e-5)


def test_the_ridge_equals_scikit_learns_gaussian_process(design, fitted):
    class Graded(Kernel):
        hyperparameters = ()

        def __init__(self):
            """Without hyper-parameters of its own."""

        def __call__(self, first, second=None, eval_gradient=False):
            second = first if second is None else second
            split = [slice(0, 2), slice(2, 3), slice(3, 6)]
            return graded_covariance(
                SHARE, *({n: x[:, s] for n, s in zip("abc", split, strict=True)} for x in (first, second))
            )

        def diag(self, x):
            return np.diag(self(x))

        def is_stationary(self):
            return False

    codes, values, precision = design
    challenger = GaussianProcessRegressor(Graded(), alpha=NOISE / precision, optimizer=None)
    challenger.fit(np.hstack(list(codes.values())), values)
    new = dummy_design(5, 3)[0]
    assert fitted.predict(new) == pytest.approx(challenger.predict(np.hstack(list(new.values()))), abs=1e-6)


def test_predictions_follow_the_unit_of_the_values(design, fitted):
    codes, values, precision = design
    moved = GradedRidge(SHARE, NOISE, codes, 5 + 3 * values, precision, np.zeros(14))
    new, weights = dummy_design(3, 2)[0], np.array([1.0, -0.5, 0.5])
    assert moved.predict(new) == pytest.approx(5 + 3 * fitted.predict(new))
    assert moved.predict_left_out(new) == pytest.approx(5 + 3 * fitted.predict_left_out(new))
    assert moved.block_residuals([0, 3]) == pytest.approx(3 * fitted.block_residuals([0, 3]))
    (mean, deviation), (own, spread) = (each.contrast(new, weights) for each in (moved, fitted))
    assert (mean, deviation) == pytest.approx((5 + 3 * own, 3 * spread))
    assert fit_graded(codes, 5 + 3 * values, precision)[0].left_out == pytest.approx(
        3 * fit_graded(codes, values, precision)[0].left_out
    )


def test_nested_residuals_equal_a_search_without_each_configuration():
    codes, values, precision = dummy_design(13)
    found, _ = fit_graded(codes, values, precision)

    def errors_without(own, targets, worth, share, noise):
        """Mean square of what each one's prediction from the others misses."""
        count = np.arange(len(targets))
        missed = [
            targets[j] - predicted_from(take(own, count != j), targets[count != j], worth[count != j], take(own, [j]),
                                        share, noise)[0]
            for j in count
        ]  # fmt: skip
        return np.average(np.square(missed), weights=worth)

    for i in range(0, len(values), 4):
        keep = np.arange(len(values)) != i
        rest = take(codes, keep), values[keep], precision[keep]
        best = min(((s, n) for s in SHARE_GRID for n in NOISE_GRID), key=lambda pair: errors_without(*rest, *pair))
        assert found.left_out[i] == pytest.approx(
            values[i] - predicted_from(*rest, take(codes, [i]), *best)[0], abs=1e-6
        )


def test_permuted_targets_are_treated_like_the_values():
    codes, values, precision = dummy_design(30)
    shuffled = np.random.default_rng(0).permutation(values)
    _, residuals = fit_graded(codes, values, precision, shuffled=[shuffled])
    assert residuals[0] == pytest.approx(fit_graded(codes, shuffled, precision)[0].left_out)


def test_additive_ridge_with_little_noise_is_least_squares():
    codes, values, precision = dummy_design(40)
    fitted = GradedRidge(0.0, 1e-8, codes, values, precision, np.zeros(40))
    columns = np.hstack([np.ones((40, 1)), *codes.values()])
    root = np.sqrt(precision)[:, None]
    coefficients = np.linalg.lstsq(columns * root, values * root[:, 0], rcond=None)[0]
    assert fitted.predict(codes) == pytest.approx(columns @ coefficients, abs=1e-3)
    assert fit_graded(codes, values, precision, ADDITIVE_GRID)[0].share == 0.0


def test_plain_data_restores_the_ridge(design):
    found, _ = fit_graded(*design)
    restored = ridge_from(found.plain(), *design)
    assert (restored.share, restored.noise) == (found.share, found.noise)
    assert np.array_equal(restored.left_out, found.left_out)
    assert np.array_equal(restored.predict(design[0]), found.predict(design[0]))
    for broken in ({}, {"share": None, "noise": 1, "left_out": []}, {"share": 0, "noise": 1, "left_out": ["x"]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            ridge_from(broken, *design)


def test_symmetric_polynomials_are_sums_of_products():
    assert symmetric_polynomials([2.0, 3.0, 5.0]) == [10.0, 31.0, 30.0]
    assert symmetric_polynomials([2.0]) == [2.0, 0.0, 0.0]
