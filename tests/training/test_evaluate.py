"""Exit quality against separate passes; storage."""

import math

import numpy as np
import pytest
import torch

from bitskip.data.sequences import chosen, cut, packed
from bitskip.errors import UserError
from bitskip.model.decoder import build_model
from bitskip.training.evaluate import (
    THRESHOLDS,
    bits_per_byte,
    exit_quality,
    held_out_quality,
    perplexity,
    weight_bytes,
)
from bitskip.trial.config import TrialConfig, make_trial

STREAM = np.random.default_rng(0).integers(0, 257, 1000).astype(np.uint16)


def tiny(**axes: object) -> TrialConfig:
    model = {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
    return make_trial(**{"model": model, "data.tokenizer": "bytes", "seq_len": 16, "batch_size": 4, **axes})


def test_one_pass_over_all_exits_equals_a_pass_per_exit() -> None:
    trial = tiny(bits=8)
    model = build_model(trial).eval()
    windows = np.stack([STREAM[i * 16 : i * 16 + 17] for i in range(10)]).astype(np.int64)
    tokens = torch.from_numpy(windows)
    full = model(tokens[:, :-1]).argmax(-1)
    for found in exit_quality(model, chosen(packed(STREAM, 16), 160, evenly=False), trial):
        logits = model(tokens[:, :-1], found.exit_layer).double()
        loss = -logits.log_softmax(-1).gather(-1, tokens[:, 1:, None]).mean().item()
        assert found.loss == pytest.approx(loss, rel=1e-5)
        assert found.agreement == pytest.approx((logits.argmax(-1) == full).double().mean().item(), abs=0.02)


def test_tokens_leave_at_the_first_exit_that_is_sure() -> None:
    """Against one token after the other, and the exits that decoding takes behind the same tokens."""
    trial = tiny()
    model = build_model(trial).eval()
    with torch.no_grad():
        model.head.weight.mul_(60)  # some are sure, some are not
    held_out = chosen(packed(STREAM, 16), 160, evenly=False)
    windows = torch.from_numpy(np.stack([STREAM[i * 16 : i * 16 + 17] for i in range(10)]).astype(np.int64))
    by_exit = [model(windows[:, :-1], exit_layer).double().softmax(-1) for exit_layer in (1, 2, 3)]
    found = held_out_quality(model, held_out, trial).by_threshold
    for threshold, (loss, depth) in zip(THRESHOLDS, found, strict=True):
        losses, layers = [], []
        for row, at in np.ndindex(10, 16):
            exits = [probabilities[row, at] for probabilities in by_exit]
            taken = next((layer for layer in (1, 2) if exits[layer - 1].max() >= threshold), 3)
            losses.append(-exits[taken - 1][windows[row, at + 1]].log().item())
            layers.append(taken)
        assert loss == pytest.approx(np.mean(losses), rel=1e-4)
        assert depth == pytest.approx(np.mean(layers))
    assert found[0][1] < found[-1][1] < 3


def test_weight_bytes_by_hand() -> None:
    """D = 32, kv 16, F = 64, V = 257, L = 3: matrices at 2 bits and a scale, the rest as bf16."""
    matrices = [32 * 32, 32 * 16, 32 * 16, 32 * 32, 32 * 64, 32 * 64, 64 * 32]
    rest = 2 * 257 * 32 + 3 * 2 * 32 + 32
    assert weight_bytes(build_model(tiny(bits=8))) == 3 * sum(n // 4 + 4 for n in matrices) + 2 * rest
    assert weight_bytes(build_model(tiny())) == 2 * (3 * sum(matrices) + rest)


def test_units() -> None:
    assert perplexity(math.log(7)) == pytest.approx(7)
    assert perplexity(1e4) is None
    assert bits_per_byte(math.log(2), 4.0) == pytest.approx(0.25)


def test_too_little_held_out_text_is_refused() -> None:
    with pytest.raises(UserError, match="fewer than one sequence"):
        cut(STREAM[:10], tiny(), 256, "held-out")
