"""One trial, from its configuration to its measured result: phases, schedule, divergence, evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bitskip.data import TokenData, load_data, training_tokens
from bitskip.data.sequences import Extent, Sequences, cut
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, build_model, random_model
from bitskip.ops.random_streams import generator
from bitskip.store.heartbeat import Report
from bitskip.store.schema import CurvePoint, EvaluationRow, ExitResult, ExitSpeed, LayerRow, Outcome, Status
from bitskip.techniques.post_training import PostTraining
from bitskip.training.acceptance import acceptance_rates
from bitskip.training.calibration import calibrate
from bitskip.training.checkpoint import CheckpointPlace, save_weights
from bitskip.training.decode_speed import exit_speed, throughput_batch
from bitskip.training.devices import END, STEP, OneDevice, Team
from bitskip.training.evaluate import bits_per_byte, held_out_loss, held_out_quality, perplexity, weight_bytes
from bitskip.training.evaluations import evaluations
from bitskip.training.exits import best_exit
from bitskip.training.guards import check_causality, check_trial
from bitskip.training.held_out import held_out_sequences, measured_extent
from bitskip.training.loop import (
    DIVERGENCE_MARGIN,
    Loop,
    Progress,
    Step,
    drawn,
    precision_context,
)
from bitskip.training.optimizer import optimizer_for
from bitskip.training.shared_prefix import Prefixes
from bitskip.training.step import compile_blocks, compiles, gradients, update
from bitskip.training.text_facts import TextFacts, text_facts
from bitskip.trial.config import TrialConfig, refuse_elsewhere
from bitskip.trial.schedule import acting, measured_steps, step_count


@dataclass(frozen=True, kw_only=True)
class TrialResult(Outcome):
    """What one training run showed, in the columns of its tables (docs/measures.md)."""

    trial: TrialConfig
    curve: tuple[CurvePoint, ...] = ()
    exits: tuple[ExitResult, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    evaluations: tuple[EvaluationRow, ...] = ()


def run_trial(
    trial: TrialConfig,
    device: str | torch.device = "cpu",
    data: TokenData | None = None,
    on_point: Callable[[CurvePoint, int], None] | None = None,
    checkpoint: CheckpointPlace | None = None,
    save_weights_to: Path | None = None,
    prefixes: Prefixes | None = None,
    report: Report | None = None,
    team: Team | None = None,
    micro_batch: int = 0,
) -> TrialResult:
    """Train and evaluate one trial on one device.

    `on_point` is called with every point of the curve and the number of steps. With `checkpoint`, a trial that was
    interrupted goes on where its checkpoint stands; `prefixes` are what it takes over from other trials and stores for
    them; `report` is told of every step. With a `team`, this is its first process (`training/devices.py`). Equal trials
    give equal losses on the CPU, interrupted, forked or neither. `micro_batch` takes the place of the trial's own; sums
    then round elsewhere.
    Raises UserError if the text cannot fill a sequence and GuardError if a check of `guards` fails; a non-finite loss
    ends the trial as `diverged`.
    """
    ready = prepare(trial, torch.device(device), data)
    progress = train(ready, on_point, checkpoint, prefixes, report, team, micro_batch)
    if report:
        report.evaluating()
    return conclude(ready, progress, save_weights_to)


def train(
    ready: Ready,
    on_point: Callable[[CurvePoint, int], None] | None = None,
    checkpoint: CheckpointPlace | None = None,
    prefixes: Prefixes | None = None,
    report: Report | None = None,
    team: Team | None = None,
    micro_batch: int = 0,
) -> Progress:
    """Train the model of a trial, with options as for `run_trial`."""
    training, model = ready.trial.training, ready.model
    if ready.trial.steps:  # before a checkpoint's weights come: what was fitted is the same in all attempts
        model.use(acting(ready.trial, 0, ready.trial.steps)[0])
        calibrate(model, ready.trial, ready.train_on)
    optimizer = optimizer_for(model, training)
    loop = ready.loop(optimizer, on_point, checkpoint, prefixes, report)
    if team:
        team.tell(STEP, loop.progress.step)
    trained = team.trained(model, optimizer) if team else OneDevice(model, optimizer)
    trained.micro_batch = micro_batch
    if team:
        team.tell(STEP, micro_batch)
    if compiles(training, loop.device):
        compile_blocks(trained.model)
    _train(loop, trained, ready.curve_on)
    if team:
        team.tell(END)
    calibrate(model, ready.trial, ready.train_on)
    return loop.progress


@dataclass(frozen=True)
class Ready:
    """A trial before its first step: its text cut into sequences, and its untrained model, which has been checked.

    `measured_on` is of the test, `validated_on` of the validation text (None where the text has no such part), and
    `curve_on` what the points of the curve are measured on.
    """

    trial: TrialConfig
    text: TokenData
    train_on: Sequences
    measured_on: Sequences
    validated_on: Sequences | None
    curve_on: Sequences
    model: Decoder
    skipped_guards: tuple[str, ...]
    facts: TextFacts

    def loop(
        self,
        optimizer: torch.optim.Optimizer,
        on_point: Callable[[CurvePoint, int], None] | None = None,
        checkpoint: CheckpointPlace | None = None,
        prefixes: Prefixes | None = None,
        report: Report | None = None,
    ) -> Loop:
        """The trial's way through its training, from where it was interrupted or can start from another."""
        text, train_on = self.text, self.train_on
        return Loop(self.trial, self.model, optimizer, train_on, text, on_point, checkpoint, prefixes, report)


def prepare(trial: TrialConfig, device: torch.device, data: TokenData | None = None) -> Ready:
    """Text and model of a trial. Raises UserError and GuardError as `run_trial` does."""
    refuse_elsewhere([trial])
    training = trial.training
    text = data or load_data(trial.data, training_tokens(trial), training.held_out_tokens)
    if text.vocab_size != trial.data.vocab_size:
        raise UserError(
            f"data.vocab_size is {trial.data.vocab_size}, but the tokenizer '{trial.data.tokenizer}' has "
            f"{text.vocab_size}: set data.vocab_size={text.vocab_size}"
        )
    train_on = cut(text.train, trial, text.end_of_document, "training")
    measured_on, validated_on, curve_on = held_out_sequences(trial, text)
    model = build_model(trial).to(device)
    bytes_per_token = measured_extent(trial, text, measured_on).bytes_per_token
    facts = text_facts(trial, text, train_on, measured_on, bytes_per_token, own_text=data is not None)
    skipped = check_trial(model, trial, facts.leak)
    return Ready(trial, text, train_on, measured_on, validated_on, curve_on, model, skipped, facts)


def conclude(ready: Ready, progress: Progress, save_weights_to: Path | None = None) -> TrialResult:
    """Evaluate a trained model, unless its training diverged, and put together what the trial has shown."""
    trial, text, model = ready.trial, ready.text, ready.model
    training, device = trial.training, model.head.weight.device
    began = time.perf_counter()
    measured = measured_extent(trial, text, ready.measured_on)
    exits, by_threshold = ((), ()) if progress.diverged else _evaluate(ready, measured)
    validation_loss = None
    if exits and ready.validated_on is not None:
        with precision_context(training, device):
            validation_loss = held_out_loss(model, ready.validated_on, trial)
    judged: tuple[EvaluationRow, ...] = ()
    if exits:
        with precision_context(training, device):
            judged = tuple(evaluations(model, trial))
    eval_seconds = time.perf_counter() - began
    if save_weights_to is not None and not progress.diverged:
        save_weights(save_weights_to, trial, model)
    full = exits[-1] if exits else None
    status, reason = _verdict(trial, text, progress, full)
    shown = measured_steps(trial, step_count(training))
    tokens = progress.step * training.batch_size * training.seq_len
    chosen = None
    gains = [each.single.speed_gain for each in exits if each.single]
    if full is not None and status == Status.OK and gains:
        chosen = exits[best_exit([each.loss for each in exits], gains) - 1]
    return TrialResult(
        trial=trial,
        status=status,
        reason=reason,
        params=sum(parameter.numel() for parameter in model.parameters()),
        train_documents=text.train_documents,
        epochs=progress.step * training.batch_size / ready.train_on.count,
        tokens_measured=measured.tokens,
        documents_measured=measured.documents,
        bytes_measured=measured.text_bytes,
        cut_share=measured.cut_share if training.documents == "padded" else None,
        tokens_trained=tokens,
        loss=full.loss if full else None,
        ppl=full.ppl if full else None,
        bpb=full.bpb if full else None,
        unigram_entropy=text.unigram_entropy,
        bigram_loss=ready.facts.bigram_loss,
        fivegram_loss=ready.facts.fivegram_loss,
        ngram_tokens=ready.facts.ngram_tokens,
        leaked_share=ready.facts.leak.share if ready.facts.leak else None,
        best_exit=chosen.exit_layer if chosen else None,
        best_exit_speed_gain=gains[chosen.exit_layer - 1] if chosen else None,
        best_exit_ppl=chosen.ppl if chosen else None,
        confidence_loss=[loss for loss, _ in by_threshold] or None,
        confidence_depth=[depth for _, depth in by_threshold] or None,
        weight_bytes=weight_bytes(model),
        train_seconds=progress.seconds,
        eval_seconds=eval_seconds,
        tokens_per_second=tokens / progress.seconds,
        diverged_at_step=progress.step if status == Status.DIVERGED else None,
        validation_loss=validation_loss,
        last_finite_loss=progress.last_finite_loss,
        skipped_guards=", ".join(ready.skipped_guards) or None,
        resumed_at_step=progress.resumed_at,
        diagnostic_seconds=progress.diagnostic_seconds,
        forked_from=progress.forked_from,
        forked_at_step=progress.forked_at,
        shared_seconds=progress.shared_seconds,
        curve=tuple(point for point in progress.curve if point.step in shown),
        exits=exits,
        layers=tuple(progress.layers),
        evaluations=judged,
    )


def _train(loop: Loop, trained: OneDevice, curve_on: Sequences) -> None:
    """A model through its loop, to be evaluated."""
    trial, training, device = loop.trial, loop.trial.training, loop.device

    def held_out() -> float:
        model, _ = trained.whole(moments=False)
        model.eval()
        with precision_context(training, device):
            loss = held_out_loss(model, curve_on, trial)
        model.train()
        return loss

    trained.model.train()
    while not loop.ended:
        train_step(loop, trained, held_out)
    model, _ = trained.whole(moments=False)
    evaluated = acting(trial, trial.steps, trial.steps)[0]
    if trial.of(PostTraining).after:
        model.fold(evaluated)
    model.use(evaluated)


def train_step(loop: Loop, trained: OneDevice, held_out: Callable[[], float]) -> None:
    """One optimizer step, and what the loop asks for after it."""
    began = time.perf_counter()
    training = loop.trial.training
    trained.begin_step()
    step = loop.next(trained.rows(training.batch_size))
    if loop.took(*gradients(trained, step, training)):
        update(trained)
        loop.settle(held_out, trained.whole)
    loop.progress.seconds += time.perf_counter() - began


def steps_on_random_tokens(trial: TrialConfig, device: str, steps: int) -> Iterator[None]:
    """So many optimizer steps of the trial's costliest phase on random tokens, one each time: for timing them.

    Blocks are compiled only where the trial asks for it outright: compiling takes longer than many steps.
    """
    training = trial.training
    model = random_model(trial).to(device)
    if training.compile == "on":
        compile_blocks(model)
    model.train()
    trained = OneDevice(model, optimizer_for(model, training))
    last = step_count(training) - 1
    shape = (training.batch_size, training.seq_len)
    for step in range(steps):
        tokens = torch.randint(trial.data.vocab_size, shape, generator=generator(trial.seed, "timing", step)).to(device)
        then = drawn(trial, last, last + 1)
        gradients(trained, Step(tokens, tokens, *then, training.lr, training.weight_decay), training)
        update(trained)
        yield


def _evaluate(ready: Ready, measured: Extent) -> tuple[tuple[ExitResult, ...], tuple[tuple[float, float], ...]]:
    """Quality of the exits that the trial measures, with speed where these are all, and of leaving by confidence.

    Nothing if a loss is not finite.
    """
    trial, text, model = ready.trial, ready.text, ready.model
    device = model.head.weight.device
    check_causality(model, trial)
    model.eval()
    length = min(trial.training.seq_len, len(text.test))
    prompt = torch.from_numpy(np.asarray(text.test[:length], dtype=np.int64))[None].to(device)
    with precision_context(trial.training, device):
        found = held_out_quality(model, ready.measured_on, trial)
        quality = found.exits
        if not all(math.isfinite(each.loss) for each in quality):
            return (), ()
        batch = throughput_batch(device) if trial.training.eval_exits == "all" else None
        layers, drafts = [each.exit_layer for each in quality], trial.training.eval_draft_tokens
        kept: Sequence[float | None] = [None] * len(quality)
        if drafts:
            kept = acceptance_rates(model, ready.measured_on, layers, drafts)
        single: Sequence[ExitSpeed | None] = [None] * len(quality)
        batched = single
        if batch:
            single, batched = exit_speed(model, prompt), exit_speed(model, prompt, batch)
    exits = tuple(
        ExitResult(
            exit_layer=each.exit_layer,
            depth=trial.model.layers,
            loss=each.loss,
            ppl=perplexity(each.loss),
            bpb=bits_per_byte(each.loss, measured.bytes_per_token),
            agreement=each.agreement,
            single=one,
            batch=batch,
            batched=many,
            acceptance_rate=accepted,
            sequence_losses=each.sequence_losses,
        )
        for each, one, many, accepted in zip(quality, single, batched, kept, strict=True)
    )
    return exits, tuple(found.by_threshold)


def _verdict(
    trial: TrialConfig, text: TokenData, progress: Progress, full: ExitResult | None
) -> tuple[Status, str | None]:
    if trial.training.training == "none" and full is not None:
        return Status.OK, None  # how much worse it has become is what is measured
    if progress.diverged or full is None:
        return Status.DIVERGED, progress.diverged or "non-finite held-out loss after training"
    if full.loss > math.log(trial.data.vocab_size) + DIVERGENCE_MARGIN:
        return Status.DIVERGED, f"held-out loss {full.loss:.3f} is above ln V + {DIVERGENCE_MARGIN}"
    if full.loss >= text.unigram_entropy:
        entropy = text.unigram_entropy
        return Status.STALLED, f"held-out loss {full.loss:.3f} is not below the unigram entropy {entropy:.3f}"
    return Status.OK, None
