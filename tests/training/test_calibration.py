"""Calibration: scales are the largest inputs of the training text, weights are rounded once, both outlive a file."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bitskip.data.sequences import Sequences, packed
from bitskip.errors import UserError
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, random_model
from bitskip.ops.calibrated import StaticQuantizer
from bitskip.training.calibration import calibrate
from bitskip.training.checkpoint import read_weights, save_weights
from bitskip.trial.config import TrialConfig, make_trial

TOKENS = torch.randint(257, (900,), generator=torch.Generator().manual_seed(0))
TEXT: Sequences = packed(TOKENS.numpy(), 32)


def trial_of(**axes: Any) -> TrialConfig:
    sizes = {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
    common = {"model": sizes, "data.tokenizer": "bytes", "seq_len": 32, "batch_size": 4, "weights": "full"}
    return make_trial(**common, quantize="after", calibration_tokens=256, **axes)


def fitted(trial: TrialConfig) -> Decoder:
    model = random_model(trial).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(20)
    calibrate(model, trial, TEXT)
    return model


def layers_of(model: Decoder) -> list[BitLinear]:
    return [module for module in model.modules() if isinstance(module, BitLinear)]


STATIC = {"bits": 8, "activation_scale": "static"}
GPTQ = {"weight_bits": 3, "weight_rounding": "gptq"}


def test_scales_of_the_first_block_are_its_largest_inputs() -> None:
    """Against the model without them, on the first eight sequences, as of an endless corpus."""
    trial = trial_of(**STATIC)
    model, plain = fitted(trial), random_model(trial_of())
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if ".op_modules." not in name})
    seen: dict[str, float] = {}
    for name, module in plain.blocks[0].named_modules():
        if isinstance(module, BitLinear):
            module.register_forward_pre_hook(lambda _, x, n=name: seen.update({n: x[0].abs().max().item()}))
    plain(TEXT.batch(range(8))[0], 1)
    for name, module in model.blocks[0].named_modules():
        if isinstance(module, BitLinear):
            (op,) = module.ops.quantize
            assert isinstance(op, StaticQuantizer)
            assert op.scale.item() == pytest.approx(seen[name], rel=1e-5)


def test_fine_static_scales_change_little_and_coarse_ones_much() -> None:
    tokens = TEXT.batch(range(4))[0]
    with torch.no_grad():
        whole, fine, coarse = (fitted(trial_of(**axes))(tokens) for axes in ({}, STATIC, STATIC | {"bits": 3}))
    assert (fine - whole).abs().mean() < 0.1 * (coarse - whole).abs().mean()
    assert (fine - whole).abs().max() > 0


def test_weights_are_rounded_once_and_better_than_to_nearest() -> None:
    gptq, nearest, whole = (
        fitted(trial_of(**axes)) for axes in (GPTQ, GPTQ | {"weight_rounding": "nearest"}, {"bits": 16})
    )
    tokens = TEXT.batch(range(8))[0]
    with torch.no_grad():
        errors = [(model(tokens, 1) - whole(tokens, 1)).square().mean().item() for model in (gptq, nearest)]
    assert errors[0] < errors[1]
    for layer, before in zip(layers_of(gptq), layers_of(whole), strict=True):
        codes = layer.effective_weight() / (before.weight.abs().amax(1, keepdim=True) / 3)
        assert torch.allclose(codes, codes.round(), atol=1e-4)
        assert codes.abs().max() < 3.001


@pytest.mark.parametrize("axes", [STATIC, GPTQ, STATIC | GPTQ], ids=["static", "gptq", "both"])
def test_what_was_fitted_is_stored_with_the_weights(axes: dict[str, Any], tmp_path: Path) -> None:
    trial = trial_of(**axes)
    model, tokens = fitted(trial), TEXT.batch(range(2))[0]
    save_weights(tmp_path / "w.safetensors", trial, model)
    again, known = read_weights(tmp_path / "w.safetensors")
    assert known == trial
    with torch.no_grad():
        assert torch.equal(again(tokens), model(tokens))


def test_a_second_calibration_changes_nothing() -> None:
    trial = trial_of(**STATIC, **GPTQ)
    model, tokens = fitted(trial), TEXT.batch(range(2))[0]
    with torch.no_grad():
        before = model(tokens)
        calibrate(model, trial, packed(TOKENS.numpy()[::-1].copy(), 32))
        assert torch.equal(model(tokens), before)


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"bits": 8, "activation_scale": "static"}, "static is fitted once to a trained model"),
        ({"weight_bits": 4, "weight_rounding": "gptq"}, "gptq rounds a trained model once"),
    ],
)
def test_what_is_trained_from_scratch_is_not_fitted(axes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        make_trial(**axes)


def test_tokens_of_calibration_count_where_something_is_fitted() -> None:
    assert make_trial(calibration_tokens=7, bits=8) == make_trial(bits=8)
    assert trial_of(**STATIC).trial_id != trial_of(**STATIC, seed=1).trial_id
