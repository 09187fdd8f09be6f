"""Student's t against scipy's distributions."""

import math

import numpy as np
import pytest
import scipy.stats

from bitskip.analysis.student_t import (
    NORMAL_95,
    STUDENT_95,
    Estimate,
    mean_estimate,
    of_parts,
    student_t_quantile,
    student_t_tail,
)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 101, 400, math.inf])
@pytest.mark.parametrize("probability", [0.6, 0.95, 0.975, 0.999])
def test_quantiles_and_tails_equal_scipys_distributions(df, probability):
    expected = scipy.stats.norm if math.isinf(df) else scipy.stats.t(df)
    assert student_t_quantile(probability, df) == pytest.approx(expected.ppf(probability), rel=1e-9)
    assert student_t_tail(1.7, df) == pytest.approx(expected.sf(1.7), rel=1e-9)


def test_tables_hold_the_same_quantiles():
    assert scipy.stats.t.ppf(0.95, range(1, 11)) == pytest.approx(STUDENT_95[1:], abs=1e-4)
    assert pytest.approx(scipy.stats.norm.ppf(0.95), abs=1e-12) == NORMAL_95


def test_the_interval_of_a_mean_is_that_of_the_one_sample_t_test():
    values = np.random.default_rng(0).normal(0.3, 1, 6)
    test = scipy.stats.ttest_1samp(values, 0.0)
    found = mean_estimate(values.tolist())
    assert (found.value, found.p_value) == pytest.approx((values.mean(), test.pvalue))
    assert found.interval() == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert mean_estimate([0.3]) == Estimate(0.3, None, 0, 1)


def test_without_a_variance_there_is_no_interval_and_without_noise_no_doubt():
    unknown, exact, nothing = (Estimate(value, se, 3, 2) for value, se in ((0.1, None), (0.1, 0.0), (0.0, 0.0)))
    assert unknown.interval() is unknown.p_value is unknown.detectable is None
    assert (exact.p_value, nothing.p_value) == (0.0, 1.0)
    assert exact.interval() == (0.1, 0.1)


def test_errors_of_two_parts_cover_where_one_has_a_single_degree_of_freedom():
    source = np.random.default_rng(0)
    seeds, text = source.normal(0, 1.0, (2000, 2)), source.normal(0, 2.0, (2000, 32))
    found = [
        of_parts(a.mean() + b.mean(), [(a.var(ddof=1) / 2, 1), (b.var(ddof=1) / 32, 31)], 2)
        for a, b in zip(seeds, text, strict=True)
    ]
    inside = [low <= 0 <= high for low, high in (each.interval() for each in found)]
    assert 0.945 <= np.mean(inside) <= 0.98
    assert [each.p_value >= 0.05 for each in found] == inside
    alone = of_parts(0.3, [(0.01, 2), (0.0, 31)], 3)
    assert alone.interval() == Estimate(0.3, 0.1, 2, 3).interval()
