"""Failure rates against closed forms and a simulated region of divergence."""

import itertools

import pytest
import scipy.stats
from simulated_results import corner_risk, grid, results_from, simulate_failures, trial_row

from bitskip.analysis.factorial import strata
from bitskip.analysis.failure_rates import failure_compositions, jeffreys, tried
from bitskip.trial.config import make_trial

GRID = grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.1, 0.3))


def test_jeffreys_interval_equals_scipy_and_closes_at_the_ends():
    risk = jeffreys(2, 10)
    assert (risk.low, risk.high) == pytest.approx(scipy.stats.beta(2.5, 8.5).interval(0.9))
    assert jeffreys(0, 10).low == 0.0
    assert jeffreys(10, 10).high == 1.0


def test_failing_together_is_compared_with_independent_risks():
    (stratum,) = strata(simulate_failures(GRID, corner_risk, seeds=6))
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
    assert tried(stratum.cells) == (0, 1)
    assert failure_compositions(stratum) == []
