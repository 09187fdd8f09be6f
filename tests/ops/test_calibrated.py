"""GPTQ against optimal brain quantization with an inverse per column; static scales in their limits."""

import pytest
import torch

from bitskip.ops.calibrated import COLUMNS, DAMPING, StaticQuantizer, gptq
from bitskip.techniques.integer_weights import IntegerQuantizer


def problem(inputs: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight [12, inputs], and correlated inputs [400, inputs]."""
    source = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=source) / inputs**0.5 + torch.eye(inputs)
    return torch.randn(12, inputs, generator=source), torch.randn(400, inputs, generator=source) @ mixing


@pytest.mark.parametrize("quantizer", [IntegerQuantizer(b, g, "absmax") for b, g in ((4, "channel"), (2, "32"))])
def test_it_is_optimal_brain_quantization_in_the_order_of_columns(quantizer: IntegerQuantizer) -> None:
    """The remaining columns move by the solution of least squares, from an explicit inverse at each column."""
    weight, x = problem(COLUMNS + 32)
    hessian = x.T @ x
    rounded = quantizer.by_column(weight)
    damped = hessian.double()
    damped = damped + DAMPING * damped.diagonal().mean() * torch.eye(len(damped))
    rest, expected = weight.double().clone(), torch.zeros_like(weight, dtype=torch.float64)
    for column in range(weight.shape[1]):
        expected[:, column] = rounded(rest[:, column], column)
        inverse = torch.linalg.inv(damped[column:, column:])
        error = (rest[:, column] - expected[:, column]) / inverse[0, 0]
        rest[:, column:] -= error[:, None] * inverse[0]
    assert (gptq(weight, hessian, rounded) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("group", ["tensor", "channel", "32"])
def test_outputs_are_nearer_than_those_of_nearest_rounding(group: str) -> None:
    weight, x = problem(64)
    quantizer = IntegerQuantizer(3, group, "absmax")
    found, nearest = gptq(weight, x.T @ x, quantizer.by_column(weight)), quantizer(weight)
    errors = [((weight - other) @ x.T).square().sum().item() for other in (found, nearest)]
    assert errors[0] < 0.8 * errors[1]


def test_without_correlation_it_rounds_to_nearest() -> None:
    weight, _ = problem(64)
    quantizer = IntegerQuantizer(4, "channel", "absmax")
    assert torch.allclose(gptq(weight, torch.eye(64), quantizer.by_column(weight)), quantizer(weight), atol=1e-6)


def test_a_static_scale_clips_what_is_larger() -> None:
    quantizer = StaticQuantizer(4)
    x = torch.tensor([[-3.5, 0.24, 7.0], [0.0, 1.0, 70.0]], requires_grad=True)
    assert torch.equal(quantizer(x), x)
    quantizer.observe(x[0])
    quantizer.fitted = True
    assert quantizer(x).tolist() == [[-4.0, 0.0, 7.0], [0.0, 1.0, 7.0]]
    quantizer(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(2, 3))
