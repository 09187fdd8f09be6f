"""The method core against other people's implementations of the same formulas (docs/method.md, agreement).

Where a package follows another convention the test says which one, and compares what must be equal all the same.
"""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from layers import bit_linear
from torch import Tensor, nn

from bitskip.model.decoder import build_model
from bitskip.ops.quantizers import quantize_activations, ternarize, ternary_codes
from bitskip.techniques.early_exit import enabled_exits, exit_weights, loss_weights
from bitskip.techniques.layer_dropout import DEPTH_SCALES, dropout_rates
from bitskip.trial.config import make_trial


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_same_grid_points(found: Tensor, expected: Tensor, step: Tensor, ties: float = 1e-3) -> None:
    """The same integers times the same step up to fp32; a share `ties` may round over a boundary, by one step."""
    apart = (found - expected).abs() / step
    assert (apart <= 1.001).all()
    assert (apart > 1e-3).float().mean() <= ties


@pytest.fixture(scope="module")
def bitnet() -> ModuleType:
    """Their functions are compiled when first called; here they run as they are written."""
    module = pytest.importorskip("transformers.integrations.bitnet", reason="transformers is not installed")
    with torch.compiler.set_stance("force_eager"):
        yield module


@pytest.mark.parametrize("shape", [(8, 16), (64, 256)])
def test_ternary_weights_equal_transformers(bitnet: Any, shape: tuple[int, int]) -> None:
    weight, g = normal(*shape).requires_grad_(), normal(*shape, seed=1)
    ours = ternarize(weight)
    ours.backward(g)
    own_grad, weight.grad = weight.grad, None
    theirs = bitnet.WeightQuant.apply(weight)
    theirs.backward(g)
    assert torch.equal(ours.sign(), theirs.sign())
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=0)
    assert torch.equal(own_grad, weight.grad)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e4], ids=["below the floor", "ordinary", "large"])
def test_int8_activations_equal_transformers(bitnet: Any, scale: float) -> None:
    """They divide by a rounded 127 / s and clip at -128, which absmax never reaches."""
    x = (scale * normal(64, 256)).requires_grad_()
    ours, theirs = quantize_activations(x, 8), bitnet.ActQuant.apply(x)
    step = x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    assert_same_grid_points(ours.detach(), theirs.detach(), step)
    grads = [torch.autograd.grad(y, x, normal(64, 256, seed=1))[0] for y in (ours, theirs)]
    assert torch.equal(*grads)


def test_a_linear_layer_equals_transformers(bitnet: Any) -> None:
    """AutoBitLinear quantizes online as in training: forward pass and both gradients."""
    ours = bit_linear(make_trial(bits=8), "q", 256, 64)
    theirs = bitnet.AutoBitLinear(256, 64, bias=False, online_quant=True)
    ours.weight.data = theirs.weight.data = normal(64, 256, seed=1)
    x, g = normal(32, 256), normal(32, 64, seed=2)
    passes = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        y = layer(given)
        y.backward(g)
        passes.append((y, given.grad, layer.weight.grad))
    for found, expected in zip(*passes, strict=True):
        # A tie that rounds the other way moves one input by 1/127 of the largest one.
        assert torch.allclose(found, expected, rtol=1e-3, atol=0.05 * expected.std().item())
        assert ((found - expected).norm() / expected.norm()).item() < 1e-3


def test_packed_inference_equals_transformers(bitnet: Any) -> None:
    """Their inference layer holds 2-bit codes and 1 / alpha and multiplies integers: our forward pass of training."""
    ours = bit_linear(make_trial(bits=8), "q", 256, 64)
    ours.weight.data = normal(64, 256, seed=1)
    theirs = bitnet.BitLinear(256, 64, bias=False, dtype=torch.float32)
    theirs.weight.copy_(bitnet.pack_weights(ternary_codes(ours.weight.detach()).clone()))
    theirs.weight_scale.fill_(1 / ours.effective_weight().abs().max().item())
    x = normal(32, 256)
    assert ((ours(x) - theirs(x)).norm() / ours(x).norm()).item() < 1e-3


@pytest.fixture(scope="module")
def torchao() -> Any:
    reason = "torchao is not installed, or not in a version that this torch can load"
    return pytest.importorskip("torchao.quantization.quant_primitives", reason=reason, exc_type=ImportError)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_absmax_equals_torchao(torchao: Any, bits: int) -> None:
    """Symmetric, a scale per row over the integers -q … q, with the straight-through gradient.

    Told to use -q … q; its default is -q - 1 … q with the step s / (q + 1/2). Its floor is one of the step, not of s.
    """
    x, top = normal(64, 256).requires_grad_(), 2 ** (bits - 1) - 1
    bounds = {"quant_min": -top, "quant_max": top}
    scale, zero = torchao.choose_qparams_affine(
        x.detach(), torchao.MappingType.SYMMETRIC, (1, 256), torch.int8, **bounds, eps=1e-5 / top,
        scale_dtype=torch.float32, zero_point_dtype=torch.int32,
    )  # fmt: skip
    assert torch.equal(zero, torch.zeros_like(zero))
    theirs = torchao._fake_quantize_affine(x, (1, 256), scale, zero, torch.int32, **bounds)
    ours = quantize_activations(x, bits, "absmax")
    assert_same_grid_points(ours.detach(), theirs.detach(), scale[:, None])
    own, other = (torch.autograd.grad(y, x, normal(64, 256, seed=1))[0] for y in (ours, theirs))
    assert torch.allclose(own, other, rtol=1e-6, atol=0)  # they divide by the step and multiply with it again


@pytest.mark.parametrize("bits", [4, 8])
def test_absmean_equals_torchao_with_its_scale_given(torchao: Any, bits: int) -> None:
    """It has no absmean rule; with beta / sqrt(q) for the step and -q - 1 … q it must round and clip alike."""
    x, top = normal(64, 256), 2 ** (bits - 1) - 1
    scale = x.abs().mean(-1) / math.sqrt(top)
    theirs = torchao._fake_quantize_affine(
        x, (1, 256), scale, torch.zeros(64, dtype=torch.int32), torch.int32, -top - 1, top
    )
    assert_same_grid_points(quantize_activations(x, bits, "absmean"), theirs, scale[:, None])


@pytest.fixture(scope="module")
def layer_dropout() -> Any:
    reason = "torchtune is not installed, or not with a torchao that it can import (0.16)"
    return pytest.importorskip("torchtune.modules.layer_dropout", reason=reason, exc_type=ImportError)


@pytest.fixture(scope="module")
def exit_loss() -> Any:
    reason = "torchtune is not installed, or not with a torchao that it can import (0.16)"
    return pytest.importorskip("torchtune.modules.early_exit_loss", reason=reason, exc_type=ImportError)


SCALES = {"constant": "uniform", "exponential": "exp", "linear": "linear", "log": "log", "sin": "sin",
          "sigmoid": "sigmoid"}  # fmt: skip


@pytest.mark.parametrize("schedule", SCALES)
@pytest.mark.parametrize("layers", [2, 3, 6, 24])
def test_dropout_rates_equal_torchtune(layer_dropout: Any, schedule: str, layers: int) -> None:
    """They set the last layer's scale to 1, which sigmoid only nears: 0.9933."""
    theirs = [0.5 * layer_dropout.get_scale(SCALES[schedule], layers - 1, layer) for layer in range(layers)]
    ours = dropout_rates(schedule, layers, 0.5, last=True)
    assert ours[:-1] == pytest.approx(theirs[:-1], abs=1e-12)
    assert ours[-1] == pytest.approx(theirs[-1], rel=0.007 if schedule == "sigmoid" else 1e-12)
    assert set(SCALES) == set(DEPTH_SCALES) - {"none", "quadratic"}


def test_a_model_of_one_layer_is_where_torchtune_differs(layer_dropout: Any) -> None:
    """There it is dropped at the full rate, here at that of the first layer."""
    assert layer_dropout.get_scale("linear", 0, 0) == 1.0
    assert dropout_rates("linear", 1, 0.5, last=True) == (0.0,)


def test_skipping_sequences_equals_torchtune(layer_dropout: Any) -> None:
    """Their wrapper around our blocks, against our own pass with the same draws: states and gradients."""
    trial = make_trial(
        model={"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}, bits=8, **{"data.vocab_size": 300}
    )
    model, ids = build_model(trial), torch.randint(0, 300, (8, 12), generator=torch.Generator().manual_seed(0))
    keep = torch.stack([
        torch.bernoulli(torch.full((8,), 0.5), generator=torch.Generator().manual_seed(layer)) == 0
        for layer in range(3)
    ])  # fmt: skip
    passes = []
    *_, ours = model.hidden_states(ids, keep)
    theirs = model.embedding(ids)
    for layer in range(3):
        dropout = layer_dropout.LayerDropout(prob=0.5, seed=layer)

        def block(x: Tensor, layer: int = layer) -> Tensor:
            (y,) = model.run_blocks(x, first=layer, last=layer + 1)
            return y

        theirs = dropout(block, theirs)
    assert 0 < keep.float().mean() < 1
    for hidden in (ours, theirs):
        model.zero_grad()
        hidden.square().mean().backward()
        passes.append([hidden, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*passes, strict=True))


@pytest.mark.parametrize("ids", [[0, 1, 2, 3], [1, 3], [0, 3], [3]], ids=str)
@pytest.mark.parametrize("e_scale", [0.1, 0.2, 1.0])
def test_cumulative_exit_weights_equal_torchtune(exit_loss: Any, ids: list[int], e_scale: float) -> None:
    theirs = exit_loss.sum_l_loss_scale(torch.tensor(ids), 4, e_scale)
    ours = exit_weights("cumulative", 4, e_scale, [layer in ids for layer in range(4)])
    assert [ours[layer] for layer in ids] == pytest.approx(theirs.tolist(), abs=1e-6)
    assert sum(ours) == pytest.approx(1)


def test_proportional_and_uniform_exit_weights_equal_torchtune(exit_loss: Any) -> None:
    """Over the exits that `proportional` and `uniform` count, which leave the final one to the main loss."""
    every, early = torch.arange(6), torch.arange(5)
    assert exit_weights("proportional-all", 6) == pytest.approx(exit_loss.linear_l_loss_scale(every, 6).tolist())
    assert exit_weights("proportional", 6)[:5] == pytest.approx(exit_loss.linear_l_loss_scale(early, 6).tolist())
    assert exit_weights("uniform", 6)[:5] == pytest.approx(exit_loss.uniform_loss_scale(early, 6).tolist())


def test_the_exit_loss_equals_torchtune(exit_loss: Any) -> None:
    """Their loss over our states, which they index by the block that has run: value and gradients, pads ignored."""
    trial = make_trial(
        model={"layers": 4, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}, bits=8, exit_weight=0.2,
        exit_scale="cumulative", **{"data.vocab_size": 300},
    )  # fmt: skip
    model, ids = build_model(trial), torch.randint(0, 300, (3, 13), generator=torch.Generator().manual_seed(0))
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[1, 5:] = -100
    ours, _ = model.losses(inputs, targets, loss_weights("cumulative", "all", 4, 0.2, 0, 1))
    decoder = SimpleNamespace(unembed=lambda hidden: model.head(model.norm(hidden)), layers=model.blocks)
    states = dict(enumerate(model.hidden_states(inputs)))
    loss = nn.CrossEntropyLoss(ignore_index=-100)
    theirs = exit_loss.early_exit_loss(decoder, states, targets, loss, 0.2, exit_loss.sum_l_loss_scale)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    grads = [torch.autograd.grad(value, list(model.parameters())) for value in (ours, theirs)]
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("layers", [6, 9, 24])
def test_the_rotational_curriculum_equals_torchtune(exit_loss: Any, layers: int) -> None:
    """For depths that 3 divides; otherwise their pattern wraps around with a gap or a doubling, and ours does not."""
    pattern = [layer % 3 == 0 for layer in range(layers)]
    curriculum = exit_loss.RotationalEarlyExitCurriculum(pattern, max_steps=30)
    for step in range(30):
        assert enabled_exits("rotational", layers, step, 30) == tuple(curriculum.get().tolist())
        curriculum.step()


@pytest.mark.parametrize("layers", [4, 6])
def test_the_gradual_curriculum_is_an_interval_ahead_of_torchtune(exit_loss: Any, layers: int) -> None:
    """They count the final layer, which is always on, as the first to come: T / 2L steps later each, and one step
    more because a step acts on the next one."""
    steps = 16 * layers
    curriculum = exit_loss.GradualEarlyExitCurriculum([True] * layers, max_steps=steps)
    theirs = []
    for _ in range(steps):
        theirs.append(tuple(curriculum.get().tolist()))
        curriculum.step()
    interval = steps // (2 * layers)
    for step in range(steps - interval - 1):
        assert enabled_exits("gradual", layers, step, steps) == theirs[step + interval + 1]
