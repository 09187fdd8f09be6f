"""Hand-written backward passes against autograd's of the plain formulas, in fp64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bitskip.model.rotary import rotary_table
from bitskip.ops.fused import RMSNorm, gated, rotate
from bitskip.trial.config import PRESETS


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(5, 16), (2, 3, 16)], ids=str)
def test_norm_is_torchs_with_its_gradients(shape: tuple[int, ...]) -> None:
    norm = RMSNorm(16, eps=1e-3, dtype=torch.float64)
    torch.nn.init.normal_(norm.weight)
    x = normal(*shape).requires_grad_()
    ours, theirs = norm(x), F.rms_norm(x, (16,), norm.weight, 1e-3)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(y, [x, norm.weight], normal(*shape, seed=1)) for y in (ours, theirs)]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


def test_rotation_is_that_of_complex_numbers_with_its_gradient() -> None:
    """(a + ib) e^(i angle) on the pairs of the two halves."""
    sizes = PRESETS["nano"]
    table = rotary_table(sizes, 8, torch.device("cpu"), torch.float64)
    x = normal(2, 3, 8, sizes.head_width).requires_grad_()
    half = sizes.head_width // 2
    turns = torch.complex(table[0, :, :half], table[1, :, half:])
    product = torch.complex(x[..., :half], x[..., half:]) * turns
    expected = torch.cat([product.real, product.imag], -1)
    ours = rotate(x, table)
    assert torch.allclose(ours, expected, rtol=1e-12)
    g = normal(2, 3, 8, sizes.head_width, seed=1)
    gradients = [torch.autograd.grad(y, x, g)[0] for y in (ours, expected)]
    assert torch.allclose(*gradients, rtol=1e-12)


def test_transforms_of_functions_pass_through() -> None:
    """torch.func differentiates, many at once, what is written here."""
    norm = RMSNorm(16, eps=1e-5, dtype=torch.float64)
    table = rotary_table(PRESETS["nano"], 4, torch.device("cpu"), torch.float64)
    xs = normal(3, 2, 4, 16)

    def loss(x: Tensor) -> Tensor:
        return rotate(norm(x), table).pow(3).sum()

    many = torch.func.vmap(torch.func.grad(loss))(xs)
    for x, found in zip(xs, many, strict=True):
        given = x.clone().requires_grad_()
        assert torch.allclose(found, torch.autograd.grad(loss(given), given)[0], rtol=1e-10)


def both_passes(outputs: Tensor, inputs: list[Tensor], gradient: Tensor) -> list[Tensor]:
    """Gradients of a second backward pass, which finds what the first has found: nothing that is kept has changed."""
    first = torch.autograd.grad(outputs, inputs, gradient, retain_graph=True)
    second = torch.autograd.grad(outputs, inputs, gradient)
    assert all(map(torch.equal, first, second))
    return list(second)


def test_gate_is_that_of_swiglu() -> None:
    gate, up = normal(3, 5).requires_grad_(), normal(3, 5, seed=1).requires_grad_()
    assert torch.equal(gated(gate, up), F.silu(gate) * up)
    assert torch.autograd.gradcheck(gated, (gate, up))
    found = both_passes(gated(gate, up), [gate, up], normal(3, 5, seed=2))
    expected = torch.autograd.grad(F.silu(gate) * up, [gate, up], normal(3, 5, seed=2))
    assert all(torch.allclose(one, other, rtol=1e-12) for one, other in zip(found, expected, strict=True))


def test_rotation_takes_any_layout_and_length() -> None:
    sizes = PRESETS["nano"]
    table = rotary_table(sizes, 8, torch.device("cpu"), torch.float64)
    by_position = normal(2, 8, 3, sizes.head_width).requires_grad_()
    x = by_position.transpose(1, 2)
    whole = rotate(x, table)
    assert torch.equal(whole, rotate(x.contiguous(), table))
    for position in range(8):
        alone = rotate(x[:, :, position : position + 1], table[:, position : position + 1])
        assert torch.allclose(alone, whole[:, :, position : position + 1], rtol=1e-12)
    both_passes(whole, [by_position], normal(2, 3, 8, sizes.head_width, seed=1))
    assert torch.autograd.gradcheck(
        lambda x: rotate(x, table[:, :2]), normal(1, 2, 2, sizes.head_width).requires_grad_()
    )
