"""Intervals and scores against brute force and closed forms."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import FULL_GRID, grid, simulate, with_interactions

from bitskip.analysis.factorial import families, strata
from bitskip.analysis.levels import levels_of
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.student_t import STUDENT_95
from bitskip.predict.cross_validation import ceiling, mean_error, r_squared, rank_correlation, skill_over
from bitskip.predict.fanova import variance_shares
from bitskip.predict.jackknife import (
    Residuals,
    coverage,
    half_width,
    inner_blocks,
    jackknife_plus,
    joined,
    last_blocks,
    pair_blocks,
    prefix_blocks,
    stretched,
    student_95,
    weighted_quantile,
    widened,
)
from bitskip.predict.response_surface import fit_surface

SOURCE = np.random.default_rng(0)
COUNT = 40
TRIALS = tuple(SOURCE.normal(size=int(SOURCE.integers(1, 4))) for _ in range(COUNT))
VALUES = np.array([own.mean() for own in TRIALS])
EXPECTED = VALUES - SOURCE.normal(size=COUNT)
BLOCKS = SOURCE.integers(0, 30, COUNT)
RESIDUALS = Residuals(TRIALS, EXPECTED, BLOCKS)


def singles(values, expected):
    return Residuals(tuple(values[:, None]), expected, np.arange(len(values)))


def points_of(residuals):
    """(configuration, |trial - prediction|, weight) of every trial: a block weighs one, its configurations alike."""
    sizes = {block: list(residuals.block).count(block) for block in residuals.block}
    return [
        (i, abs(y - residuals.expected[i]), 1 / len(own) / sizes[residuals.block[i]])
        for i, own in enumerate(residuals.trials)
        for y in own
    ]


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
    level = 0.9 * (1 + 1 / len(set(BLOCKS)))
    points = points_of(RESIDUALS)
    assert high == pytest.approx(brute_quantile([(without[i] + r, w) for i, r, w in points], level))
    assert low == pytest.approx(-brute_quantile([(r - without[i], w) for i, r, w in points], level))


def test_jackknife_plus_covers_exchangeable_data():
    # Predicting by the mean of the others: 90 % of new normal values; 600 draws have a standard error of 1.2 %.
    inside = 0
    for draw in range(600):
        source = np.random.default_rng(draw)
        values, new = source.normal(size=25), source.normal()
        without = (values.sum() - values) / 24
        low, high = jackknife_plus(without, singles(values, without), float(values.mean()), trial=True)
        inside += low <= new <= high
    assert 0.86 <= inside / 600 <= 0.95


def test_few_configurations_get_at_least_students_interval():
    values, missed = np.array([1.0, 2.0, 4.0]), np.array([-1.0, 0.5, 2.0])
    low, high = jackknife_plus(values, singles(values, values - missed), 2.0, trial=False)
    half = STUDENT_95[2] * math.sqrt((1 + 0.25 + 4) / 3) * math.sqrt(4 / 3)
    assert (low, high) == (min(2 - half, low), max(2 + half, high))
    assert high - 2 >= half - 1e-12


def test_coverage_equals_its_definition():
    points = points_of(RESIDUALS)
    shares = []
    for block in sorted(set(BLOCKS)):
        rest = [(r, w) for i, r, w in points if BLOCKS[i] != block]
        half = brute_quantile(rest, 0.9 * (1 + 1 / (len(set(BLOCKS)) - 1)))
        own = [(r <= half, w) for i, r, w in points if BLOCKS[i] == block]
        shares.append(sum(inside * w for inside, w in own) / sum(w for _, w in own))
    assert coverage(RESIDUALS) == pytest.approx(np.mean(shares))


def test_half_widths_cover_another_block():
    """Blocks that differ in size and in how far they are missed: 90 % of the trials of one more, on average."""
    inside = []
    for draw in range(400):
        source = np.random.default_rng(draw)
        sizes = source.integers(1, 6, 21)
        missed = [source.normal(source.normal(), 0.3, size) for size in sizes]
        blocks = [list(range(int(sum(sizes[:i])), int(sum(sizes[: i + 1])))) for i in range(20)]
        trials = [np.array([y]) for own in missed[:-1] for y in own]
        half = half_width(joined(blocks, trials, [np.zeros(len(block)) for block in blocks]))
        inside.append(np.mean(np.abs(missed[-1]) <= half))
    assert 0.87 <= np.mean(inside) <= 0.94


def test_configurations_that_share_a_prefix_are_left_out_together():
    trials = grid(bits=(16, 4), dropout=("none", "quadratic"), exit_weight=(0.0, 0.3), phase=("2", "1+2"))
    levels = [levels_of(trial.axes()) for trial in trials]
    found = [[trials[i] for i in block] for block in prefix_blocks(levels)]
    assert sorted(len(block) for block in found) == [1] * 8 + [3, 3]
    for block in found:
        if len(block) > 1:
            assert {(trial["bits"], trial["phase"]) for trial in block} in ({(16, "1+2")}, {(4, "1+2")})


def test_levels_between_and_last_levels():
    trials = grid(bits=(16, 8, 6, 4), exit_weight=(0.0, 0.1, 0.3), hadamard=("none", "bitnet-v2"))
    levels = [levels_of(trial.axes()) for trial in trials]
    inner, around = inner_blocks(levels)
    cells = [{(trials[i]["bits"], trials[i]["exit_weight"]) for i in block} for block in (*inner, *last_blocks(levels))]
    # 16 bits are no bit width: 8 lies between nothing.
    between = [{(6, w) for w in (0, 0.1, 0.3)}, {(b, 0.1) for b in (16, 8, 6, 4)}]
    assert cells == [*between, {(4, w) for w in (0, 0.1, 0.3)}, {(b, 0.3) for b in (16, 8, 6, 4)}]
    for block, ends in zip(inner, around, strict=True):
        for i, pair in zip(block, ends, strict=True):
            assert all(sum(a != b for a, b in zip(levels[i], end, strict=True)) == 1 for end in pair)


def test_every_pair_that_could_be_missing_is_left_out_once(surface):
    blocks = pair_blocks(surface.levels, surface.baseline)
    # Levels off the baseline: bits 2, hadamard 1, dropout 4, exit weight 2.
    assert len(blocks) == 2 * 1 + 2 * 4 + 2 * 2 + 1 * 4 + 1 * 2 + 4 * 2
    assert all(len(block) >= 3 for block in blocks)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=12), st.floats(0.05, 0.99))
def test_weighted_quantile_equals_brute_force(points, level):
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    assert weighted_quantile(values, weights, level) == brute_quantile(points, level)


@pytest.mark.parametrize(("own", "own_df", "sd", "df"), [(1.0, 30, 0.3, 1), (1.0, 30, 1.0, 2), (0.3, 20, 1.0, 3)])
def test_intervals_widened_by_a_shift_hold_what_they_say(own, own_df, sd, df):
    source = np.random.default_rng(0)
    inside = []
    for _ in range(4000):
        half = student_95(own_df) * own * math.sqrt(source.chisquare(own_df) / own_df)
        known = sd * math.sqrt(source.chisquare(df) / df)
        low, high = widened((5 - half, 5 + half), 5.0, own_df, known, df)
        inside.append(low <= 5 + source.normal(0, math.hypot(own, sd)) <= high)
    assert 0.885 <= np.mean(inside) <= 0.95


def test_students_quantile_without_scipy():
    for df in (1, 1.5, 2, 3, 7.5, 10, 25, 1000):
        assert student_95(df) == pytest.approx(scipy.stats.t.ppf(0.95, df), rel=0.04)


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


def test_stretched_residuals_keep_the_scatter_of_trials():
    residuals = Residuals((np.array([1.0, 1.4]), np.array([2.0])), np.array([1.0, 2.5]), np.array([0, 1]))
    found = stretched(residuals, 1.5)
    assert found.of_means()[0] == pytest.approx(1.5 * residuals.of_means()[0])
    assert np.ptp(found.trials[0]) == pytest.approx(0.4)
