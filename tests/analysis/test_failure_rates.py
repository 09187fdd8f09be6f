"""The failure model against scikit-learn, closed forms and a simulated region of divergence."""

import itertools

import numpy as np
import pytest
import scipy.stats
from simulated_results import grid, results_from, trial_row
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bitskip.analysis.factorial import strata
from bitskip.analysis.failure_rates import _design, _logistic_ridge, failure_compositions, fit_failures, jeffreys
from bitskip.analysis.levels import levels_of
from bitskip.predict.features import encode
from bitskip.trial.config import make_trial

GRID = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.1, 0.3)}


def risk_of(trial):
    return 0.9 if trial["bits"] == 4 and trial["hadamard"] != "none" else 0.02


def results(risk, seeds=4, random=0, **levels):
    source = np.random.default_rng(random)
    rows = []
    for configuration in grid(**(levels or GRID)):
        axes = {n: v for n, v in configuration.axes().items() if n not in ("seed", "model", "data")}
        for seed in range(seeds):
            trial, failed = make_trial(**axes, seed=seed), source.random() < risk(configuration)
            rows.append(trial_row(trial, None if failed else 4.0, status="diverged" if failed else "ok"))
    return results_from(rows)


def test_a_dangerous_combination_is_found_and_its_neighbours_are_not():
    (stratum,) = strata(results(risk_of))
    model = fit_failures(stratum.cells, 6)
    risks = {c.trial_id: model.risk(levels_of(c.axes())) for c in grid(**GRID)}
    truth = [risk_of(c) > 0.5 for c in grid(**GRID)]
    assert roc_auc_score(truth, [risk.probability for risk in risks.values()]) > 0.95
    brier = np.mean([(risks[c.trial_id].probability - risk_of(c)) ** 2 for c in grid(**GRID)])
    base = np.mean([(model.pooled.probability - risk_of(c)) ** 2 for c in grid(**GRID)])
    assert brier < base / 2
    assert all(risk.low < risk.probability < risk.high for risk in risks.values())


def test_logistic_ridge_equals_scikit_learn():
    cells = [levels_of(c.axes()) for c in grid(**GRID)]
    design = _design(encode(cells, 6).codes(cells))
    failed = np.random.default_rng(0).integers(0, 4, len(cells)).astype(float)
    trials = np.full(len(cells), 4.0)
    weights, _ = _logistic_ridge(design, failed, trials)
    twice = np.vstack([design[:, 1:], design[:, 1:]])
    labels = np.repeat([1, 0], len(cells))
    challenger = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    challenger.fit(twice, labels, sample_weight=np.concatenate([failed, trials - failed]))
    assert weights[1:] == pytest.approx(challenger.coef_[0], abs=1e-4)
    assert weights[0] == pytest.approx(challenger.intercept_[0], abs=1e-4)


def test_jeffreys_interval_equals_scipy_and_closes_at_the_ends():
    risk = jeffreys(2, 10)
    assert (risk.low, risk.high) == pytest.approx(scipy.stats.beta(2.5, 8.5).interval(0.9))
    assert jeffreys(0, 10).low == 0.0
    assert jeffreys(10, 10).high == 1.0


@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_without_failures_or_successes_the_pooled_rate_stands(risk):
    (stratum,) = strata(results(lambda _: risk))
    model = fit_failures(stratum.cells, 6)
    assert model.risk(stratum.cells[0].levels) == model.pooled
    assert model.pooled.low <= risk <= model.pooled.high or abs(model.pooled.probability - risk) < 0.02


def test_failing_together_is_compared_with_independent_risks():
    (stratum,) = strata(results(risk_of, seeds=6))
    found = {each.techniques: each for each in failure_compositions(stratum)}
    together = found["bits 4", "hadamard bitnet-v2"]
    assert together.excess > 0.6
    assert together.both.low > together.first.high
    assert together.trials == 18


def test_machine_errors_say_nothing():
    rows = [
        trial_row(make_trial(bits=b, exit_weight=w), 4.0, status="error")
        for b, w in itertools.product((16, 8), (0.0, 0.3))
    ]
    (stratum,) = strata(results_from([*rows, trial_row(make_trial(bits=4), 4.0)]))
    assert fit_failures(stratum.cells, 6).pooled == jeffreys(0, 1)
    assert failure_compositions(stratum) == []
