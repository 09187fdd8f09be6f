"""Acceptance by the choices along one greedy text is that of drafting and verifying, counted in `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bitskip.data.sequences import Sequences
from bitskip.model.decoder import build_model
from bitskip.training.acceptance import acceptance_rates, choices_along, rounds
from bitskip.training.generate import FixedExit, SelfSpeculation, generate, in_double_precision
from bitskip.trial.config import make_trial

TINY = {"layers": 4, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64, "init_std": 0.06}
TEXT = np.random.default_rng(0).integers(0, 300, 40 * 24 + 1).astype(np.uint16)


def sequences(length: int = 24) -> Sequences:
    starts = np.arange(0, len(TEXT) - length, length)
    return Sequences(TEXT, starts, starts + length + 1, length)


@pytest.mark.parametrize("axes", [{}, {"bits": 8}, {"exit_weight": 0.3, "exit_head": "own-head"}], ids=str)
@pytest.mark.parametrize("draft", [1, 3, 4, 30])
def test_rounds_along_a_text_are_those_of_self_speculation(axes: dict[str, object], draft: int) -> None:
    model = in_double_precision(build_model(make_trial(model=TINY, **{"data.vocab_size": 300}, **axes)).eval())
    for prompt in ([5, 9, 200], [7], [250, 3]):
        choices = choices_along(model, torch.tensor([prompt]), (1, 3, 4), 20)[:, 0]
        assert choices[-1].tolist() == list(generate(model, prompt, FixedExit(4), 20).tokens)
        for row, exit_layer in enumerate((1, 3)):
            found = generate(model, prompt, SelfSpeculation(exit_layer, draft), 20)
            agreeing = (choices[row] == choices[-1]).tolist()
            assert rounds(agreeing, draft) == (found.drafted, found.accepted)


def test_rounds_by_hand() -> None:
    """Two are right and one is not: 4 drafted, 2 kept, 3 emitted; then 3 of what may be, and nothing for the last."""
    assert rounds([True, True, False, True, True, True, True], 4) == (4 + 3, 2 + 3)
    assert rounds([False] * 3, 2) == (2 + 1 + 0, 0)
    assert rounds([True] * 10, 4) == (8, 8)
    assert rounds([True], 4) == (0, 0)


def test_rates_by_exit() -> None:
    """Blocks that add nothing leave the draft's opinion; the full model does not draft for itself."""
    trial = make_trial(model=TINY, **{"data.vocab_size": 300})
    model = build_model(trial).eval()
    for block in model.blocks[2:]:
        for name in ("attention.o", "feed_forward.down"):
            block.get_submodule(name).weight.data.zero_()
    first, *others = acceptance_rates(model, sequences(), (1, 2, 3, 4), 4)
    assert first is not None
    assert 0.0 <= first < 1.0
    assert others == [1.0, 1.0, None]


def test_nothing_is_drafted_where_nothing_can_be() -> None:
    short = build_model(make_trial(model=TINY, **{"data.vocab_size": 300})).eval()
    assert acceptance_rates(short, sequences(2), (2, 4), 4) == [None, None]
    blind = build_model(make_trial(model=TINY, **{"data.vocab_size": 300}, artefacts={"causal_mask": False})).eval()
    assert acceptance_rates(blind, sequences(), (2, 4), 4) == [None, None]
