"""Schedules against hand-computed tables and their limits (docs/method.md, layer dropout and exit loss)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.techniques.early_exit import EXIT_CURRICULA, EXIT_SCALES, enabled_exits, exit_weights, loss_weights
from bitskip.techniques.layer_dropout import DEPTH_SCALES, dropout_progress, dropout_rates

RAW = {
    "quadratic": [0, 0.02, 0.08, 0.18, 0.32, 0.5],
    "linear": [0, 0.1, 0.2, 0.3, 0.4, 0.5],
    "exponential": [0, 0.074349, 0.159754, 0.257858, 0.370551, 0.5],
    "constant": [0.5] * 6,
    "log": [0.5 * math.log(layer + 1, 6) for layer in range(6)],
    "sin": [0.5 * math.sin(math.radians(18 * layer)) for layer in range(6)],
    "sigmoid": [0.5 / (1 + math.exp(5 - 2 * layer)) for layer in range(6)],
    "none": [0] * 6,
}
"""L = 6, p_max = 0.5, the last block included; u = l / (L - 1)."""

NORMALISED = {
    ("quadratic", "sum1"): [0, 0.033333, 0.133333, 0.3, 0.533333, 0],
    ("quadratic", "sum1-all"): [0, 0.018182, 0.072727, 0.163636, 0.290909, 0],
    ("linear", "sum1"): [0, 0.1, 0.2, 0.3, 0.4, 0],
    ("linear", "sum1-all"): [0, 0.066667, 0.133333, 0.2, 0.266667, 0],
    ("exponential", "sum1"): [0, 0.086201, 0.185219, 0.298962, 0.429618, 0],
    ("exponential", "sum1-all"): [0, 0.054568, 0.117250, 0.189252, 0.271961, 0],
    ("constant", "sum1"): [0.2, 0.2, 0.2, 0.2, 0.2, 0],
    ("constant", "sum1-all"): [*[1 / 6] * 5, 0],
    ("none", "sum1"): [0] * 6,
}


@pytest.mark.parametrize("schedule", DEPTH_SCALES)
def test_dropout_oracle(schedule: str) -> None:
    assert dropout_rates(schedule, 6, 0.5, last=True) == pytest.approx(RAW[schedule], abs=1e-6)
    assert dropout_rates(schedule, 6, 0.5) == pytest.approx([*RAW[schedule][:5], 0], abs=1e-6)


@pytest.mark.parametrize(("schedule", "norm"), NORMALISED)
def test_normalised_dropout_oracle(schedule: str, norm: str) -> None:
    assert dropout_rates(schedule, 6, 0.5, norm) == pytest.approx(NORMALISED[schedule, norm], abs=1e-6)


def test_normalisation_makes_the_two_readings_of_the_denominator_one() -> None:
    """(l / L)^2 and (l / (L - 1))^2 differ by a factor that the sum cancels."""
    card = [(layer / 6) ** 2 for layer in range(5)]
    expected = [*(rate / sum(card) for rate in card), 0]
    assert dropout_rates("quadratic", 6, 0.5, "sum1") == pytest.approx(expected)
    assert sum(dropout_rates("quadratic", 24, 0.5, "sum1")) == pytest.approx(1)
    assert max(dropout_rates("quadratic", 24, 0.5, "sum1")) == pytest.approx(0.127536, abs=1e-6)


@pytest.mark.parametrize(
    ("layers", "norm", "expected"),
    [
        (1, "none", [0]),
        (1, "sum1", [0]),
        (2, "none", [0, 0]),
        (2, "sum1", [0, 0]),
        (3, "none", [0, 0.125, 0]),
        (3, "sum1", [0, 0.95, 0]),
        (4, "sum1", [0, 0.2, 0.8, 0]),
    ],
)
def test_dropout_of_shallow_models(layers: int, norm: str, expected: list[float]) -> None:
    """Sums of zero stay zero; a rate that would be 1 is cut to 0.95, so that every block is trained."""
    assert dropout_rates("quadratic", layers, 0.5, norm) == pytest.approx(expected)


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
    every = {0, 1, 2, 3, 4, 5}
    assert sets("gradual", 24, [0, 1, 2, 4, 10, 12]) == [{5}, {5}, {4, 5}, {3, 4, 5}, every, every]
    assert sets("all", 24, [0, 23]) == [every, every]


@given(st.sampled_from(EXIT_CURRICULA), st.integers(1, 30), st.integers(1, 500), st.data())
def test_every_exit_has_its_turn_and_the_full_model_always(
    curriculum: str, layers: int, steps: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert enabled_exits(curriculum, layers, step, steps)[-1]
    if curriculum == "rotational":
        turns = [enabled_exits(curriculum, layers, step + shift, steps) for shift in range(3)]
        assert all(sum(on) == 1 for on in list(zip(*turns, strict=True))[:-1])
    if curriculum == "gradual":
        assert all(enabled_exits(curriculum, layers, -(-steps // 2), steps))


@pytest.mark.parametrize(
    ("scale", "weight", "expected"),
    [
        ("proportional", 0.3, 1.43),
        ("proportional-all", 0.3, 1.378),
        ("proportional-raw", 0.3, 1.945),
        ("uniform", 0.3, 1.0 + 0.3 * (2.0 + 1.5 + 1.2) / 3),
        ("layerskip", 0.2, 1.05),
        ("cumulative", 1.0, 0.05 * 2.0 + 0.15 * 1.5 + 0.3 * 1.2 + 0.5 * 1.0),
    ],
)
def test_training_loss_oracle(scale: str, weight: float, expected: float) -> None:
    """Cross-entropies 2, 1.5, 1.2, 1 at the four exits; layerskip and cumulative have no separate main loss."""
    weights = loss_weights(scale, "all", 4, weight, 0, 1)
    assert sum(w * loss for w, loss in zip(weights, [2.0, 1.5, 1.2, 1.0], strict=True)) == pytest.approx(expected)


@pytest.mark.parametrize("scale", EXIT_SCALES)
def test_without_exit_loss_only_the_full_model_is_trained(scale: str) -> None:
    assert loss_weights(scale, "all", 4, 0.0, 0, 1) == (0, 0, 0, 1)


def test_progress_runs_from_zero_to_one() -> None:
    assert dropout_progress("exponential", 0, 100) == 0
    assert dropout_progress("exponential", 99, 100) == pytest.approx(1)
    assert dropout_progress("none", 0, 100) == 1


@pytest.mark.parametrize("scale", EXIT_SCALES)
@pytest.mark.parametrize("curriculum", EXIT_CURRICULA)
def test_one_layer_is_trained_with_all_its_loss(scale: str, curriculum: str) -> None:
    """LayerSkip's weight of a single layer is 0; scales that count the final layer twice weigh it 1 + lambda."""
    counted_again = EXIT_SCALES[scale].final and not EXIT_SCALES[scale].alone
    extra = 0.3 * exit_weights(scale, 1)[0] if counted_again else 0.0
    assert loss_weights(scale, curriculum, 1, 0.3, 0, 1) == (1.0 + extra,)


@pytest.mark.parametrize("layers", [2, 3])
def test_shallow_models_train_their_full_depth(layers: int) -> None:
    for scale in EXIT_SCALES:
        for step in range(6):
            for curriculum in EXIT_CURRICULA:
                weights = loss_weights(scale, curriculum, layers, 0.3, step, 6)
                assert len(weights) == layers
                assert weights[-1] > 0
                assert min(weights) >= 0


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown dropout schedule"):
        dropout_rates("cubic", 4, 0.1)
    with pytest.raises(ValueError, match="p_max"):
        dropout_rates("linear", 4, 1.0)
    with pytest.raises(ValueError, match="unknown exit scale"):
        exit_weights("cubic", 4)
