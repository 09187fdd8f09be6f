"""Searches of a learning rate: whose seeds count where, and effects at each arm's best rate."""

import math

import numpy as np
import pytest
import scipy.stats
from simulated_results import results_from, trial_row

from bitskip.analysis.effects import main_effects
from bitskip.analysis.factorial import strata
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.rates import at_optimum, best_rate_effects, searches
from bitskip.trial.config import make_trial

RATES = (0.002, 0.004, 0.008)
BEST = {16: 0.3, 4: -0.4}
"""Where each arm's optimum lies, in log2 of the rate beyond 0.004."""


def loss(bits, rate, seed, spread=0.0):
    shift = {100: -1.0, 101: 0.4, 102: 0.6}.get(seed, 0.0) * (1 if bits == 4 else -1)
    return (3.0 if bits == 16 else 3.2) + 0.1 * (math.log2(rate / 0.004) - BEST[bits]) ** 2 + spread * shift


def row(bits, rate, seed, spread=0.0):
    return trial_row(make_trial(bits=bits, lr=rate, seed=seed), loss(bits, rate, seed, spread))


def test_seeds_that_chose_the_rate_do_not_count_where_it_is_used():
    search = [row(bits, rate, seed, 0.5) for bits in (16, 4) for rate in RATES for seed in (100, 101, 102)]
    grid = [row(bits, 0.004, seed) for bits in (16, 4) for seed in (0, 1)]
    (effect,) = [
        e for e in main_effects(results_from(search + grid), estimands=("anchored",)) if e.rates == "at lr 0.004"
    ]
    assert effect.seeds == 2
    assert effect.value == pytest.approx(loss(4, 0.004, 0) - loss(16, 0.004, 0))
    found = {stratum.scale["lr"]: stratum for stratum in strata(results_from(search + grid))}
    assert [len(cell.search) for cell in found[0.004].cells] == [3, 3]
    assert [sorted(cell.searched(METRICS["ppl"])) for cell in found[0.004].cells] == [[100, 101, 102]] * 2
    assert [len(cell.rows) for cell in found[0.008].cells] == [3, 3]


def test_a_study_of_the_rate_on_the_grid_s_own_seeds_takes_none_away():
    grid = [
        trial_row(make_trial(bits=bits, hadamard=h, seed=s), 3.0)
        for bits in (16, 4)
        for h in (True, False)
        for s in (0, 1)
    ]
    study = [trial_row(make_trial(bits=16, lr=rate, seed=s), 3.0) for rate in RATES for s in (0, 1)]
    assert sorted(stratum.trials for stratum in strata(results_from(grid + study)))[-1] == 8


@pytest.mark.parametrize("bits", [16, 4])
def test_the_optimum_of_a_parabola_is_found_exactly(bits):
    found = at_optimum({rate: {0: loss(bits, rate, 0), 1: loss(bits, rate, 1)} for rate in RATES})
    assert found == {0: pytest.approx(3.0 if bits == 16 else 3.2), 1: pytest.approx(3.0 if bits == 16 else 3.2)}


def test_an_optimum_at_the_edge_is_none():
    assert at_optimum({rate: {0: -rate} for rate in RATES}) is None
    search = [row(16, rate, 0) for rate in RATES] + [trial_row(make_trial(bits=4, lr=r), -r) for r in RATES]
    (only,) = searches(strata(results_from(search)))
    assert best_rate_effects(only, 1) == {("bits 4",): None}


def test_intervals_at_each_arm_s_best_rate_hold_the_truth():
    """1,000 draws: what a search of three seeds finds, against the optimum in truth."""
    source = np.random.default_rng(0)
    wide = (0.001, *RATES, 0.016)
    inside = 0
    for _ in range(1000):
        arms = []
        for bits in (16, 4):
            noise = source.normal(0, 0.01, (5, 3))
            arms.append(
                at_optimum({r: {s: loss(bits, r, 0) + noise[i, s] for s in range(3)} for i, r in enumerate(wide)})
            )
        difference = [arms[1][seed] - arms[0][seed] for seed in range(3)]
        low, high = scipy.stats.ttest_1samp(difference, 0).confidence_interval()
        inside += low <= 0.2 <= high
    assert 0.93 <= inside / 1000 <= 0.97
