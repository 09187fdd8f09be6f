"""Intervals and scores against brute force and closed forms."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import FULL_GRID, grid, simulate, with_interactions

from bitskip.analysis.factorial import families, strata
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.student_t import STUDENT_95
from bitskip.predict.cross_validation import ceiling, mean_error, r_squared, rank_correlation, skill_over
from bitskip.predict.fanova import variance_shares
from bitskip.predict.jackknife import (
    Residuals,
    coverage,
    jackknife_plus,
    pair_blocks,
    pair_half_width,
    weighted_quantile,
    widened,
)
from bitskip.predict.response_surface import fit_surface

SOURCE = np.random.default_rng(0)
COUNT = 40
TRIALS = tuple(SOURCE.normal(size=int(SOURCE.integers(1, 4))) for _ in range(COUNT))
VALUES = np.array([own.mean() for own in TRIALS])
RESIDUALS = Residuals(TRIALS, VALUES, SOURCE.normal(size=COUNT))


@pytest.fixture(scope="module")
def surface():
    results = simulate(grid(**FULL_GRID), with_interactions, seeds=2)
    (family,) = families(strata(results))
    return fit_surface(family, METRICS["ppl"])


def brute_quantile(points, level):
    """Smallest point with at least a share `level` of the weight at or below it."""
    points = sorted(points)
    total = sum(weight for _, weight in points)
    reached = 0.0
    for value, weight in points:
        reached += weight
        if reached >= level * total - 1e-9:
            return value
    return points[-1][0]


def test_jackknife_plus_equals_its_definition():
    without = SOURCE.normal(size=COUNT)
    low, high = jackknife_plus(without, RESIDUALS, 0.0, trial=True)
    expected = VALUES - RESIDUALS.left_out
    level = 0.9 * (1 + 1 / COUNT)
    points = [(i, abs(y - expected[i]), 1 / len(own)) for i, own in enumerate(TRIALS) for y in own]
    assert high == pytest.approx(brute_quantile([(without[i] + r, w) for i, r, w in points], level))
    assert low == pytest.approx(-brute_quantile([(r - without[i], w) for i, r, w in points], level))


def test_jackknife_plus_covers_exchangeable_data():
    # Predicting by the mean of the others: 90 % of new normal values; 600 draws have a standard error of 1.2 %.
    inside = 0
    for draw in range(600):
        source = np.random.default_rng(draw)
        values, new = source.normal(size=25), source.normal()
        without = (values.sum() - values) / 24
        residuals = Residuals(tuple(values[:, None]), values, values - without)
        low, high = jackknife_plus(without, residuals, float(values.mean()), trial=True)
        inside += low <= new <= high
    assert 0.86 <= inside / 600 <= 0.95


def test_few_configurations_get_at_least_students_interval():
    values = np.array([1.0, 2.0, 4.0])
    residuals = Residuals(tuple(values[:, None]), values, np.array([-1.0, 0.5, 2.0]))
    low, high = jackknife_plus(values, residuals, 2.0, trial=False)
    half = STUDENT_95[2] * math.sqrt((1 + 0.25 + 4) / 3) * math.sqrt(4 / 3)
    assert (low, high) == (min(2 - half, low), max(2 + half, high))
    assert high - 2 >= half - 1e-12


def test_coverage_equals_its_definition():
    magnitudes, groups, weights = RESIDUALS.of_trials()
    shares = []
    for i in range(COUNT):
        rest = [(m, w) for m, g, w in zip(magnitudes, groups, weights, strict=True) if g != i]
        half = brute_quantile(rest, 0.9 * (1 + 1 / (COUNT - 1)))
        shares.append(np.mean(np.abs(TRIALS[i] - RESIDUALS.expected[i]) <= half))
    assert coverage(RESIDUALS) == pytest.approx(np.mean(shares))


def test_every_pair_that_could_be_missing_is_left_out_once(surface):
    blocks = pair_blocks(surface.levels, surface.baseline)
    # Levels off the baseline: bits 2, hadamard 1, dropout 4, exit weight 2.
    assert len(blocks) == 2 * 1 + 2 * 4 + 2 * 2 + 1 * 4 + 1 * 2 + 4 * 2
    assert all(len(block) >= 3 for block in blocks)


def test_pair_half_width_is_a_quantile_of_quantiles(surface):
    blocks = pair_blocks(surface.levels, surface.baseline)
    residuals = surface.residuals()
    halves = []
    for block in blocks:
        expected = surface.values[block] - surface.model.block_residuals(block)
        magnitudes = [
            (abs(y - e), 1 / len(surface.trials[i]))
            for i, e in zip(block, expected, strict=True)
            for y in surface.trials[i]
        ]
        halves.append(brute_quantile(magnitudes, 0.9))
    expected = sorted(halves)[math.ceil(0.9 * (len(halves) + 1)) - 1]
    assert pair_half_width(surface.model, residuals, blocks) == pytest.approx(expected)
    assert pair_half_width(surface.model, residuals, []) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=12), st.floats(0.05, 0.99))
def test_weighted_quantile_equals_brute_force(points, level):
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    assert weighted_quantile(values, weights, level) == brute_quantile(points, level)


def test_independent_errors_add_in_squares():
    assert widened((7.0, 14.0), 10.0, 4.0) == pytest.approx((5.0, 10 + math.hypot(4, 4)))


def test_scores_equal_their_definitions():
    values, residuals = SOURCE.normal(size=50), 0.3 * SOURCE.normal(size=50)
    groups = [i % 3 for i in range(50)]
    centred = values - np.array([values[np.array(groups) == g].mean() for g in groups])
    assert r_squared(values, residuals) == pytest.approx(1 - residuals.var() / values.var(), abs=0.02)
    assert r_squared(values, residuals, groups) == pytest.approx(1 - residuals @ residuals / (centred @ centred))
    assert r_squared(np.ones(50), residuals) is None
    assert ceiling(values, np.full(50, 0.1)) == pytest.approx(1 - 0.1 / values.var())
    assert mean_error(np.array([0.1, -0.1]), np.ones(2), logarithmic=True) == pytest.approx(100 * math.expm1(0.1))
    tied = np.round(values, 1)
    assert rank_correlation(values, tied) == pytest.approx(scipy.stats.spearmanr(values, tied)[0])
    assert rank_correlation(values, np.ones(50)) is None
    skill, low, high = skill_over(residuals, 2 * residuals)
    assert (skill, low, high) == pytest.approx((0.75, 0.75, 0.75))
    assert skill_over(residuals, np.zeros(50)) == (0.0, 0.0, 0.0)


def test_variance_shares_equal_the_anova_of_the_truth(surface):
    shares = {each.factors: each.share for each in variance_shares(surface)}
    assert sum(shares.values()) == pytest.approx(1)
    # Where the phase is constant the crossing is bits 3 x hadamard 2 x dropout 5 x exit 3, by brute force on the truth.
    trials = grid(**FULL_GRID)
    truth = np.array([with_interactions(trial) for trial in trials])
    bits = np.array([trial["bits"] for trial in trials])
    rotated = np.array([trial["hadamard"] != "none" for trial in trials])
    single = {b: truth[bits == b].mean() - truth.mean() for b in (16, 8, 4)}
    turned = {h: truth[rotated == h].mean() - truth.mean() for h in (True, False)}
    joint = [truth[(bits == b) & (rotated == h)].mean() - truth.mean() - single[b] - turned[h]
             for b in single for h in turned]  # fmt: skip
    assert shares["bits",] == pytest.approx(np.var(list(single.values())) / truth.var(), abs=0.03)
    assert shares["bits", "hadamard"] == pytest.approx(np.var(joint) / truth.var(), abs=0.02)
