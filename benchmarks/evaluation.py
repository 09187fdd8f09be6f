"""(d): quality of all exits from one pass, against one full pass and against a pass per exit.

The bound is the least that the ratio can be if time goes with multiplications: every exit needs its head's logits.
Run: python benchmarks/evaluation.py [--quick]
"""

from __future__ import annotations

import sys

import numpy as np
from exits import EVALUATED_TOKENS, pass_per_exit
from harness import Row, device, hardware, interleaved, row, table

from bitskip import build_model, make_trial
from bitskip.data.sequences import packed
from bitskip.training.evaluate import exit_quality, held_out_loss
from bitskip.trial.config import POINTS, ModelConfig

SHAPES = {"nano": (2048, 15), "micro": (1024, 15), "small": (1024, 7)}
"""Preset to held-out tokens and rounds."""


def bound(sizes: ModelConfig, vocabulary: int, length: int) -> float:
    """Multiplications of all blocks and L heads over those of all blocks and one head, per token.

    Attention over `length` keys is counted whole, as the kernels of the CPU compute it.
    """
    kv_width = sizes.kv_heads * sizes.head_width
    block = 2 * sizes.width**2 + 2 * sizes.width * kv_width + 3 * sizes.width * sizes.ffn_width
    block += 2 * length * sizes.width
    head = sizes.width * vocabulary
    return (sizes.layers * (block + head)) / (sizes.layers * block + head)


def rows(quick: bool) -> list[Row]:
    found = []
    for preset, (tokens, rounds) in SHAPES.items():
        if quick and preset == "small":
            continue
        for name in ("baseline", "V1"):
            trial = make_trial(**POINTS[name], model=preset)
            model = build_model(trial).to(device()).eval()
            stream = np.random.default_rng(0).integers(0, trial.data.vocab_size, tokens + 1)
            sequences = packed(stream, trial.training.seq_len)
            works = {
                "all": lambda: exit_quality(model, sequences, tokens, trial),  # noqa: B023 (called at once)
                "full": lambda: held_out_loss(model, sequences, tokens, trial),  # noqa: B023
                "apart": lambda: pass_per_exit(model, sequences, trial),  # noqa: B023
            }
            if tokens != EVALUATED_TOKENS:
                del works["apart"]
            times = interleaved(works, rounds)
            least = bound(trial.model, trial.data.vocab_size, trial.training.seq_len)
            shape = f"{preset} {name}, {tokens} tokens"
            note = f"bound by multiplications {least:.2f}"
            found.append(row("evaluation: all exits / full pass", shape, times["all"], times["full"], "≤ 1.3", note))
            if "apart" in times:
                found.append(row("evaluation: a pass per exit / all exits", shape, times["apart"], times["all"]))
    return found


if __name__ == "__main__":
    print(hardware())
    print(table(rows("--quick" in sys.argv)))
