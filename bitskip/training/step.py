"""One optimizer step's gradients, over the micro-batches and the devices of a batch."""

from __future__ import annotations

import contextlib
import itertools
import math

import torch
from torch import Tensor

from bitskip.data import load_data, training_tokens
from bitskip.data.sequences import cut
from bitskip.data.stream import window
from bitskip.model.bitlinear import quantized_once
from bitskip.model.decoder import Decoder, random_model
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.training.devices import END, STATE, STEP, OneDevice, Team
from bitskip.training.loop import Step, batch_order, precision_context, step_of
from bitskip.training.optimizer import optimizer_for
from bitskip.trial.config import TrainingConfig, TrialConfig

COMPILED_PROGRAMS = 64


def compiles(training: TrainingConfig, device: torch.device) -> bool:
    """Whether a trial's blocks are compiled there."""
    return training.compile == "on" or (training.compile == "auto" and device.type == "cuda")


def compile_blocks(model: Decoder) -> None:
    """One program serves all blocks of a trial: they have one code and differ in their weights only."""
    from torch._dynamo import config

    # Layer dropout makes batches of several sizes, and a process may train one trial after another: past the limit of 8
    # programs for one code, the compiler would run it uncompiled.
    config.recompile_limit = max(config.recompile_limit, COMPILED_PROGRAMS)
    model.compile_blocks()


def gradients(trained: OneDevice, step: Step, training: TrainingConfig) -> tuple[float, float, float]:
    """Clipped gradients of a step; (training loss, full model's loss, gradient norm) of the whole batch."""
    model = trained.model
    model.use(step.techniques)
    for group in trained.optimizer.param_groups:
        group["lr"] = step.lr * group["share"]
        if group["decays"]:
            group["weight_decay"] = step.weight_decay
    losses = trained.summed(_accumulate(trained, step, training))
    trained.sum_gradients(step.keep)
    norm = trained.clip(training.grad_clip or math.inf)
    # One transfer for all three: each would wait for a GPU by itself.
    total, main, length = torch.cat([losses, norm[None]]).tolist()
    return total, main, length


def update(trained: OneDevice) -> None:
    """With the gradients that there are, which are gone then, also of weights that are not trained."""
    trained.optimizer.step()
    trained.model.zero_grad(set_to_none=True)


def _accumulate(trained: OneDevice, step: Step, training: TrainingConfig) -> Tensor:
    """Backward over this device's micro-batches; its part of (training loss, full model's loss) of the whole batch.

    Shape [2], fp64, on the device: reading them there waits for it. Losses are per token that counts, of all devices.
    """
    model, inputs, targets = trained.model, step.inputs, step.targets
    keep = None if step.keep is None else step.keep[:, trained.rows(training.batch_size)]
    micro_batch = min(trained.micro_batch or training.micro_batch or len(inputs), len(inputs))
    whole, alone = micro_batch == len(inputs), len(inputs) == training.batch_size
    counted, all_counted = [], 1
    if not (whole and alone):
        rows_counted = (targets != IGNORED_TARGET).sum(1)
        counted, all_counted = rows_counted.tolist(), int(trained.summed(rows_counted.sum()))
    losses = torch.zeros(2, dtype=torch.float64, device=inputs.device)
    once = not whole and trained.quantizes_once
    with quantized_once(model) if once else contextlib.nullcontext():
        for start in range(0, len(inputs), micro_batch):
            rows = slice(start, start + micro_batch)
            kept = None if keep is None else keep[:, rows]
            with precision_context(training, inputs.device):
                total, main = model.losses(inputs[rows], targets[rows], step.weights, kept, z_loss=training.z_loss)
            share = sum(counted[rows]) / all_counted if counted else 1.0
            (total * share).backward()  # type: ignore[no-untyped-call]
            losses += torch.stack([total.detach(), main.detach()]).double() * share
    return losses


def follow(trial: TrialConfig, team: Team) -> None:
    """What a process of a team does that is not its first: what that one tells it."""
    what, begins = team.hear()
    training = trial.training
    if what == END:
        return
    text = load_data(trial.data, training_tokens(trial), training.held_out_tokens)
    train_on = cut(text.train, trial, text.end_of_document, "training")
    model = random_model(trial).to(team.device)
    trained = team.trained(model, optimizer_for(model, training))
    _, trained.micro_batch = team.hear()
    if compiles(training, team.device):
        compile_blocks(trained.model)
    trained.model.train()
    numbers = itertools.count(begins)
    order = batch_order(trial.seed, train_on.count, training.batch_size, begins, window(trial))
    while (what := team.hear()[0]) != END:
        if what == STEP:
            step = step_of(trial, train_on, next(order)[team.rows(training.batch_size)], next(numbers), team.device)
            total, _, norm = gradients(trained, step, training)
            if math.isfinite(total) and math.isfinite(norm):  # as `Loop.took`
                update(trained)
        else:
            trained.put_together(moments=what == STATE)
