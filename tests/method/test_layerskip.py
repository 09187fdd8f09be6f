"""Schedules against the oracle tables (METHOD 9.5, 9.6) and their limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.method.layerskip import (
    DEPTH_SCALES,
    EXIT_SCALES,
    dropout_progress,
    dropout_rates,
    enabled_exits,
    exit_weights,
    loss_weights,
)


@pytest.mark.parametrize(
    ("schedule", "norm", "expected"),
    [
        ("quadratic", "none", [0, 0.02, 0.08, 0.18, 0.32, 0]),
        ("linear", "none", [0, 0.1, 0.2, 0.3, 0.4, 0]),
        ("exponential", "none", [0, 0.074349, 0.159754, 0.257858, 0.370551, 0]),
        ("constant", "none", [0.5, 0.5, 0.5, 0.5, 0.5, 0]),
        ("quadratic", "sum1", [0, 0.033333, 0.133333, 0.3, 0.533333, 0]),
        ("exponential", "sum1", [0, 0.086201, 0.185219, 0.298962, 0.429618, 0]),
        ("none", "sum1", [0] * 6),
        ("quadratic", "sum1-all", [0, 0.018182, 0.072727, 0.163636, 0.290909, 0]),
        ("linear", "sum1-all", [0, 0.066667, 0.133333, 0.2, 0.266667, 0]),
        ("exponential", "sum1-all", [0, 0.054568, 0.117250, 0.189252, 0.271961, 0]),
        ("constant", "sum1-all", [*[1 / 6] * 5, 0]),
    ],
)
def test_dropout_oracle(schedule: str, norm: str, expected: list[float]) -> None:
    assert dropout_rates(schedule, 6, 0.5, norm) == pytest.approx(expected, abs=1e-6)


@given(st.sampled_from(list(DEPTH_SCALES)), st.integers(1, 48), st.floats(0, 0.99), st.sampled_from(["none", "sum1"]))
def test_rates_are_probabilities_and_spare_the_last_block(schedule: str, layers: int, p_max: float, norm: str) -> None:
    rates = dropout_rates(schedule, layers, p_max, norm)
    assert len(rates) == layers
    assert all(0 <= rate < 1 for rate in rates)
    assert rates[-1] == 0


def test_normalised_rates_do_not_depend_on_p_max() -> None:
    assert dropout_rates("linear", 8, 0.5, "sum1") == pytest.approx(dropout_rates("linear", 8, 0.1, "sum1"))


@pytest.mark.parametrize(
    ("scale", "e_scale", "expected"),
    [
        ("proportional", 0.2, [1 / 6, 2 / 6, 3 / 6, 0]),
        ("uniform", 0.2, [1 / 3, 1 / 3, 1 / 3, 0]),
        ("proportional-all", 0.2, [0.1, 0.2, 0.3, 0.4]),
        ("proportional-raw", 0.2, [0.25, 0.5, 0.75, 1]),
        ("linspace", 0.2, [0.025, 0.1, 0.175, 0.25]),
        ("cumulative", 0.2, [0.016667, 0.05, 0.1, 0.833333]),
        ("cumulative", 1.0, [0.05, 0.15, 0.3, 0.5]),
        ("triangular", 0.2, [0.05, 0.15, 0.3, 0.5]),
        ("layerskip", 0.1, [0, 0.027027, 0.081081, 0.891892]),
        ("layerskip", 0.2, [0, 0.045455, 0.136364, 0.818182]),
        ("layerskip", 1.0, [0, 0.1, 0.3, 0.6]),
    ],
)
def test_exit_weight_oracle(scale: str, e_scale: float, expected: list[float]) -> None:
    assert exit_weights(scale, 4, e_scale) == pytest.approx(expected, abs=1e-6)


@given(
    st.sampled_from([name for name, scale in EXIT_SCALES.items() if scale.normalised]),
    st.integers(2, 48),
    st.floats(0.01, 2),
)
def test_normalised_exit_weights_sum_to_one(scale: str, layers: int, e_scale: float) -> None:
    assert sum(exit_weights(scale, layers, e_scale)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("scale", "expected"), [("layerskip", [0, 0.052632, 0, 0.947368]), ("cumulative", [0, 0.0625, 0, 0.9375])]
)
def test_exit_weights_of_a_subset_oracle(scale: str, expected: list[float]) -> None:
    assert exit_weights(scale, 4, 0.2, (False, True, False, True)) == pytest.approx(expected, abs=1e-6)


def test_layerskip_drops_the_last_block_most() -> None:
    rates = dropout_rates("exponential", 6, 0.5, last=True)
    assert rates == pytest.approx([0, 0.074349, 0.159754, 0.257858, 0.370551, 0.5], abs=1e-6)
    assert sum(dropout_rates("constant", 6, 0.5, "sum1", last=True)) == pytest.approx(1)


def test_curricula_oracle() -> None:
    def sets(curriculum: str, steps: int, at: list[int]) -> list[set[int]]:
        return [{i for i, on in enumerate(enabled_exits(curriculum, 6, t, steps)) if on} for t in at]

    assert sets("rotational", 24, [0, 1, 2, 3]) == [{0, 3, 5}, {1, 4, 5}, {2, 5}, {0, 3, 5}]
    assert sets("gradual", 24, [0, 2, 4, 10]) == [{5}, {4, 5}, {3, 4, 5}, {0, 1, 2, 3, 4, 5}]


def test_training_loss_oracle() -> None:
    """METHOD 9.6 with CE = [2, 1.5, 1.2, 1]: main + 0.3 * exits = 1.43; LayerSkip with e = 0.2 gives 1.05."""
    losses = [2.0, 1.5, 1.2, 1.0]

    def total(scale: str, weight: float) -> float:
        weights = loss_weights(scale, "all", 4, weight, 0, 1)
        return sum(w * loss for w, loss in zip(weights, losses, strict=True))

    assert total("proportional", 0.3) == pytest.approx(1.43)
    assert total("layerskip", 0.2) == pytest.approx(1.05)
    assert loss_weights("proportional", "all", 4, 0.0, 0, 1) == (0, 0, 0, 1)


def test_progress_runs_from_zero_to_one() -> None:
    assert dropout_progress("exponential", 0, 100) == 0
    assert dropout_progress("exponential", 99, 100) == pytest.approx(1)
    assert dropout_progress("none", 0, 100) == 1


@pytest.mark.parametrize("layers", [1, 2])
def test_shallow_models_have_no_rates_and_no_exits(layers: int) -> None:
    assert sum(dropout_rates("quadratic", layers, 0.5, "sum1")) == 0
    assert loss_weights("proportional", "all", 1, 0.3, 0, 1) == (1.0,)
    assert loss_weights("layerskip", "all", 1, 0.3, 0, 1) == (1.0,)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown dropout schedule"):
        dropout_rates("cubic", 4, 0.1)
    with pytest.raises(ValueError, match="p_max"):
        dropout_rates("linear", 4, 1.0)
    with pytest.raises(ValueError, match="unknown exit scale"):
        exit_weights("cubic", 4)
