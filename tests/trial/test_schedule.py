"""Learning rates against their definitions; settings of a schedule that do not act are no part of a trial's id."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.errors import UserError
from bitskip.testing import a_trial, losses_of
from bitskip.trial.config import make_trial
from bitskip.trial.schedule import cooldown_steps, learning_rate, sampled_steps


def rates(steps: int, **axes: object) -> list[float]:
    trial = make_trial(**{"lr": 1.0, "batch_size": 1, "seq_len": 2, "tokens": 2 * steps, **axes})
    assert trial.steps == steps
    return [learning_rate(trial.training, step, steps) for step in range(steps)]


def test_the_cosine_is_what_it_was() -> None:
    """Bitwise, by the formula of 0.1."""
    warm, steps, least = 5, 97, 0.1
    expected = [
        (step + 1) / warm if step < warm
        else least + (1 - least) * 0.5 * (1 + math.cos(math.pi * ((step - warm) / (steps - 1 - warm))))
        for step in range(steps)
    ]  # fmt: skip
    assert rates(steps) == expected == rates(steps, warmup_steps=5, warmup=0.7)


@given(st.integers(8, 200), st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.5]))
def test_a_linear_schedule_falls_by_equal_steps_to_its_end(steps: int, warm: int, least: float) -> None:
    found = rates(steps, schedule="linear", warmup_steps=warm, min_lr=least)
    falls = [before - after for before, after in zip(found[warm:], found[warm + 1 :], strict=False)]
    assert found[:warm] == [float(Fraction(step + 1, warm)) for step in range(warm)]
    assert found[warm] == 1.0
    assert found[-1] == pytest.approx(least, abs=1e-12)
    assert falls == pytest.approx([(1 - least) / (steps - 1 - warm)] * len(falls), abs=1e-12)


@given(st.integers(1, 200), st.integers(1, 20), st.floats(0, 1))
def test_wsd_stays_at_the_peak_and_reaches_zero_one_step_after_its_end(steps: int, warm: int, share: float) -> None:
    found = rates(steps, schedule="wsd", warmup_steps=warm, cooldown=share)
    cooldown = max(1, round(share * steps))
    expected = [
        min(Fraction(1), Fraction(step + 1, warm), Fraction(steps - step, cooldown + 1)) for step in range(steps)
    ]
    assert found == pytest.approx([float(rate) for rate in expected], rel=1e-12)
    assert min(found) > 0
    assert all(rate < 1 for rate in found[steps - cooldown :])


def test_diagnostics_of_wsd_lie_in_the_cooldown() -> None:
    training = make_trial(schedule="wsd", warmup_steps=2, diagnostic_points=4).training
    assert cooldown_steps(training, 100) == 20
    assert sampled_steps(training, 100) == {85, 90, 95, 100}
    assert min(sampled_steps(training, 5)) > 4 - cooldown_steps(training, 5)


@pytest.mark.parametrize("settings", [{}, {"warmup": 0.1}], ids=str)
def test_wsd_refuses_a_warm_up_that_depends_on_the_budget(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="set warmup_steps, such as 20, or warmup: 0"):
        make_trial(schedule="wsd", **settings)
    make_trial(schedule="wsd", warmup=0)
    make_trial(schedule="wsd", warmup_steps=3, **settings)


STEPS_OF_A_TRIAL = 6


@pytest.mark.parametrize(
    ("axes", "same"),
    [
        ({"cooldown": 0.5}, {}),
        ({"schedule": "linear", "cooldown": 0.5}, {"schedule": "linear"}),
        ({"schedule": "wsd", "warmup_steps": 2, "min_lr": 0.5}, {"schedule": "wsd", "warmup_steps": 2}),
        ({"schedule": "wsd", "warmup_steps": 2, "warmup": 0.0}, {"schedule": "wsd", "warmup_steps": 2}),
        ({"warmup_steps": 2, "warmup": 0.5}, {"warmup_steps": 2}),
        ({"schedule": "linear", "min_lr": 1.0}, {"min_lr": 1.0}),
        ({"schedule": "linear", "warmup_steps": 3}, {"warmup_steps": 3}),
        ({"schedule": "linear", "warmup_steps": 9}, {"warmup_steps": 9}),
    ],
    ids=str,
)
def test_what_a_schedule_does_not_read_is_no_other_trial(axes: dict[str, object], same: dict[str, object]) -> None:
    assert a_trial(**axes).steps == STEPS_OF_A_TRIAL
    assert a_trial(**axes).trial_id == a_trial(**same).trial_id
    assert losses_of(a_trial(**axes)) == losses_of(a_trial(**same))


@pytest.mark.parametrize(
    ("axes", "other"),
    [
        ({"schedule": "linear"}, {}),
        ({"schedule": "linear", "warmup_steps": 2}, {"warmup_steps": 2}),
        ({"schedule": "wsd", "warmup": 0}, {"warmup": 0, "min_lr": 1.0}),
        ({"schedule": "wsd", "warmup": 0, "cooldown": 0.5}, {"schedule": "wsd", "warmup": 0}),
        ({"schedule": "wsd", "warmup": 0}, {"schedule": "wsd", "warmup_steps": 2}),
        ({"warmup_steps": 2}, {"warmup_steps": 3}),
    ],
    ids=str,
)
def test_what_trains_otherwise_is_another_trial(axes: dict[str, object], other: dict[str, object]) -> None:
    assert a_trial(**axes).trial_id != a_trial(**other).trial_id
    assert losses_of(a_trial(**axes)) != losses_of(a_trial(**other))
