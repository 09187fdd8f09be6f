"""Quantizers against hand-computed oracle values (METHOD 9.1, 9.2, 9.4) and their invariants."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitskip.method.quantize import quantize_activations, ternarize, ternary_codes, ternary_scale

W_A = torch.tensor([[0.9, -0.2, 0.05, -1.4], [0.3, -0.31, 0.0, 0.62]])


def test_ternary_oracle() -> None:
    assert ternary_scale(W_A).item() == pytest.approx(0.4725)
    assert ternary_codes(W_A).tolist() == [[1, 0, 0, -1], [1, -1, 0, 1]]
    assert ternarize(W_A).flatten().tolist() == pytest.approx([0.4725, 0, 0, -0.4725, 0.4725, -0.4725, 0, 0.4725])


def test_ternary_ties_go_to_zero() -> None:
    tied = torch.tensor([[0.5, -0.5, 1.5, -1.5], [1.0, 1.0, 1.0, 1.0]])
    assert ternary_codes(tied).tolist() == [[0, 0, 1, -1], [1, 1, 1, 1]]


def test_all_zero_weight_stays_zero_with_finite_gradient() -> None:
    weight = torch.zeros(2, 4, requires_grad=True)
    ternarize(weight).sum().backward()
    assert ternarize(weight).abs().sum() == 0
    assert torch.equal(weight.grad, torch.ones(2, 4))


@pytest.mark.parametrize(
    ("row", "bits", "scale", "expected"),
    [
        ([0.1, -0.5, 0.25, 1.0], 8, "absmax", [0.102362, -0.503937, 0.251969, 1]),
        ([0.1, -0.5, 0.25, 1.0], 4, "absmax", [0.142857, -0.571429, 0.285714, 1]),
        ([0.1, -0.5, 0.25, 1.0], 4, "auto", [0.174809, -0.524426, 0.174809, 1.048851]),
        ([0.1, -0.2, 0.3, 20.0], 8, "auto", [0.157480, -0.157480, 0.314961, 20]),
        ([0.1, -0.2, 0.3, 20.0], 4, "absmax", [0, 0, 0, 20]),
        ([0.1, -0.2, 0.3, 20.0], 4, "auto", [0, 0, 0, 13.625619]),
        ([-3.0, 1.5, 0.75, -0.1], 8, "auto", [-3, 1.511811, 0.755906, -0.094488]),
        ([-3.0, 1.5, 0.75, -0.1], 4, "auto", [-3.033165, 1.516582, 0.505527, 0]),
        ([7.0, 0.5, 1.5, -2.5], 4, "absmax", [7, 0, 2, -2]),
        ([7.0, 0.5, 1.5, -2.5], 4, "auto", [6.519887, 0, 1.086648, -2.173296]),
        ([0.0, 0.0, 0.0, 0.0], 4, "auto", [0, 0, 0, 0]),
    ],
)
def test_activation_oracle(row: list[float], bits: int, scale: str, expected: list[float]) -> None:
    assert quantize_activations(torch.tensor(row), bits, scale).tolist() == pytest.approx(expected, abs=2e-6)


def test_tokens_do_not_influence_each_other() -> None:
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[2] *= 100
    before, after = quantize_activations(x, 8), quantize_activations(changed, 8)
    assert torch.equal(before[[0, 1, 3, 4]], after[[0, 1, 3, 4]])


def test_gradients_are_straight_through() -> None:
    """METHOD 9.4: dL/dx uses the quantized weight, dL/dW the quantized input."""
    x = torch.tensor([1.25, 0.25, -2.25, 2.75], requires_grad=True)
    weight = W_A.clone().requires_grad_()
    y = quantize_activations(x, 8) @ ternarize(weight).T
    y.backward(torch.tensor([1.0, -0.5]))
    expected = [1.255906, 0.259843, -2.251969, 2.75, -0.627953, -0.129921, 1.125984, -1.375]
    assert weight.grad.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert y.tolist() == pytest.approx([-0.705960, 1.770015], abs=1e-6)


@given(st.integers(2, 8), st.integers(0, 10_000), st.sampled_from(["absmax", "absmean"]))
def test_few_levels_and_powers_of_two_scale_through(bits: int, seed: int, scale: str) -> None:
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))
    quantized = quantize_activations(x, bits, scale)
    assert all(len(row.unique()) <= 2**bits for row in quantized)
    assert torch.equal(quantize_activations(4 * x, bits, scale), 4 * quantized)


@given(st.integers(0, 10_000))
def test_error_is_at_most_half_a_step_with_absmax(seed: int) -> None:
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(seed))
    step = x.abs().amax(-1, keepdim=True) / 127
    assert ((quantize_activations(x, 8) - x).abs() <= step * (0.5 + 1e-4)).all()


def test_sixteen_bits_change_nothing_and_thirty_two_almost_nothing() -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    assert quantize_activations(x, 16) is x
    assert torch.allclose(quantize_activations(x, 32, "absmax"), x, rtol=1e-6, atol=1e-6)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        quantize_activations(torch.ones(4), 1)
    with pytest.raises(ValueError, match="unknown activation scale"):
        quantize_activations(torch.ones(4), 8, "median")
