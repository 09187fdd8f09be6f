"""Quantization after training: the training is that of full precision, the evaluation that of the quantized model."""

from __future__ import annotations

import math

import pytest
import torch

from bitskip.errors import UserError
from bitskip.ops.quantizers import ternarize
from bitskip.testing import STEPS, a_text, a_trial, losses_of
from bitskip.training.evaluate import exit_quality
from bitskip.training.shared_prefix import prefix_key, shared_prefixes, trained_steps
from bitskip.training.trainer import prepare, train

ARMS = [
    {"bits": 8},
    {"bits": 4, "hadamard": "bitnet-v2"},
    {"weight_bits": 4, "weight_group": "32", "hadamard": "random-sign"},
    {"bits": 8, "kv_bits": 4, "dropout": "constant", "dropout_max": 0.5, "exit_weight": 0.3},
]


@pytest.mark.parametrize("arm", ARMS, ids=str)
def test_training_is_that_of_full_precision_bit_for_bit(arm: dict[str, object]) -> None:
    quantizing = ("bits", "weight_bits", "weight_group", "kv_bits", "hadamard")
    full = a_trial(**{name: value for name, value in arm.items() if name not in quantizing})
    after = a_trial(**arm, quantize="after")
    trained, quantized = losses_of(full), losses_of(after)
    assert quantized[: 2 * STEPS] == trained[: 2 * STEPS]
    assert quantized[2 * STEPS :] != trained[2 * STEPS :]
    assert prefix_key(after, STEPS) == prefix_key(full, STEPS)
    both = [full, after]
    assert trained_steps(both, shared_prefixes(both)) == STEPS
    assert after.trial_id not in (full.trial_id, a_trial(**arm).trial_id)


def test_evaluation_is_that_of_the_trained_weights_quantized() -> None:
    found = losses_of(a_trial(bits=16, weights="ternary", quantize="after"))[2 * STEPS :]
    full = a_trial()
    ready = prepare(full, torch.device("cpu"), a_text())
    train(ready)
    with torch.no_grad():
        for name, parameter in ready.model.named_parameters():
            if name.startswith("blocks") and parameter.ndim == 2:
                parameter.copy_(ternarize(parameter))
    by_hand = exit_quality(ready.model.eval(), ready.measured_on, full)
    assert found == pytest.approx([each.loss for each in by_hand], abs=1e-6)


@pytest.mark.parametrize("hadamard", ["bitnet-v2", "bitnet-v2-all", "random-sign", "down-only"])
def test_a_folded_rotation_changes_nothing_that_is_not_quantized(hadamard: str) -> None:
    """Keys and values are quantized after all rotations of the layers' inputs: these alone must leave them be."""
    plain = losses_of(a_trial(kv_bits=8, quantize="after"))
    rotated = losses_of(a_trial(kv_bits=8, hadamard=hadamard, quantize="after"))
    assert rotated[: 2 * STEPS] == plain[: 2 * STEPS]
    assert rotated[2 * STEPS :] == pytest.approx(plain[2 * STEPS :], abs=1e-3)
    assert all(loss is not None and math.isfinite(loss) for loss in rotated)


def test_what_is_not_quantized_has_no_after() -> None:
    assert a_trial(quantize="after").trial_id == a_trial().trial_id
    assert a_trial(quantize="after", hadamard=True).trial_id == a_trial(hadamard=True).trial_id
    stages = a_trial(bits=4, first_bits=8, quantize="after")
    assert stages.trial_id == a_trial(bits=4, quantize="after").trial_id


@pytest.mark.parametrize("arm", [{"hadamard": "as-published"}, {"hadamard": True, "hadamard_scale": "none"}])
def test_what_cannot_be_folded_is_refused(arm: dict[str, object]) -> None:
    with pytest.raises(UserError, match="quantize: after folds the rotation"):
        a_trial(bits=8, quantize="after", **arm)
    assert a_trial(quantize="after", **arm).trial_id == a_trial(**arm).trial_id


def test_a_warm_start_is_full_precision_until_quantization_begins() -> None:
    """The rotation is there from the start: weights would have to be rotated where it began."""
    arm = {"bits": 4, "hadamard": "bitnet-v2"}
    full, warm, at_once = a_trial(hadamard="bitnet-v2"), a_trial(**arm, warm_start=0.5), a_trial(**arm)
    begun = STEPS // 2
    warmed, trained = (losses_of(trial)[: 2 * STEPS : 2] for trial in (warm, full))
    assert warmed[:begun] == trained[:begun]
    assert warmed[begun] != trained[begun]
    assert prefix_key(warm, begun) == prefix_key(full, begun) != prefix_key(at_once, begun)
    assert prefix_key(warm, begun + 1) != prefix_key(full, begun + 1)
    both = [full, warm]
    assert trained_steps(both, shared_prefixes(both)) == 2 * STEPS - begun
    assert a_trial(**arm, quantize="after", warm_start=0.5) == a_trial(**arm, quantize="after")
    assert a_trial(hadamard="bitnet-v2", warm_start=0.5) == full
