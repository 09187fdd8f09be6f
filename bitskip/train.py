"""One trial, from its configuration to its measured result: phases, schedule, divergence, evaluation."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from bitskip.checkpoint import CheckpointPlace, load_checkpoint, save_checkpoint, save_weights
from bitskip.config import IGNORED_TARGET, TrainingConfig, TrialConfig
from bitskip.data import TokenData, load_data
from bitskip.data.sequences import Sequences, cut
from bitskip.diagnose import Diagnostics, LayerRow, sampled_sequences
from bitskip.errors import UserError
from bitskip.evaluate import (
    bits_per_byte,
    exit_quality,
    held_out_loss,
    perplexity,
    weight_bytes,
)
from bitskip.exits import best_exit
from bitskip.guards import check_causality, check_trial
from bitskip.method.layerskip import dropout_progress, dropout_rates, loss_weights
from bitskip.method.linear import quantized_once
from bitskip.method.model import Decoder, build_model
from bitskip.method.seeding import generator
from bitskip.prefix import Prefixes, prefix_content
from bitskip.schedule import bits_at, learning_rate, measured_steps, phase_at, phase_progress, sampled_steps, step_count
from bitskip.speed import exit_speed, throughput_batch

DIVERGENCE_MARGIN = 0.5
"""Nats above ln V, the loss of a uniform guess, from which a run counts as diverged (docs/measures.md)."""


COMPILED_PROGRAMS = 64


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

    def below(self, ceiling: float) -> bool:
        """Whether the held-out loss is finite and no larger than this."""
        return self.val_loss is not None and self.val_loss <= ceiling


@dataclass(frozen=True)
class ExitResult:
    """One exit layer: quality on held-out text and measured speed, of one and of `batch` sequences (see `speed`)."""

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
    speed_gain_limit: float
    speed_rounds: int
    batch: int
    batch_prefill_tokens_per_second: float
    batch_decode_tokens_per_second: float
    batch_speed_gain: float
    batch_speed_gain_spread: float
    batch_speed_gain_limit: float
    batch_speed_rounds: int


@dataclass(frozen=True)
class TrialResult:
    """What one training run showed. `status` is ok, stalled or diverged (docs/measures.md); losses in nats a token.

    A trial that took its first `forked_at_step` steps over from another has the prefix's key in `forked_from`;
    `shared_seconds` is the part of `train_seconds` that the other one spent.
    """

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
    skipped_guards: str | None = None
    resumed_at_step: int | None = None
    diagnostic_seconds: float = 0.0
    forked_from: str | None = None
    forked_at_step: int | None = None
    shared_seconds: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    exits: tuple[ExitResult, ...] = ()
    layers: tuple[LayerRow, ...] = ()


@dataclass
class _Progress:
    """What training has seen so far. `seconds` are those spent before an interruption or a fork.

    The curve also holds points that only trials forked from this one ask for.
    """

    curve: list[CurvePoint] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    step: int = 0
    last_finite_loss: float | None = None
    diverged: str | None = None
    seconds: float = 0.0
    diagnostic_seconds: float = 0.0
    resumed_at: int | None = None
    forked_from: str | None = None
    forked_at: int | None = None
    shared_seconds: float | None = None

    def to_record(self, seconds: float) -> dict[str, Any]:
        """What a checkpoint keeps of it; JSON writes a float so that reading it gives the same one."""
        return {
            "curve": [asdict(point) for point in self.curve],
            "layers": [asdict(row) for row in self.layers],
            "step": self.step,
            "last_finite_loss": self.last_finite_loss,
            "seconds": seconds,
            "diagnostic_seconds": self.diagnostic_seconds,
            "fork": (self.forked_from, self.forked_at, self.shared_seconds),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> _Progress:
        """Where an interrupted trial goes on."""
        progress = cls(
            curve=[CurvePoint(**point) for point in record["curve"]],
            layers=[LayerRow(**row) for row in record["layers"]],
            step=record["step"],
            last_finite_loss=record["last_finite_loss"],
            seconds=record["seconds"],
            diagnostic_seconds=record["diagnostic_seconds"],
            resumed_at=record["step"],
        )
        progress.forked_from, progress.forked_at, progress.shared_seconds = record.get("fork", (None, None, None))
        return progress

    @classmethod
    def from_prefix(cls, record: Mapping[str, Any], key: str) -> _Progress:
        """Where a trial starts that takes over the prefix of another."""
        progress = cls.from_record(record)
        progress.resumed_at = None
        progress.forked_from, progress.forked_at, progress.shared_seconds = key, progress.step, progress.seconds
        return progress


def optimizer_for(model: Decoder, training: TrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices only: no decay on norms and embeddings (docs/method.md, model)."""
    embedding = {id(model.embedding.weight)}
    decayed = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in embedding]
    rest = [p for p in model.parameters() if p.ndim < 2 or id(p) in embedding]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, training.lr, (training.beta1, training.beta2), fused=True)


def batch_order(seed: int, count: int, batch_size: int, start: int = 0) -> Iterator[list[int]]:
    """Endless batches of sequence indices from batch `start` on: a fresh permutation every epoch, by seed alone."""
    epoch, offset = divmod(start * batch_size, count)
    pending: list[int] = []
    while True:
        while len(pending) < batch_size:
            pending += torch.randperm(count, generator=generator(seed, "order", epoch)).tolist()[offset:]
            epoch, offset = epoch + 1, 0
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
    checkpoint: CheckpointPlace | None = None,
    save_weights_to: Path | None = None,
    prefixes: Prefixes | None = None,
) -> TrialResult:
    """Train and evaluate one trial on one device.

    `on_point` is called with every point of the curve and the number of steps. With `checkpoint`, a trial that was
    interrupted goes on where its checkpoint stands; `prefixes` are what it takes over from other trials and stores for
    them. Equal trials give equal losses on the CPU, interrupted, forked or neither.
    Raises UserError if the text cannot fill a sequence and GuardError if a check of `guards` fails; a non-finite loss
    ends the trial as `diverged`.
    """
    device = torch.device(device)
    training = trial.training
    text = data or load_data(trial.data, training.tokens, max(training.eval_tokens, training.curve_tokens))
    if text.vocab_size != trial.data.vocab_size:
        raise UserError(
            f"data.vocab_size is {trial.data.vocab_size}, but the tokenizer '{trial.data.tokenizer}' has "
            f"{text.vocab_size}: set data.vocab_size={text.vocab_size}"
        )
    train_on = cut(text.train, trial, text.end_of_document, "training")
    held_out = text.train if trial.artefacts.eval_on_train else text.validation
    measured_on = cut(held_out, trial, text.end_of_document, "held-out")
    model = build_model(trial).to(device)
    skipped = check_trial(model, trial, text, own_text=data is not None)
    if training.compile == "on" or (training.compile == "auto" and device.type == "cuda"):
        compile_blocks(model)
    started = time.perf_counter()
    progress = _train(model, trial, train_on, measured_on, text.fingerprint, device, on_point, checkpoint, prefixes)
    trained = time.perf_counter()
    exits = () if progress.diverged else _evaluate(model, trial, measured_on, text, device)
    finished = time.perf_counter()
    if save_weights_to is not None and not progress.diverged:
        save_weights(save_weights_to, trial, model)

    full = exits[-1] if exits else None
    status, reason = _verdict(trial, text, progress, full)
    measured = measured_steps(trial, step_count(training))
    tokens = progress.step * training.batch_size * training.seq_len
    train_seconds = progress.seconds + trained - started
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
        train_seconds=train_seconds,
        eval_seconds=finished - trained,
        tokens_per_second=tokens / train_seconds,
        diverged_at_step=progress.step if status == "diverged" else None,
        last_finite_loss=progress.last_finite_loss,
        skipped_guards=", ".join(skipped) or None,
        resumed_at_step=progress.resumed_at,
        diagnostic_seconds=progress.diagnostic_seconds,
        forked_from=progress.forked_from,
        forked_at_step=progress.forked_at,
        shared_seconds=progress.shared_seconds,
        curve=tuple(point for point in progress.curve if point.step in measured),
        exits=exits,
        layers=tuple(progress.layers),
    )


def _train(
    model: Decoder,
    trial: TrialConfig,
    train_on: Sequences,
    measured_on: Sequences,
    fingerprint: str,
    device: torch.device,
    on_point: Callable[[CurvePoint, int], None] | None,
    checkpoint: CheckpointPlace | None,
    prefixes: Prefixes | None,
) -> _Progress:
    training, method = trial.training, trial.method
    steps, batch_size = step_count(training), training.batch_size
    optimizer = optimizer_for(model, training)
    progress, codes = _resumed(model, trial, optimizer, fingerprint, checkpoint, prefixes)
    shared = {prefix.step: prefix for prefix in prefixes.write} if prefixes else {}
    order = batch_order(trial.seed, train_on.count, batch_size, progress.step)
    own = measured_steps(trial, steps)
    measured = own | prefixes.measure if prefixes else own
    diagnosed, sampled = sampled_steps(training, steps), sampled_sequences(training)
    diagnostics = Diagnostics(codes)
    ceiling = math.log(trial.data.vocab_size) + DIVERGENCE_MARGIN
    started = saved = time.perf_counter()
    model.train()
    for step in range(progress.step, steps):
        phase = phase_at(trial, step, steps)
        model.set_activation_bits(bits_at(trial, step, steps))
        keep, weights = None, loss_weights("proportional", "all", trial.model.layers, 0.0, step, steps)
        if phase == "2":
            keep = kept_blocks(trial, step, steps)
            weights = loss_weights(
                method.exit_scale,
                method.exit_curriculum,
                trial.model.layers,
                method.exit_weight,
                *phase_progress(trial, step, steps),
            )
        lr = learning_rate(training, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        inputs, targets = train_on.batch(next(order), device)
        losses = _accumulate(model, inputs, targets, weights, keep, training)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.grad_clip or math.inf)
        # One transfer for all three: each would wait for a GPU by itself.
        total, main, norm = torch.cat([losses, norm[None]]).tolist()
        progress.step = step + 1
        if not (math.isfinite(total) and math.isfinite(norm)):
            what = "loss" if not math.isfinite(total) else "gradient norm"
            progress.diverged = f"non-finite training {what} at step {step + 1} of {steps}"
            break
        progress.last_finite_loss = main
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step + 1 in diagnosed:
            began = time.perf_counter()
            with precision_context(training, device):
                progress.layers += diagnostics.sample(model, step + 1, inputs[:sampled], targets[:sampled], weights)
            progress.diagnostic_seconds += time.perf_counter() - began
        if step + 1 in measured:
            model.eval()
            with precision_context(training, device):
                held_out = held_out_loss(model, measured_on, training.curve_tokens, trial)
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
            if on_point and step + 1 in own:
                on_point(point, steps)
            if step + 1 in own and not point.below(ceiling):
                shown = f"{held_out:.2f}, above ln V + {DIVERGENCE_MARGIN}," if finite else "non-finite"
                progress.diverged = f"held-out loss {shown} at step {step + 1} of {steps}"
                break
        # A trial that asks for a point at which it ends as diverged has to find out by itself.
        if prefixes and step + 1 in shared and all(point.below(ceiling) for point in progress.curve):
            place, content = prefixes.path(shared[step + 1]), prefix_content(trial, step + 1)
            record = progress.to_record(progress.seconds + time.perf_counter() - started)
            with contextlib.suppress(OSError, SafetensorError):  # a full disk costs the saving, not the trial
                made_of = _made_of(fingerprint, device)
                save_checkpoint(place, content, made_of, model, optimizer, record, diagnostics.codes)
        now = time.perf_counter()
        if checkpoint is not None and now - saved >= checkpoint.every_seconds:
            record = progress.to_record(progress.seconds + now - started)
            content = trial.canonical_json()
            save_checkpoint(checkpoint.path, content, fingerprint, model, optimizer, record, diagnostics.codes)
            saved = time.perf_counter()
    model.set_activation_bits(method.bits)
    return progress


def _resumed(
    model: Decoder,
    trial: TrialConfig,
    optimizer: torch.optim.Optimizer,
    fingerprint: str,
    checkpoint: CheckpointPlace | None,
    prefixes: Prefixes | None,
) -> tuple[_Progress, dict[str, Tensor]]:
    """Where the trial's own checkpoint stands, or else the longest prefix that another trial has left, or nowhere.

    Along with the ternary codes that the next diagnostics are compared with.
    """
    content = trial.canonical_json()
    own = load_checkpoint(checkpoint.path, content, fingerprint, model, optimizer) if checkpoint else None
    if own:
        record, codes = own
        return _Progress.from_record(record), codes
    measured = measured_steps(trial, step_count(trial.training))
    for prefix, path in [(prefix, prefixes.path(prefix)) for prefix in prefixes.start] if prefixes else ():

        def complete(record: Mapping[str, Any], step: int = prefix.step) -> bool:
            return {point for point in measured if 0 < point <= step} <= {point["step"] for point in record["curve"]}

        content, made_of = prefix_content(trial, prefix.step), _made_of(fingerprint, model.head.weight.device)
        left = load_checkpoint(path, content, made_of, model, optimizer, complete)
        if left:
            record, codes = left
            return _Progress.from_prefix(record, prefix.key), codes
    return _Progress(), {}


def _made_of(fingerprint: str, device: torch.device) -> str:
    """Text and kind of device of a prefix: a trial on the CPU takes over nothing that a GPU has computed."""
    return f"{fingerprint} {device.type}"


def compile_blocks(model: Decoder) -> None:
    """One program serves all blocks of a trial: they have one code and differ in their weights only."""
    from torch._dynamo import config

    # Layer dropout makes batches of several sizes, and a process may train one trial after another: past the limit of 8
    # programs for one code, the compiler would run it uncompiled.
    config.recompile_limit = max(config.recompile_limit, COMPILED_PROGRAMS)
    for block in model.blocks:
        block.compile()


def steps_on_random_tokens(trial: TrialConfig, device: str, steps: int) -> Iterator[None]:
    """So many optimizer steps of the trial's costliest phase on random tokens, one each time: for timing them.

    Blocks are compiled only where the trial asks for it outright: compiling takes longer than many steps.
    """
    training, sizes = trial.training, trial.model
    model = build_model(trial).to(device)
    if training.compile == "on":
        compile_blocks(model)
    model.train()
    optimizer = optimizer_for(model, training)
    last = step_count(training) - 1
    shape = (training.batch_size, training.seq_len)
    for step in range(steps):
        keep, weights = None, loss_weights("proportional", "all", sizes.layers, 0.0, last, last + 1)
        if phase_at(trial, last, last + 1) == "2":
            keep = kept_blocks(trial, last, last + 1)
            weights = loss_weights(
                trial.method.exit_scale, "all", sizes.layers, trial.method.exit_weight, last, last + 1
            )
        tokens = torch.randint(trial.data.vocab_size, shape, generator=generator(trial.seed, "timing", step)).to(device)
        _accumulate(model, tokens, tokens, weights, keep, training)
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.grad_clip or math.inf)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield


def kept_blocks(trial: TrialConfig, step: int, steps: int) -> Tensor | None:
    """Which block each sequence of the batch runs at a step, bool [L, B]; None where layer dropout is off.

    The uniforms follow from (seed, step) alone, so that all trials of a seed share them.
    """
    method, layers = trial.method, trial.model.layers
    if method.dropout == "none":
        return None
    rates = dropout_rates(method.dropout, layers, method.dropout_max, method.dropout_norm, method.dropout_last)
    uniform = torch.rand(layers, trial.training.batch_size, generator=generator(trial.seed, "dropout", step))
    growth = dropout_progress(method.dropout_curriculum, *phase_progress(trial, step, steps))
    return uniform >= torch.tensor(rates)[:, None] * growth


def _accumulate(
    model: Decoder,
    inputs: Tensor,
    targets: Tensor,
    weights: tuple[float, ...],
    keep: Tensor | None,
    training: TrainingConfig,
) -> Tensor:
    """Backward over micro-batches; (training loss, full model's loss) of the whole batch, per token that counts.

    Shape [2], fp64, on the model's device: reading them there waits for it.
    """
    micro_batch = training.micro_batch or len(inputs)
    whole = micro_batch >= len(inputs)
    counted = [] if whole else (targets != IGNORED_TARGET).sum(1).tolist()
    losses = torch.zeros(2, dtype=torch.float64, device=inputs.device)
    with contextlib.nullcontext() if whole else quantized_once(model):
        for start in range(0, len(inputs), micro_batch):
            rows = slice(start, start + micro_batch)
            kept = None if keep is None else keep[:, rows]
            with precision_context(training, inputs.device):
                total, main = model.losses(inputs[rows], targets[rows], weights, kept)
            share = 1.0 if whole else sum(counted[rows]) / sum(counted)
            (total * share).backward()  # type: ignore[no-untyped-call]
            losses += torch.stack([total.detach(), main.detach()]).double() * share
    return losses


def _evaluate(
    model: Decoder, trial: TrialConfig, measured_on: Sequences, text: TokenData, device: torch.device
) -> tuple[ExitResult, ...]:
    """Every exit's quality and speed, or nothing if a loss is not finite."""
    check_causality(model, trial)
    model.eval()
    length = min(trial.training.seq_len, len(text.validation))
    prompt = torch.from_numpy(np.asarray(text.validation[:length], dtype=np.int64))[None].to(device)
    with precision_context(trial.training, device):
        quality = exit_quality(model, measured_on, trial.training.eval_tokens, trial)
        if not all(math.isfinite(found.loss) for found in quality):
            return ()
        single = exit_speed(model, prompt)
        batched = exit_speed(model, prompt, throughput_batch(device))
    return tuple(
        ExitResult(
            exit_layer=found.exit_layer,
            depth=trial.model.layers,
            loss=found.loss,
            ppl=perplexity(found.loss),
            bpb=bits_per_byte(found.loss, text.bytes_per_token),
            agreement=found.agreement,
            prefill_tokens_per_second=one.prefill_tokens_per_second,
            decode_tokens_per_second=one.decode_tokens_per_second,
            speed_gain=one.speed_gain,
            speed_gain_spread=one.speed_gain_spread,
            speed_gain_limit=one.speed_gain_limit,
            speed_rounds=one.speed_rounds,
            batch=many.batch,
            batch_prefill_tokens_per_second=many.prefill_tokens_per_second,
            batch_decode_tokens_per_second=many.decode_tokens_per_second,
            batch_speed_gain=many.speed_gain,
            batch_speed_gain_spread=many.speed_gain_spread,
            batch_speed_gain_limit=many.speed_gain_limit,
            batch_speed_rounds=many.speed_rounds,
        )
        for found, one, many in zip(quality, single, batched, strict=True)
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
