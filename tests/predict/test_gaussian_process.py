"""Processes and their stack against brute-force refits, an independent implementation and numerical derivatives."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from simulated_results import grid
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from bitskip.analysis.levels import levels_of
from bitskip.predict.features import encode
from bitskip.predict.gaussian_process import GaussianProcess, Search, fit_process, process_from, warped
from bitskip.predict.kernels import INTERCEPT_VARIANCE, Kernel, Pairwise, covariance, symmetric_polynomials
from bitskip.predict.stacking import MODELS, Stack, left_out_residuals, optimism, stacking_weights

CELLS = [
    levels_of(trial.axes())
    for trial in grid(bits=(16, 8, 6, 5, 4), hadamard=("none", "bitnet-v2", "random-sign"), exit_weight=(0.0, 0.1, 0.3))
]
SOURCE = np.random.default_rng(0)
TRAINED = sorted(SOURCE.choice(len(CELLS), 18, replace=False))
VALUES = 2 + 0.3 * SOURCE.normal(size=18)
PRECISION = SOURCE.integers(1, 4, 18).astype(float)
ENCODING = encode(CELLS, 6)
KERNELS = {name: kernel for name, (kernel, _) in MODELS.items()}


def inputs_of(rows):
    return ENCODING.inputs([CELLS[row] for row in rows])


def process(kernel, rows=range(18), warp=None, parameters=None):
    rows = list(rows)
    own = inputs_of([TRAINED[row] for row in rows])
    size = sum(kernel.sizes(own).values())
    parameters = np.random.default_rng(1).normal(-1, 0.7, size) if parameters is None else parameters
    warp = (0.4 if kernel.warped else 0.0) if warp is None else warp
    return GaussianProcess(kernel, parameters, warp, own, VALUES[rows], PRECISION[rows])


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_the_density(name):
    kernel = KERNELS[name]
    standard = (VALUES - VALUES.mean()) / VALUES.std()
    search = Search(kernel, inputs_of(TRAINED), standard, PRECISION)
    point = search.start + np.random.default_rng(2).normal(0, 0.5, len(search.start))
    assert search(point)[1] == pytest.approx(approx_fprime(point, lambda x: search(x)[0], 1e-6), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_left_out_predictions_equal_refits_at_the_same_hyper_parameters(name):
    whole = process(KERNELS[name])
    new = inputs_of([0, 7, 31])
    for block in ([3], [1, 4, 9]):
        rest = np.setdiff1d(np.arange(18), block)
        refit = process(KERNELS[name], rest)
        # The scale of the values is part of what is fixed.
        object.__setattr__(refit, "__dict__", {**refit.__dict__, "centre": whole.centre, "spread": whole.spread})
        inside = np.abs(whole._standard).max()
        object.__setattr__(refit, "_standard", whole._standard[rest])
        expected = refit.predict(inputs_of([TRAINED[row] for row in block]))
        slack = 1e-6 if KERNELS[name].warped is False else 2e-2 * inside  # the ends of the warp's line move
        assert VALUES[block] - whole.residuals(block) == pytest.approx(expected, abs=slack)
        assert whole.predict_without(new, [block])[:, 0] == pytest.approx(refit.predict(new), abs=slack)


def test_the_smooth_process_equals_scikit_learns():
    kernel = Kernel(smooth=True)
    own = process(kernel)
    noise, scale, *lengths = np.exp(own.parameters)
    places = [np.hstack([each.place for each in inputs]) for inputs in (own.inputs, inputs_of([0, 7, 31]))]
    # Rotations are no number: their places have a dimension for each feature, with one length for all.
    spread = np.repeat(lengths, [each.place.shape[1] for each in own.inputs])
    theirs = GaussianProcessRegressor(
        ConstantKernel(INTERCEPT_VARIANCE) + ConstantKernel(scale) * Matern(spread, nu=2.5),
        alpha=noise / PRECISION,
        optimizer=None,
    )
    theirs.fit(places[0], (VALUES - VALUES.mean()) / VALUES.std())
    mean = theirs.predict(places[1])
    assert own.predict(inputs_of([0, 7, 31])) == pytest.approx(VALUES.mean() + VALUES.std() * mean, abs=1e-6)
    weights = np.array([1.0, -0.5, -0.5])
    _, covariances = theirs.predict(places[1], return_cov=True)
    value, deviation = own.contrast(inputs_of([0, 7, 31]), weights)
    assert value == pytest.approx(VALUES.std() * float(weights @ mean), abs=1e-6)
    assert deviation == pytest.approx(VALUES.std() * float(np.sqrt(weights @ covariances @ weights)), rel=1e-4)


def test_the_additive_process_with_little_noise_is_least_squares():
    cells = [levels_of(trial.axes()) for trial in grid(bits=(16, 8, 4), exit_weight=(0.0, 0.1, 0.3))]
    encoding = encode(cells, 6)
    source = np.random.default_rng(3)
    values = source.normal(size=len(cells))
    inputs = encoding.inputs(cells)
    fitted = GaussianProcess(Kernel(mains=True), np.log([1e-6, 1.0, 1.0]), 0.0, inputs, values, np.ones(len(cells)))
    columns = np.hstack([np.ones((len(cells), 1)), *encoding.codes(cells).values()])
    assert fitted.predict(inputs) == pytest.approx(columns @ np.linalg.lstsq(columns, values, rcond=None)[0], abs=1e-3)


def test_a_measured_step_is_fitted_and_a_value_between_follows_its_neighbours():
    """Nothing happens down to 5 bits, and then everything: two smooth features can't say so."""
    step = np.array([0.4 * (cell[0][0] <= 4) for cell in CELLS])
    for name in ("additive", "interactions"):
        fitted = fit_process(KERNELS[name], ENCODING.inputs(CELLS), step + 1e-3 * SOURCE.normal(size=len(CELLS)),
                             np.ones(len(CELLS)))  # fmt: skip
        assert fitted.predict(ENCODING.inputs(CELLS)) == pytest.approx(step, abs=0.01)
    between = levels_of(grid(bits=(7,))[0].axes())
    assert fitted.predict(ENCODING.inputs([between])) == pytest.approx([0.0], abs=0.03)


@pytest.mark.parametrize(
    ("truth", "sign"),
    [(lambda a, b: 1 + math.exp(a + b), -1), (lambda a, b: math.log(math.exp(a) + math.exp(b)), 1)],
)
def test_a_warp_makes_effects_add_up(truth, sign):
    """Of effects that multiply an excess over a floor, and of a worst technique that dominates."""
    trials = grid(bits=(16, 8, 4), hadamard=("none",), exit_weight=(0.0, 0.05, 0.1, 0.2, 0.3))
    cells = [levels_of(trial.axes()) for trial in trials]
    values = np.array([truth({16: 0.0, 8: 0.6, 4: 1.5}[trial["bits"]], 5 * trial["exit_weight"]) for trial in trials])
    inputs, blocks = encode(cells, 6).inputs(cells), [[row] for row in range(len(cells))]
    plain, bent = (
        fit_process(Kernel(mains=True, warped=each), inputs, values, np.ones(len(values))) for each in (False, True)
    )
    missed = [float(np.abs(left_out_residuals(each, blocks)).mean()) for each in (plain, bent)]
    assert sign * bent.warp > 0.1
    assert missed[1] < 0.5 * missed[0]


@settings(max_examples=50, deadline=None)
@given(st.floats(-1.5, 1.5), st.lists(st.floats(-3, 3), min_size=2, max_size=6))
def test_the_warp_has_an_inverse_that_goes_on_as_a_line(warp, values):
    own = process(Kernel(mains=True, warped=True), warp=warp)
    inside = np.clip(values, own._standard.min(), own._standard.max())
    assert own._natural(warped(warp, inside)) == pytest.approx(own.centre + own.spread * inside, abs=1e-6)
    far = own._natural(np.linspace(-50, 50, 21))
    assert np.isfinite(far).all()
    assert (np.diff(far) > 0).all()


def test_a_seen_part_is_enough_to_seek_on(monkeypatch):
    monkeypatch.setattr("bitskip.predict.gaussian_process.MOST_SOUGHT", 12)
    fitted = fit_process(KERNELS["additive"], inputs_of(TRAINED), VALUES, PRECISION)
    assert len(fitted.values) == 18


def test_plain_data_restores_a_process():
    for kernel in KERNELS.values():
        fitted = fit_process(kernel, inputs_of(TRAINED), VALUES, PRECISION)
        restored = process_from(fitted.plain(), kernel, fitted.inputs, VALUES, PRECISION)
        assert np.array_equal(restored.predict(inputs_of([0, 1])), fitted.predict(inputs_of([0, 1])))
        for broken in ({}, {"parameters": [1.0], "warp": 0}, {"parameters": None, "warp": 0}):
            with pytest.raises((KeyError, TypeError, ValueError)):
                process_from(broken, kernel, fitted.inputs, VALUES, PRECISION)


def test_symmetric_polynomials_are_sums_of_products():
    terms = [np.array([[value]]) for value in (2.0, 3.0, 5.0)]
    assert [float(each[0, 0]) for each in symmetric_polynomials(terms)] == [10.0, 31.0, 30.0]


@pytest.mark.parametrize("name", MODELS)
def test_covariances_are_positive(name):
    inputs = ENCODING.inputs(CELLS)
    kernel = KERNELS[name]
    found = covariance(kernel, np.zeros(sum(kernel.sizes(inputs).values())), Pairwise(inputs, inputs))
    assert found == pytest.approx(found.T)
    assert np.linalg.eigvalsh(found).min() > -1e-8


# The stack


def test_stacking_weights_are_the_best_on_the_simplex():
    source = np.random.default_rng(4)
    residuals = [source.normal(size=30), 0.5 * source.normal(size=30), source.normal(0.2, 0.6, 30)]
    weights = stacking_weights(residuals, [0.0, 0.0, 0.0])
    shares = [np.array([a, b, 20 - a - b]) / 20 for a, b in itertools.product(range(21), repeat=2) if a + b <= 20]
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)

    def loss(own):
        return float(np.sum((own @ np.array(residuals)) ** 2))

    assert loss(weights) <= min(map(loss, shares)) + 1e-6


def test_two_models_are_weighed_by_the_closed_form():
    source = np.random.default_rng(5)
    first, second = source.normal(size=25), 0.8 * source.normal(size=25)
    expected = np.clip(first @ (first - second) / np.sum((first - second) ** 2), 0, 1)
    assert stacking_weights([first, second], [0.0, 0.0]) == pytest.approx([1 - expected, expected], abs=1e-6)


def test_a_price_keeps_a_model_out_that_gains_little():
    source = np.random.default_rng(6)
    simple = source.normal(size=40)
    other = simple + 0.1 * source.normal(size=40)
    assert stacking_weights([simple, other], [0.0, 20.0]) == pytest.approx([1, 0])
    assert stacking_weights([simple, 0.1 * other], [0.0, 20.0])[1] > 0.9
    assert stacking_weights([np.zeros(5), np.zeros(5)], [0.0, 20.0]).sum() == pytest.approx(1)


def test_a_stack_answers_as_the_mean_of_its_processes():
    first, second = process(KERNELS["additive"]), process(KERNELS["smooth process"])
    stack = Stack((first, second), (0.3, 0.7))
    new = inputs_of([0, 7])
    assert stack.predict(new) == pytest.approx(0.3 * first.predict(new) + 0.7 * second.predict(new))
    assert stack.residuals([2, 3]) == pytest.approx(0.3 * first.residuals([2, 3]) + 0.7 * second.residuals([2, 3]))
    weights = np.array([1.0, -1.0])
    parts = [each.contrast(new, weights) for each in (first, second)]
    mean, deviation = stack.contrast(new, weights)
    assert mean == pytest.approx(0.3 * parts[0][0] + 0.7 * parts[1][0])
    second_moment = 0.3 * (parts[0][1] ** 2 + parts[0][0] ** 2) + 0.7 * (parts[1][1] ** 2 + parts[1][0] ** 2)
    assert deviation**2 == pytest.approx(second_moment - mean**2)


def test_hyper_parameters_chosen_on_noise_hide_errors_and_those_of_a_plain_truth_do_not():
    prices, blocks = [price for _, price in MODELS.values()], [[row] for row in range(len(CELLS))]
    inputs, precision = inputs_of(range(len(CELLS))), np.ones(len(CELLS))
    single = sum(each.contrasts.sum(axis=1) for each in inputs)
    found = []
    for values in (SOURCE.normal(size=len(CELLS)), single + 0.05 * SOURCE.normal(size=len(CELLS))):
        fitted = tuple(fit_process(kernel, inputs, values, precision) for kernel in KERNELS.values())
        weights = stacking_weights([left_out_residuals(each, blocks) for each in fitted], prices)
        found.append(optimism(Stack(fitted, tuple(weights)), prices, blocks))
    assert found[0] > 1.03
    assert found[1] == pytest.approx(1.0, abs=0.1)
    assert optimism(Stack(fitted, tuple(weights)), prices, blocks[:4]) == 1.0
