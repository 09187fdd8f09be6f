"""Errors of contrasts from their own values by seed, against textbook formulas, brute force and simulation."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import exit_rows, results_from, trial_row

from bitskip.analysis.by_seed import BLOCKS, variance_over_seeds, variance_over_text
from bitskip.analysis.contrasts import estimate
from bitskip.analysis.effects import main_effects
from bitskip.analysis.levels import levels_of
from bitskip.analysis.student_t import satterthwaite
from bitskip.trial.config import make_trial

values = st.floats(-5, 5)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=1, max_size=6)))
def test_with_the_same_seeds_everywhere_it_is_the_standard_error_of_the_means(table):
    variance, df = variance_over_seeds([dict(enumerate(row)) for row in table])
    assert math.sqrt(variance) == pytest.approx(scipy.stats.sem(np.mean(table, axis=0)), abs=1e-9)
    assert df == pytest.approx(len(table[0]) - 1)


def test_where_settings_lack_seeds_it_is_unbiased_for_what_seeds_do_to_all_of_them():
    source = np.random.default_rng(0)
    held = [(0, 1, 2, 3), (0, 1), (1, 2, 3), (3,)]
    estimates, variances = [], []
    for _ in range(4000):
        shift = source.normal(0, 1, 4)
        settings_ = [{seed: float(shift[seed]) for seed in seeds} for seeds in held]
        estimates.append(np.mean([np.mean(list(own.values())) for own in settings_]))
        variances.append(variance_over_seeds(settings_)[0])
    assert np.mean(variances) == pytest.approx(np.var(estimates), rel=0.06)


def test_one_seed_says_nothing():
    assert variance_over_seeds([{0: 1.0}, {1: 2.0}]) is None


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.integers(0, 4), values, min_size=1), st.dictionaries(st.integers(0, 4), values, min_size=1))
def test_it_never_fails_and_degrees_of_freedom_are_no_more_than_the_seeds_allow(one, other):
    found = variance_over_seeds([one, other])
    if found is not None:
        assert found[0] >= 0
        assert 0.99 <= found[1] <= len(one.keys() | other.keys()) - 1 + 1e-9


def test_the_text_s_share_is_told_from_that_of_the_seeds():
    source = np.random.default_rng(1)
    found = []
    for _ in range(200):
        text = source.normal(0, 0.3, 640)
        sequences = (text + source.normal(0, 0.5, (4, 640))) / 4
        found.append(variance_over_text(sequences)[0])
    # The mean over 640 sequences of what is common to all seeds.
    assert np.mean(found) == pytest.approx(0.3**2 / 640, rel=0.15)
    assert variance_over_text(sequences)[1] == BLOCKS - 1


def test_documents_that_span_sequences_count_once():
    source = np.random.default_rng(2)
    documents = np.repeat(source.normal(0, 1, (300, 32)), 20, axis=1)
    found = np.mean([variance_over_text(row[None])[0] for row in documents])
    assert found == pytest.approx(1 / 32, rel=0.15)


def test_text_widens_the_interval_of_an_effect_and_is_absent_where_a_trial_lacks_it():
    off, on = (levels_of(make_trial(hadamard=name).axes()) for name in ("none", "bitnet-v2"))
    source = np.random.default_rng(3)
    text = source.normal(0, 0.5, 320)
    own = {
        on: {s: 0.1 + text + source.normal(0, 0.05, 320) for s in range(3)},
        off: {s: np.zeros(320) for s in range(3)},
    }
    means = {levels: {seed: float(each.mean()) for seed, each in by_seed.items()} for levels, by_seed in own.items()}
    weights = [{on: 1.0, off: -1.0}]
    plain, wide = estimate(weights, means), estimate(weights, means, text=own)
    assert plain.text_se is None
    assert wide.value == plain.value
    assert wide.se == pytest.approx(math.hypot(plain.se, wide.text_se))
    assert wide.text_se == pytest.approx(0.5 / math.sqrt(320), rel=0.4)
    lacking = {on: own[on], off: {0: own[off][0]}}
    assert estimate(weights, means, text=lacking) == plain


def test_satterthwaite_equals_welch():
    one, other = np.random.default_rng(4).normal(0, [[1.0], [4.0]], (2, 7))
    variance, df = satterthwaite([(one.var(ddof=1) / 7, 6), (other.var(ddof=1) / 7, 6)])
    found = scipy.stats.ttest_ind(one, other, equal_var=False)
    assert (one.mean() - other.mean()) / math.sqrt(variance) == pytest.approx(found.statistic)
    assert df == pytest.approx(found.df)


def test_losses_by_sequence_are_read_from_the_exits_and_older_rows_have_none():
    source = np.random.default_rng(5)
    trials = [make_trial(hadamard=on, seed=seed) for on in (False, True) for seed in range(3)]
    text = source.normal(0, 0.5, 64)
    losses = [3 + text * trial["hadamard"].startswith("b") + source.normal(0, 0.1, 64) for trial in trials]
    rows = [trial_row(trial, float(own.mean())) for trial, own in zip(trials, losses, strict=True)]
    exits = [row for trial, own in zip(trials, losses, strict=True) for row in exit_rows(trial, float(own.mean()))]
    plain = results_from(rows, exits)
    kept = iter(losses)
    by_exit = [next(kept).tolist() if row["exit_layer"] == row["depth"] else None for row in exits]
    column = pa.array(by_exit, pa.list_(pa.float32()))
    (before,) = main_effects(plain, estimands=("anchored",))
    (after,) = main_effects(
        dataclasses.replace(
            plain, exits=plain.exits.drop(["sequence_losses"]).append_column("sequence_losses", column)
        ),
        estimands=("anchored",),
    )
    assert before.text_se is None
    assert after.text_se == pytest.approx(0.5 / 8, rel=0.4)
    assert after.value == before.value
    assert after.se == pytest.approx(math.hypot(before.se, after.text_se))


def test_the_error_of_untrained_models_is_that_of_another_text():
    source = np.random.default_rng(6)
    trials = [make_trial(hadamard=on) for on in (False, True)]
    losses = [source.normal(3, 0.5, BLOCKS) + 0.4 * on + source.normal(0, 0.1, BLOCKS) for on in (0, 1)]
    pairs = list(zip(trials, losses, strict=True))
    rows = [{**trial_row(trial, float(own.mean())), "training": "none"} for trial, own in pairs]
    exits = [
        {**row, "sequence_losses": own.tolist() if row["exit_layer"] == row["depth"] else None}
        for trial, own in pairs
        for row in exit_rows(trial, float(own.mean()))
    ]
    (found,) = main_effects(results_from(rows, exits), estimands=("anchored",))
    paired = scipy.stats.ttest_rel(losses[1], losses[0])
    assert (found.low, found.high) == pytest.approx(tuple(paired.confidence_interval()), rel=1e-5)
    assert found.p_value == pytest.approx(paired.pvalue, rel=1e-3)
    assert found.more_seeds is None
