"""The transform against scipy's matrices and hand-computed values (METHOD 9.3)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard as scipy_hadamard

from bitskip.method.hadamard import hadamard_transform, random_signs
from bitskip.method.quantize import quantize_activations


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64, 128, 256, 512, 2048, 2**15])
def test_equals_scipy(n: int) -> None:
    x = torch.randn(2, 3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    if n <= 2048:
        expected = x @ torch.tensor(scipy_hadamard(n), dtype=torch.float64) / n**0.5
        assert torch.allclose(hadamard_transform(x), expected, atol=1e-12)
    assert torch.allclose(hadamard_transform(hadamard_transform(x)), x, atol=1e-12)


def test_oracle_values() -> None:
    x = torch.tensor([1, -2, 0.5, 3, 0, -1, 2, 4])
    expected = [2.651650, -0.176777, -4.065864, 3.005204, -0.883883, 0.530330, 0.883883, 0.883883]
    assert hadamard_transform(x).tolist() == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 9), st.integers(0, 10_000))
def test_keeps_length_and_leaves_its_input_alone(exponent: int, seed: int) -> None:
    x = torch.randn(3, 2**exponent, generator=torch.Generator().manual_seed(seed))
    before = x.clone()
    assert torch.allclose(hadamard_transform(x).norm(dim=-1), x.norm(dim=-1), rtol=1e-5)
    assert torch.equal(x, before)


def test_gradient_is_exact() -> None:
    x = torch.randn(2, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(hadamard_transform, (x,))


def test_half_precision_accumulates_in_fp32() -> None:
    x = torch.randn(8, 1024, generator=torch.Generator().manual_seed(0))
    exact = hadamard_transform(x.bfloat16().double())
    assert torch.allclose(hadamard_transform(x.bfloat16()).double(), exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("n", [0, 3, 6, 96])
def test_other_widths_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="power-of-two"):
        hadamard_transform(torch.ones(2, n))


def _relative_error(x: torch.Tensor, bits: int, rotate: bool) -> float:
    rotated = hadamard_transform(x) if rotate else x
    quantized = quantize_activations(rotated, bits, "absmax")
    back = hadamard_transform(quantized) if rotate else quantized
    return ((back - x).norm() / x.norm()).item()


def test_rotation_helps_outliers_and_hurts_a_nonzero_mean() -> None:
    """METHOD 9.3 and 6.3: the outlier row's error falls, that of non-negative input rises unless signs are drawn."""
    outlier = torch.sin(1.7 * torch.arange(64, dtype=torch.float64))
    outlier[7] = 50.0
    assert _relative_error(outlier, 8, False) == pytest.approx(0.02019, abs=1e-5)
    assert _relative_error(outlier, 8, True) == pytest.approx(0.00322, abs=1e-5)
    assert _relative_error(outlier, 4, True) == pytest.approx(0.04808, abs=1e-5)
    positive = torch.randn(64, 2048, generator=torch.Generator().manual_seed(0)).abs()
    assert _relative_error(positive, 4, True) > 2 * _relative_error(positive, 4, False)
    assert _relative_error(positive * random_signs(2048, 0), 4, True) < 1.1 * _relative_error(positive, 4, False)
