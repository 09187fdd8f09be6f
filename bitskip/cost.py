"""What a trial will cost, from its shapes alone: parameters, training FLOPs, memory. No model is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitskip.config import TrialConfig

CPU_FLOPS_PER_CORE = 25e9
GPU_FLOPS = 125e12
"""Assumed speeds: a CPU core on models of `nano` size, and an A100-class GPU at 40 % of its 312 bf16 TFLOP/s."""

TRAINING_BYTES_PER_PARAMETER = 16
"""fp32 weight, gradient and two AdamW moments."""

ACTIVATIONS_PER_TOKEN_AND_BLOCK = 34
"""Values of width D kept for the backward pass of one block, per token (Korthikanti et al., arXiv 2205.05198, eq. 2,
without the attention scores, which flash attention does not keep)."""


@dataclass(frozen=True)
class Cost:
    """Of one trial; `memory_bytes` is the peak on the training device, `seconds` at the assumed speed."""

    params: int
    tokens: int
    flops: float
    memory_bytes: float
    seconds: float


def parameter_count(trial: TrialConfig) -> int:
    """Parameters of the decoder, exit heads included."""
    sizes, vocab = trial.model, trial.data.vocab_size
    width, key_value = sizes.width, sizes.kv_heads * sizes.head_width
    block = 2 * width * width + 2 * width * key_value + 3 * width * sizes.ffn_width + 2 * width
    early = sizes.layers - 1
    norms = 1 + early * (trial.method.exit_head != "shared")
    heads = 1 + early * (trial.method.exit_head == "own-head")
    return sizes.layers * block + norms * width + heads * vocab * width + vocab * width


def estimate(trial: TrialConfig, cpus: float = 1.0, gpus: float = 0.0) -> Cost:
    """Training cost: 6 FLOPs per multiplied weight and token, plus attention; heads count once per trained exit."""
    sizes, training, vocab = trial.model, trial.training, trial.data.vocab_size
    params = parameter_count(trial)
    exits = sizes.layers if trial.method.exit_weight > 0 else 1
    blocks = params - vocab * sizes.width * (2 + (sizes.layers - 1) * (trial.method.exit_head == "own-head"))
    attention = 2 * sizes.layers * training.seq_len * sizes.width
    flops = 6.0 * training.tokens * (blocks + exits * vocab * sizes.width + attention)
    in_flight = (training.micro_batch or training.batch_size) * training.seq_len
    value_bytes = 2 if gpus else 4
    kept = in_flight * (
        ACTIVATIONS_PER_TOKEN_AND_BLOCK * sizes.layers * sizes.width * value_bytes + exits * vocab * (4 + value_bytes)
    )
    speed = GPU_FLOPS * gpus if gpus else CPU_FLOPS_PER_CORE * cpus
    return Cost(params, training.tokens, flops, params * TRAINING_BYTES_PER_PARAMETER + kept, flops / speed)


def total_seconds(trials: Sequence[TrialConfig], cpus: float, gpus: float, slots: int) -> float:
    """Wall-clock estimate of all trials spread over `slots` running at once."""
    return sum(estimate(trial, cpus, gpus).seconds for trial in trials) / max(1, slots)
