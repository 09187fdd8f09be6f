"""One trial, from its configuration to its measured result: phases, schedule, divergence, evaluation."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bitskip.config import TrainingConfig, TrialConfig
from bitskip.data import TokenData, load_data
from bitskip.errors import UserError
from bitskip.evaluate import (
    bits_per_byte,
    exit_quality,
    exit_speed,
    held_out_loss,
    perplexity,
    weight_bytes,
    window_batch,
    windows,
)
from bitskip.exits import best_exit
from bitskip.method.layerskip import dropout_progress, dropout_rates, loss_weights
from bitskip.method.model import Decoder, build_model
from bitskip.method.seeding import generator

DIVERGENCE_MARGIN = 0.5
"""Nats above ln V, the loss of a uniform guess, from which a run counts as diverged (DESIGN 5)."""


@dataclass(frozen=True)
class CurvePoint:
    """Losses in nats per token at one step; `train_loss` is the full model's on the training batch."""

    step: int
    tokens: int
    phase: str
    train_loss: float | None
    val_loss: float | None
    lr: float
    grad_norm: float | None


@dataclass(frozen=True)
class ExitResult:
    """One exit layer: quality on held-out text and measured speed (see `evaluate`)."""

    exit_layer: int
    depth: int
    loss: float
    ppl: float | None
    bpb: float
    agreement: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    speed_gain: float
    speed_gain_spread: float


@dataclass(frozen=True)
class TrialResult:
    """What one training run showed. `status` is ok, stalled or diverged (DESIGN 5); losses are nats per token."""

    trial: TrialConfig
    status: str
    reason: str | None
    params: int
    tokens_trained: int
    loss: float | None
    ppl: float | None
    bpb: float | None
    unigram_entropy: float
    best_exit: int | None
    best_exit_speed_gain: float | None
    best_exit_ppl: float | None
    weight_bytes: int
    train_seconds: float
    eval_seconds: float
    tokens_per_second: float
    diverged_at_step: int | None = None
    last_finite_loss: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    exits: tuple[ExitResult, ...] = ()


@dataclass
class _Progress:
    """What training has seen so far."""

    curve: list[CurvePoint] = field(default_factory=list)
    step: int = 0
    last_finite_loss: float | None = None
    diverged: str | None = None


def step_count(training: TrainingConfig) -> int:
    """Optimizer steps of a token budget, at least one."""
    return max(1, training.tokens // (training.batch_size * training.seq_len))


def learning_rate(training: TrainingConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine from the peak to `min_lr` times the peak; the first step is already above zero."""
    warm = round(training.warmup * steps)
    if step < warm:
        return training.lr * (step + 1) / warm
    share = (step - warm) / max(1, steps - 1 - warm)
    return training.lr * (training.min_lr + (1 - training.min_lr) * 0.5 * (1 + math.cos(math.pi * share)))


def phase_at(trial: TrialConfig, step: int, steps: int) -> str:
    """`1` (plain) or `2` (layer dropout and exit loss) at a step; both phases share one schedule and optimizer."""
    method = trial.method
    if method.phase != "1+2":
        return method.phase
    return "1" if step < round(method.phase1_share * steps) else "2"


def optimizer_for(model: Decoder, training: TrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices only: no decay on norms and embeddings (METHOD 5, defect 23)."""
    embedding = {id(model.embedding.weight)}
    decayed = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in embedding]
    rest = [p for p in model.parameters() if p.ndim < 2 or id(p) in embedding]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, training.lr, (training.beta1, training.beta2), fused=True)


def batch_order(seed: int, count: int, batch_size: int) -> Iterator[list[int]]:
    """Endless batches of window indices: a fresh permutation of all windows every epoch, by seed alone."""
    pending: list[int] = []
    epoch = 0
    while True:
        while len(pending) < batch_size:
            pending += torch.randperm(count, generator=generator(seed, "order", epoch)).tolist()
            epoch += 1
        yield pending[:batch_size]
        del pending[:batch_size]


def precision_context(training: TrainingConfig, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast where the configuration or, for `auto`, a GPU asks for it.

    To be entered anew for every forward pass: autocast keeps its bf16 copies of the weights until it is left, and a
    pass after an optimizer step would still see the old ones.
    """
    wanted = training.precision == "bf16" or (training.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()


def run_trial(
    trial: TrialConfig,
    device: str | torch.device = "cpu",
    data: TokenData | None = None,
    on_point: Callable[[CurvePoint, int], None] | None = None,
) -> TrialResult:
    """Train and evaluate one trial on one device.

    `on_point` is called with every point of the curve and the number of steps. Equal trials give equal losses on the
    CPU. Raises UserError if the text cannot fill a sequence; a non-finite loss ends the trial as `diverged`.
    """
    device = torch.device(device)
    training = trial.training
    text = data or load_data(trial.data, training.tokens, max(training.eval_tokens, training.curve_tokens))
    if text.vocab_size != trial.data.vocab_size:
        raise UserError(
            f"data.vocab_size is {trial.data.vocab_size}, but the tokenizer '{trial.data.tokenizer}' has "
            f"{text.vocab_size}: set data.vocab_size={text.vocab_size}"
        )
    model = build_model(trial).to(device)
    if training.compile == "on" or (training.compile == "auto" and device.type == "cuda"):
        for block in model.blocks:
            block.compile()
    started = time.perf_counter()
    progress = _train(model, trial, text, device, on_point)
    trained = time.perf_counter()
    exits = () if progress.diverged else _evaluate(model, trial, text, device)
    finished = time.perf_counter()

    full = exits[-1] if exits else None
    status, reason = _verdict(trial, text, progress, full)
    tokens = progress.step * training.batch_size * training.seq_len
    chosen = None
    if full is not None and status == "ok":
        chosen = exits[best_exit([e.loss for e in exits], [e.speed_gain for e in exits]) - 1]
    return TrialResult(
        trial=trial,
        status=status,
        reason=reason,
        params=sum(parameter.numel() for parameter in model.parameters()),
        tokens_trained=tokens,
        loss=full.loss if full else None,
        ppl=full.ppl if full else None,
        bpb=full.bpb if full else None,
        unigram_entropy=text.unigram_entropy,
        best_exit=chosen.exit_layer if chosen else None,
        best_exit_speed_gain=chosen.speed_gain if chosen else None,
        best_exit_ppl=chosen.ppl if chosen else None,
        weight_bytes=weight_bytes(model),
        train_seconds=trained - started,
        eval_seconds=finished - trained,
        tokens_per_second=tokens / (trained - started),
        diverged_at_step=progress.step if status == "diverged" else None,
        last_finite_loss=progress.last_finite_loss,
        curve=tuple(progress.curve),
        exits=exits,
    )


def _train(
    model: Decoder,
    trial: TrialConfig,
    text: TokenData,
    device: torch.device,
    on_point: Callable[[CurvePoint, int], None] | None,
) -> _Progress:
    training, method = trial.training, trial.method
    steps, batch_size = step_count(training), training.batch_size
    count = windows(text.train, training.seq_len)
    if count == 0:
        raise UserError(
            f"the training text has {len(text.train)} tokens, fewer than one sequence of {training.seq_len}: "
            "give more text, or lower seq_len"
        )
    rates = torch.tensor(dropout_rates(method.dropout, trial.model.layers, method.dropout_max, method.dropout_norm))
    optimizer = optimizer_for(model, training)
    order = batch_order(trial.seed, count, batch_size)
    draws = generator(trial.seed, "dropout")
    measured = {round(point * steps / training.curve_points) for point in range(1, training.curve_points + 1)}
    ceiling = math.log(trial.data.vocab_size) + DIVERGENCE_MARGIN
    progress = _Progress()
    model.train()
    for step in range(steps):
        phase = phase_at(trial, step, steps)
        # Drawn at every step whatever the configuration, so that all trials of a seed share their draws.
        uniform = torch.rand(trial.model.layers, batch_size, generator=draws)
        keep, weights = None, loss_weights("proportional", "all", trial.model.layers, 0.0, step, steps)
        if phase == "2":
            weights = loss_weights(
                method.exit_scale, method.exit_curriculum, trial.model.layers, method.exit_weight, step, steps
            )
            if method.dropout != "none":
                keep = uniform >= rates[:, None] * dropout_progress(method.dropout_curriculum, step, steps)
        lr = learning_rate(training, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        inputs, targets = window_batch(text.train, next(order), training.seq_len, device)
        total, main = _accumulate(model, inputs, targets, weights, keep, training)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.grad_clip or math.inf).item()
        progress.step = step + 1
        if not (math.isfinite(total) and math.isfinite(norm)):
            what = "loss" if not math.isfinite(total) else "gradient norm"
            progress.diverged = f"non-finite training {what} at step {step + 1} of {steps}"
            break
        progress.last_finite_loss = main
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step + 1 in measured:
            model.eval()
            with precision_context(training, device):
                held_out = held_out_loss(model, text.validation, training.curve_tokens, trial)
            model.train()
            finite = math.isfinite(held_out)
            point = CurvePoint(
                step + 1,
                (step + 1) * batch_size * training.seq_len,
                phase,
                main,
                held_out if finite else None,
                lr,
                norm,
            )
            progress.curve.append(point)
            if on_point:
                on_point(point, steps)
            if not finite or held_out > ceiling:
                shown = f"{held_out:.2f}, above ln V + {DIVERGENCE_MARGIN}," if finite else "non-finite"
                progress.diverged = f"held-out loss {shown} at step {step + 1} of {steps}"
                break
    return progress


def _accumulate(
    model: Decoder,
    inputs: Tensor,
    targets: Tensor,
    weights: tuple[float, ...],
    keep: Tensor | None,
    training: TrainingConfig,
) -> tuple[float, float]:
    """Backward over micro-batches; (training loss, full model's loss) of the whole batch."""
    total_loss = main_loss = 0.0
    micro_batch = training.micro_batch or len(inputs)
    for start in range(0, len(inputs), micro_batch):
        rows = slice(start, start + micro_batch)
        kept = None if keep is None else keep[:, rows]
        with precision_context(training, inputs.device):
            total, main = model.losses(inputs[rows], targets[rows], weights, kept)
        share = len(inputs[rows]) / len(inputs)
        (total * share).backward()  # type: ignore[no-untyped-call]
        total_loss += total.item() * share
        main_loss += main.item() * share
    return total_loss, main_loss


def _evaluate(model: Decoder, trial: TrialConfig, text: TokenData, device: torch.device) -> tuple[ExitResult, ...]:
    model.eval()
    length = min(trial.training.seq_len, len(text.validation))
    prompt = torch.from_numpy(np.asarray(text.validation[:length], dtype=np.int64))[None].to(device)
    with precision_context(trial.training, device):
        quality = exit_quality(model, text.validation, trial.training.eval_tokens, trial)
        if not math.isfinite(quality[-1].loss):
            return ()
        speed = exit_speed(model, prompt)
    return tuple(
        ExitResult(
            exit_layer=found.exit_layer,
            depth=trial.model.layers,
            loss=found.loss,
            ppl=perplexity(found.loss),
            bpb=bits_per_byte(found.loss, text.bytes_per_token),
            agreement=found.agreement,
            prefill_tokens_per_second=timed.prefill_tokens_per_second,
            decode_tokens_per_second=timed.decode_tokens_per_second,
            speed_gain=timed.gain,
            speed_gain_spread=timed.spread,
        )
        for found, timed in zip(quality, speed, strict=True)
    )


def _verdict(
    trial: TrialConfig, text: TokenData, progress: _Progress, full: ExitResult | None
) -> tuple[str, str | None]:
    if progress.diverged or full is None:
        return "diverged", progress.diverged or "non-finite held-out loss after training"
    if full.loss > math.log(trial.data.vocab_size) + DIVERGENCE_MARGIN:
        return "diverged", f"held-out loss {full.loss:.3f} is above ln V + {DIVERGENCE_MARGIN}"
    if full.loss >= text.unigram_entropy:
        return "stalled", f"held-out loss {full.loss:.3f} is not below the unigram entropy {text.unigram_entropy:.3f}"
    return "ok", None
