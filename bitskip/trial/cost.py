"""What a trial will cost, from its shapes alone: parameters, training FLOPs, memory. No model is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitskip.techniques.base import stored_weight_bytes
from bitskip.techniques.weight_quantization import WeightQuantization
from bitskip.trial.config import ModelConfig, TrialConfig
from bitskip.trial.schedule import measured_steps, step_count

CPU_FLOPS_PER_CORE = 25e9
GPU_FLOPS = 125e12
"""Assumed speeds: a CPU core on models of `nano` size, and an A100-class GPU at 40 % of its 312 bf16 TFLOP/s."""

FEWEST_TOKENS_PER_PARAMETER = 5
"""With fewer, what speeds early optimization looks good, and effects can have the other sign with more."""

TRAINING_BYTES_PER_PARAMETER = 16
"""fp32 weight, gradient and two AdamW moments."""

LOGITS_AT_ONCE = {"cpu": 2**19, "gpu": 2**27}
"""Logits of one exit that are there at a time, in fp32 and once more for the products (`ops/cross_entropy.py`)."""

FITS = 0.8
"""Share of a device's memory that is planned with: the rest is for fragments and libraries."""

ACTIVATIONS_PER_TOKEN_AND_BLOCK = 34
"""Values of width D kept for the backward pass of one block, per token (Korthikanti et al., arXiv 2205.05198, eq. 2,
without the attention scores, which flash attention does not keep)."""


@dataclass(frozen=True)
class Cost:
    """Of one trial's training; `memory_bytes` is the peak on the training device, `seconds` at the assumed speed.

    `flops_per_token` are those of a token in training.
    """

    params: int
    tokens: int
    flops: float
    memory_bytes: float
    seconds: float
    flops_per_token: float


def non_embedding_parameters(sizes: ModelConfig) -> int:
    """Parameters of the blocks and the final norm: embedding and head aside, and what techniques add."""
    if sizes.parameters:
        return sizes.parameters
    block = sum(math.prod(shape) for shape in matrices(sizes)) + norm_parameters(sizes) + bias_parameters(sizes)
    return sizes.layers * block + sizes.width


def tokens_per_parameter(trial: TrialConfig) -> float:
    """Training tokens over `non_embedding_parameters`: the same for all configurations of one size and budget."""
    return trial.training.tokens / non_embedding_parameters(trial.model)


def undertrained(trial: TrialConfig) -> bool:
    """Whether a model that starts from random weights is trained on too few tokens to tell what more would do."""
    return trial.training.training == "scratch" and tokens_per_parameter(trial) < FEWEST_TOKENS_PER_PARAMETER


def parameter_count(trial: TrialConfig) -> int:
    """Parameters of the decoder, those that techniques add included."""
    sizes, vocab = trial.model, trial.data.vocab_size
    own = sum(technique.extra_parameters(sizes, vocab) for technique in trial.techniques)
    return non_embedding_parameters(sizes) + token_matrices(sizes) * vocab * sizes.width + own


def token_matrices(sizes: ModelConfig) -> int:
    """How many matrices [V, D] embedding and head are."""
    return 1 if sizes.tie_embeddings else 2


def norm_parameters(sizes: ModelConfig) -> int:
    """Of the norms of a block: of attention and feed-forward, of queries and keys, and sub-norms."""
    key_value = sizes.kv_heads * sizes.head_width
    of_heads = sizes.attention_width + key_value if sizes.block == "olmo2" else 2 * sizes.head_width
    sub_norms = sizes.attention_width + sizes.ffn_width if sizes.block == "bitnet" else 0
    return 2 * sizes.width + of_heads * sizes.qk_norm + sub_norms


def bias_parameters(sizes: ModelConfig) -> int:
    """Of attention's linear layers in a block."""
    of_inputs = sizes.attention_width + 2 * sizes.kv_heads * sizes.head_width
    return {"none": 0, "qkv": of_inputs, "qkvo": of_inputs + sizes.width}[sizes.attention_bias]


def estimate(trial: TrialConfig, cpus: float = 1.0, gpus: float = 0.0) -> Cost:
    """Training cost: 6 FLOPs per multiplied weight and token, plus attention; heads count once per trained exit."""
    sizes, training, vocab = trial.model, trial.training, trial.data.vocab_size
    params = parameter_count(trial)
    exits = max(technique.trained_heads(sizes.layers) for technique in trial.techniques)
    left = math.prod(technique.compute_share(sizes) for technique in trial.techniques)
    own_heads = (sizes.layers - 1) * (trial["exit_head"] == "own-head")
    heads = vocab * sizes.width * (token_matrices(sizes) + own_heads)
    blocks = left * (params - heads)
    attention = left * 2 * sizes.layers * training.seq_len * sizes.attention_width
    flops_per_token = 6.0 * (blocks + exits * vocab * sizes.width + attention)
    flops = training.tokens * flops_per_token
    seconds = flops / assumed_speed(cpus, gpus).at(flops)
    return Cost(params, training.tokens, flops, device_memory(trial, gpus > 0), seconds, flops_per_token)


def device_memory(
    trial: TrialConfig, gpu: bool, strategy: str = "single", devices: int = 1, micro_batch: int = 0
) -> float:
    """Bytes at the peak on each of the devices that train a trial, on the first of them where they differ.

    `micro_batch` are the sequences of a forward pass on a device; 0 = as the trial says, at most its share of a batch.
    """
    sizes, training, vocab = trial.model, trial.training, trial.data.vocab_size
    params, value = parameter_count(trial), 2 if gpu else 4
    if not training.tokens:
        return 4.0 * params  # measured only: fp32 weights
    share = training.batch_size // devices
    tokens = min(micro_batch or training.micro_batch or share, share) * training.seq_len
    exits = max(technique.trained_heads(sizes.layers) for technique in trial.techniques)
    block = ACTIVATIONS_PER_TOKEN_AND_BLOCK * sizes.width * value
    ends = token_matrices(sizes) * vocab * sizes.width
    if strategy == "fsdp":  # blocks keep their inputs alone; the first device has a whole model to measure
        blocks = block + sizes.layers * sizes.width * value
        a_block = sum(map(math.prod, matrices(sizes)))
        weights = params * (TRAINING_BYTES_PER_PARAMETER / devices + 4) + 8 * (ends + a_block)
    else:
        blocks, weights = sizes.layers * block, float(params * TRAINING_BYTES_PER_PARAMETER)
    states = exits * sizes.width * (value + 4)  # what each head reads, and its gradient
    logits = min(tokens * vocab, LOGITS_AT_ONCE["gpu" if gpu else "cpu"]) * (4 + value)
    return weights + tokens * (blocks + states) + logits + 4 * vocab * sizes.width


def fitting_micro_batch(trial: TrialConfig, memory: float, gpu: bool, strategy: str, devices: int) -> int:
    """Sequences of a forward pass on a device of so many bytes: the largest even part of its share that fits, or one.

    No more than the trial's own `micro_batch`, where it has one.
    """
    share = trial.training.batch_size // devices
    most = min(trial.training.micro_batch or share, share)
    even = [size for size in range(most, 0, -1) if share % size == 0]
    fits = (size for size in even if device_memory(trial, gpu, strategy, devices, size) <= FITS * memory)
    return next(fits, 1)


@dataclass(frozen=True)
class Speed:
    """FLOP/s that training reached, by the FLOPs of one step; between and beyond what was measured, log-linear."""

    measured: tuple[tuple[float, float], ...]

    def at(self, flops_per_step: float) -> float:
        points = sorted(self.measured)
        if flops_per_step <= points[0][0] or len(points) == 1:
            return points[0][1]
        if flops_per_step >= points[-1][0]:
            return points[-1][1]
        (small, slow), (large, fast) = points[0], points[-1]
        share = math.log(flops_per_step / small) / math.log(large / small)
        return math.exp((1 - share) * math.log(slow) + share * math.log(fast))


def assumed_speed(cpus: float, gpus: float) -> Speed:
    """Of hardware that nothing has been measured on."""
    return Speed(((1.0, GPU_FLOPS * gpus if gpus else CPU_FLOPS_PER_CORE * cpus),))


def flops_per_step(trial: TrialConfig) -> float:
    """Training FLOPs of one optimizer step."""
    return _flops_per_token(trial) * trial.training.batch_size * trial.training.seq_len


def _flops_per_token(trial: TrialConfig) -> float:
    return estimate(trial).flops_per_token


def _evaluation_flops(trial: TrialConfig, start: int, flops_per_token: float) -> float:
    """FLOPs of measuring held-out losses: the full model along the curve after step `start`, exits at the end."""
    training, vocab, width = trial.training, trial.data.vocab_size, trial.model.width
    points = sum(point > start for point in measured_steps(trial, step_count(training)))
    blocks = flops_per_token / 6.0  # multiplied weights; a forward pass takes two FLOPs each
    heads = (len(training.measured_exits(trial.model.layers)) - 1) * vocab * width
    return 2.0 * (points * training.curve_tokens * blocks + training.eval_tokens * (blocks + heads))


def trial_seconds(trial: TrialConfig, speed: Speed, start: int = 0) -> float:
    """Wall-clock of training from step `start` on and of evaluation, the start of a process left aside."""
    training, token = trial.training, _flops_per_token(trial)
    step = token * training.batch_size * training.seq_len
    return ((step_count(training) - start) * step + _evaluation_flops(trial, start, token)) / speed.at(step)


def total_seconds(
    trials: Sequence[TrialConfig], speed: Speed, slots: int, starts: Mapping[str, int] | None = None
) -> tuple[float, float]:
    """(seconds of all trials together, wall-clock when `slots` run at once); `starts` are steps by trial_id."""
    return in_slots([trial_seconds(trial, speed, (starts or {}).get(trial.trial_id, 0)) for trial in trials], slots)


def in_slots(seconds: Sequence[float], slots: int) -> tuple[float, float]:
    """(sum, wall-clock when `slots` run at once)."""
    return sum(seconds), max(sum(seconds) / max(1, slots), max(seconds, default=0.0))


def checkpoint_bytes(parameters: int) -> int:
    """Of a checkpoint or prefix: fp32 weights and two moments."""
    return 12 * parameters


def matrices(sizes: ModelConfig) -> list[tuple[int, int]]:
    """(outputs, inputs) of the linear layers of a block."""
    width, key_value, hidden = sizes.width, sizes.kv_heads * sizes.head_width, sizes.ffn_width
    attention = [(sizes.attention_width, width), (width, sizes.attention_width)]
    return attention + [(key_value, width)] * 2 + [(hidden, width)] * 2 + [(width, hidden)]


def weights_bytes(trial: TrialConfig) -> int:
    """Of a file of weights: ternary matrices of blocks are packed, everything else is fp32."""
    sizes, shapes, ternary = trial.model, matrices(trial.model), [trial.of(WeightQuantization)]
    rest = parameter_count(trial) - sizes.layers * sum(outputs * inputs for outputs, inputs in shapes)
    return 4 * rest + sizes.layers * sum(stored_weight_bytes(ternary, shape, full=4) for shape in shapes)


def exit_weight_bytes(trial: TrialConfig, exit_layer: int) -> int:
    """Bytes to store what an exit runs: embedding, its blocks, a norm and a head.

    Matrices are as small as a technique stores them, everything else is bf16 (`evaluate.weight_bytes`).
    """
    sizes, vocab = trial.model, trial.data.vocab_size
    block = sum(stored_weight_bytes(trial.techniques, shape, full=2) for shape in matrices(sizes))
    outside = token_matrices(sizes) * vocab * sizes.width + sizes.width
    return exit_layer * (block + 2 * norm_parameters(sizes)) + 2 * outside
