"""The failure model against scikit-learn and a simulated region of divergence."""

import numpy as np
import pytest
from simulated_results import corner_risk, grid, simulate_failures
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bitskip.analysis.factorial import strata
from bitskip.analysis.levels import levels_of
from bitskip.predict.failure_model import _design, _logistic_ridge, fit_failures
from bitskip.predict.features import encode

GRID = grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.1, 0.3))


def test_a_dangerous_combination_is_found_and_its_neighbours_are_not():
    (stratum,) = strata(simulate_failures(GRID, corner_risk))
    model = fit_failures(stratum.cells, 6)
    risks = {c.trial_id: model.risk(levels_of(c.axes())) for c in GRID}
    truth = [corner_risk(c) > 0.5 for c in GRID]
    assert roc_auc_score(truth, [risk.probability for risk in risks.values()]) > 0.95
    brier = np.mean([(risks[c.trial_id].probability - corner_risk(c)) ** 2 for c in GRID])
    base = np.mean([(model.pooled.probability - corner_risk(c)) ** 2 for c in GRID])
    assert brier < base / 2
    assert all(risk.low < risk.probability < risk.high for risk in risks.values())


def test_logistic_ridge_equals_scikit_learn():
    cells = [levels_of(c.axes()) for c in GRID]
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


@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_without_failures_or_successes_the_pooled_rate_stands(risk):
    (stratum,) = strata(simulate_failures(GRID, lambda _: risk))
    model = fit_failures(stratum.cells, 6)
    assert model.risk(stratum.cells[0].levels) == model.pooled
    assert model.pooled.low <= risk <= model.pooled.high or abs(model.pooled.probability - risk) < 0.02
