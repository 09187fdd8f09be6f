"""Effects where trials failed: against the truncated normal of scipy, and in simulation."""

import math

import numpy as np
import pytest
import scipy.stats
from simulated_results import results_from, trial_row

from bitskip.analysis.effects import main_effects
from bitskip.analysis.factorial import strata
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.missing import shifts
from bitskip.analysis.student_t import Estimate
from bitskip.trial.config import make_trial


def measured(losses: dict[int, list[float | None]]):
    """Trials by bits and seed; None has diverged."""
    return results_from(
        [
            trial_row(make_trial(bits=bits, seed=seed), loss, status="ok" if loss is not None else "diverged")
            for bits, values in losses.items()
            for seed, loss in enumerate(values)
        ]
    )


def of(results):
    (stratum,) = strata(results)
    return shifts(stratum.cells, {cell.levels: cell.values(METRICS["ppl"]) for cell in stratum.cells})


def test_a_shift_is_what_cutting_off_the_highest_losses_takes_from_a_mean():
    source = np.random.default_rng(0)
    noise, shift = source.normal(0, 0.02, (3, 200)), source.normal(0, 1, 200)
    losses = {bits: list(own + shift) for bits, own in zip((16, 8, 4), noise, strict=True)}
    losses[4][:50] = [None] * 50
    (found,) = of(measured(losses)).values()
    cut = scipy.stats.truncnorm.mean(-math.inf, scipy.stats.norm.ppf(0.75))
    assert found == pytest.approx(-0.02 * cut, rel=0.1)


def test_nothing_moves_where_nothing_failed():
    assert of(measured({16: [3.0, 3.1], 4: [3.2, 3.25]})) == {}


def test_intervals_and_tests_hold_the_value_shifted_and_not():
    plain, moved = Estimate(0.3, 0.1, 4, 5), Estimate(0.3, 0.1, 4, 5, shift=-0.1)
    low, high = plain.interval()
    assert moved.interval() == pytest.approx((low - 0.1, high))
    assert moved.p_value == pytest.approx(Estimate(0.2, 0.1, 4, 5).p_value)
    assert Estimate(0.3, 0.1, 4, 5, shift=0.1).p_value == plain.p_value
    assert Estimate(0.05, 0.1, 4, 5, shift=-0.1).p_value == 1.0


def test_an_effect_of_trials_that_failed_for_their_loss_is_covered():
    """The worst fifth fails: what is left is 0.35 sd too good."""
    inside = []
    for draw in range(80):
        losses = 3 + np.random.default_rng(draw).normal(0, 0.02, (2, 12))
        ran = {16: list(losses[0]), 4: [None if loss > 3 + 0.02 * 0.8416 else loss for loss in losses[1]]}
        (effect,) = [each for each in main_effects(measured(ran)) if each.estimand == "anchored"]
        inside.append(effect.low <= 0 <= effect.high)
    assert np.mean(inside) > 0.9
