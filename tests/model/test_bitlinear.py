"""One linear layer: oracle values of every order, straight-through gradients, null checks (docs/method.md)."""

import pytest
import torch
from layers import bit_linear, quantize_inputs, signs_of
from torch import Tensor

from bitskip.model.bitlinear import BitLinear, frozen_weights, quantized_once, shared_input
from bitskip.ops.hadamard import hadamard_transform
from bitskip.ops.quantizers import ternary_codes, ternary_scale
from bitskip.trial.config import make_trial

W_A = [[0.9, -0.2, 0.05, -1.4], [0.3, -0.31, 0.0, 0.62]]
X = [1.0, -2.0, 0.5, 3.0]
ALL_VARIANTS = ["bitnet-v2", "bitnet-v2-all", "down-only", "random-sign", "as-published"]


def linear(
    inputs: int = 4, outputs: int = 2, site: str = "down", weight: Tensor | None = None, **axes: object
) -> BitLinear:
    trial = make_trial(**{"activation_scale": "absmax", **axes})
    layer = bit_linear(trial, site, inputs, outputs)
    if weight is None:
        weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1))
    layer.weight.data = weight
    return layer


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"bits": 8}, [-0.948720, 2.835]),
        ({"bits": 4}, [-1.0125, 2.835]),
        ({"bits": 8, "hadamard": "bitnet-v2"}, [-0.705960, 1.770015]),
        ({"bits": 4, "hadamard": "bitnet-v2"}, [-0.7425, 1.670625]),
        ({"bits": 8, "hadamard": "as-published"}, [0.745824, -1.756040]),
        ({"bits": 4, "hadamard": "as-published"}, [0.644351, -1.789864]),
        ({"bits": 8, "hadamard": "as-published", "hadamard_scale": "none"}, [2.109508, -4.966831]),
        ({"bits": 4, "hadamard": "as-published", "hadamard_scale": "none"}, [1.8225, -5.0625]),
        ({}, [-2.875, 2.78]),
    ],
    ids=str,
)
def test_oracle(axes: dict[str, object], expected: list[float]) -> None:
    layer = linear(weight=torch.tensor(W_A), **axes)
    assert layer(torch.tensor(X)).tolist() == pytest.approx(expected, abs=1e-5)


def test_straight_through_gradient_oracle() -> None:
    """dL/dx = H^T What^T g and dL/dW = g x^T with the quantized rotated input, zeroed weights included."""
    layer = linear(weight=torch.tensor(W_A), bits=8, hadamard="bitnet-v2")
    x = torch.tensor(X, requires_grad=True)
    layer(x).backward(torch.tensor([1.0, -0.5]))
    assert x.grad.tolist() == pytest.approx([-0.118125, 0.354375, 0.590625, -0.354375], abs=1e-6)
    expected = [1.255906, 0.259843, -2.251969, 2.75, -0.627953, -0.129921, 1.125984, -1.375]
    assert layer.weight.grad.flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("hadamard", ["none", *ALL_VARIANTS])
@pytest.mark.parametrize("bits", [16, 8, 4])
def test_gradients_are_those_of_the_same_maps_without_rounding(bits: int, hadamard: str) -> None:
    """Every variant as one matrix: y = A What B x with the layer's own A and B, differentiated by hand."""
    layer = linear(16, 8, bits=bits, hadamard=hadamard, weights="ternary")
    signs = torch.ones(16) if signs_of(layer) is None else signs_of(layer)
    into = hadamard_transform(torch.eye(16)) * signs if hadamard != "none" else torch.eye(16)
    out = hadamard_transform(torch.eye(8)) if hadamard == "as-published" else torch.eye(8)
    x, g = normal(5, 16).requires_grad_(), normal(5, 8, seed=2)
    seen = layer.quantized_input(x).detach()
    layer(x).backward(g)
    quantized = layer.effective_weight().detach()
    assert torch.allclose(x.grad, g @ out.T @ quantized @ into, atol=1e-5)
    assert torch.allclose(layer.weight.grad, (g @ out.T).T @ seen, atol=1e-5)
    assert (layer.weight.grad[quantized == 0] != 0).any()


@pytest.mark.parametrize("hadamard", ["none", *ALL_VARIANTS])
def test_training_and_evaluation_compute_the_same(hadamard: str) -> None:
    layer = linear(16, 8, bits=8, hadamard=hadamard)
    x = normal(3, 16)
    trained = layer.train()(x)
    with torch.no_grad(), frozen_weights(layer):
        assert torch.equal(layer.eval()(x), trained)


@pytest.mark.parametrize("bits", [8, 4])
def test_integer_arithmetic_gives_the_same_output(bits: int) -> None:
    """y = (x_int T) s alpha / q with an int32 accumulator: what an integer kernel would compute."""
    layer, x = linear(64, 32, bits=bits), normal(7, 64)
    top = 2 ** (bits - 1) - 1
    scale = x.abs().amax(-1, keepdim=True)
    integers = (layer.quantized_input(x) * top / scale).round()
    product = integers.to(torch.int32) @ ternary_codes(layer.weight).to(torch.int32).T
    assert torch.allclose(product * scale / top * ternary_scale(layer.weight), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hadamard", ["none", *ALL_VARIANTS])
def test_the_weight_is_quantized_once(hadamard: str) -> None:
    """A second quantization would keep the codes and shrink the scale."""
    layer = linear(16, 8, bits=8, hadamard=hadamard)
    for _ in range(2):
        with torch.no_grad(), frozen_weights(layer):
            assert layer.effective_weight().abs().max().item() == ternary_scale(layer.weight).item()
        assert layer.effective_weight().abs().max().item() == ternary_scale(layer.weight).item()


@pytest.mark.parametrize("hadamard", ["none", *ALL_VARIANTS])
def test_thirty_two_bits_are_as_good_as_none(hadamard: str) -> None:
    plain, fine = (linear(64, 32, hadamard=hadamard) for _ in range(2))
    quantize_inputs(fine, 32)
    x = normal(5, 64)
    assert torch.allclose(fine(x), plain(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hadamard", ALL_VARIANTS)
@pytest.mark.parametrize("width", [16, 12], ids=["whole", "blocks"])
@pytest.mark.parametrize("bits", [16, 4])
def test_the_identity_for_the_transform_equals_off_with_its_gradients(
    monkeypatch: pytest.MonkeyPatch, hadamard: str, width: int, bits: int
) -> None:
    """An axis switches its technique and nothing else: bitwise, signs of +1 for `random-sign`."""
    blocks = {"hadamard_blocks": True, "model.ffn_width": 96} if width == 12 else {}
    monkeypatch.setattr("bitskip.ops.hadamard.hadamard_transform", lambda x, block=None: x)
    monkeypatch.setattr("bitskip.ops.hadamard.random_signs", lambda n, seed: torch.ones(n))
    outputs = []
    for variant in ("none", hadamard):
        layer = linear(width, width, bits=bits, weights="ternary", hadamard=variant, **blocks)
        x = normal(3, width).requires_grad_()
        y = layer(x)
        y.backward(normal(3, width, seed=2))
        outputs.append((y, x.grad, layer.weight.grad))
    for off, identity in zip(*outputs, strict=True):
        assert torch.equal(off, identity)


@pytest.mark.parametrize("hadamard", ALL_VARIANTS)
@pytest.mark.parametrize("width", [16, 12], ids=["whole", "blocks"])
def test_weights_in_the_rotated_basis_give_the_plain_layer(hadamard: str, width: int) -> None:
    """Without quantization W H D (and, as published, H W H) undoes what the variant does to input and output."""
    blocks = {"hadamard_blocks": True, "model.ffn_width": 96} if width == 12 else {}
    plain = linear(width, width)
    rotated = linear(width, width, hadamard=hadamard, **blocks)
    block = width & -width
    weight = plain.weight.data if signs_of(rotated) is None else plain.weight.data * signs_of(rotated)
    weight = hadamard_transform(weight, block)
    if hadamard == "as-published":
        weight = hadamard_transform(weight.T.contiguous(), block).T
    rotated.weight.data = weight
    x = normal(5, width)
    assert torch.allclose(rotated(x), plain(x), atol=1e-5)
    assert not torch.allclose(linear(width, width, hadamard=hadamard, **blocks)(x), plain(x), atol=0.1)


def test_sites_that_a_variant_leaves_alone_stay_plain() -> None:
    x = normal(3, 16)
    plain = linear(16, 8, site="q", bits=8)
    for hadamard in ("bitnet-v2", "random-sign"):
        assert torch.equal(linear(16, 8, site="q", bits=8, hadamard=hadamard)(x), plain(x))
    for hadamard in ("bitnet-v2-all", "as-published"):
        assert not torch.equal(linear(16, 8, site="q", bits=8, hadamard=hadamard)(x), plain(x))


def test_layers_of_one_input_quantize_it_once() -> None:
    """Bitwise the outputs and gradients of each layer by itself, whether they agree on the quantizer or not."""
    for bits in (8, 4):
        layers = [linear(16, 8, site=site, bits=8) for site in ("q", "k", "v")]
        quantize_inputs(layers[2], bits)
        x = normal(3, 16).requires_grad_()
        apart = [layer(x) for layer in layers]
        together = shared_input(x, *layers)
        for one, other, layer in zip(apart, together, layers, strict=True):
            assert torch.equal(one, other)
            gradients = [torch.autograd.grad(y.sum(), [x, layer.weight]) for y in (one, other)]
            assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_copies_shared_by_micro_batches_hand_their_gradient_on() -> None:
    layer = linear(16, 8, bits=8)
    parts = normal(3, 16), normal(3, 16, seed=2)
    for part in parts:
        layer(part).square().sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    with quantized_once(layer):
        for part in parts:
            layer(part).square().sum().backward()
    assert torch.equal(layer.weight.grad, expected)
    assert layer(parts[0]).requires_grad


def test_frozen_weights_are_cast_once_in_autocast() -> None:
    layer, x = linear(16, 8, bits=8), normal(3, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = layer(x)
        with frozen_weights(layer):
            assert layer.effective_weight().dtype == torch.bfloat16
            assert torch.equal(layer(x), expected)
