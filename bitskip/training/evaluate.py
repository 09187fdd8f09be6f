"""Held-out quality of every exit layer, and what the model takes to store (docs/measures.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bitskip.data.sequences import Sequences
from bitskip.model.bitlinear import BitLinear, frozen_weights
from bitskip.model.decoder import Decoder
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.ops.cross_entropy import scores
from bitskip.ops.published_defects import compared_tokens
from bitskip.techniques.base import stored_weight_bytes
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.training.exits import THRESHOLDS
from bitskip.trial.config import TrialConfig

FULL_PRECISION_BYTES = 2
"""A weight that is not quantized is counted as bf16, the field's usual storage."""


@dataclass(frozen=True)
class ExitQuality:
    """Held-out measures of one exit: loss in nats per token, agreement = share of top-1 equal to the full model's.

    `sequence_losses` are the losses of the sequences, in their order: nats per token of each.
    """

    exit_layer: int
    loss: float
    agreement: float
    sequence_losses: list[float]


@dataclass(frozen=True)
class HeldOutQuality:
    """Measures of the exits, and for each of `THRESHOLDS` (loss in nats per token, mean exit layer) of leaving there.

    The latter is empty where the full model alone is measured.
    A token leaves at the first measured exit that is confident enough, else behind the last block, as decoding with
    recomputed keys and values does (docs/decoding.md): its states are those of the full pass.
    """

    exits: list[ExitQuality]
    by_threshold: list[tuple[float, float]]


def held_out_batches(sequences: Sequences, trial: TrialConfig, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The held-out sequences in batches, with what their losses compare with."""
    size = trial.training.micro_batch or trial.training.batch_size
    for start in range(0, sequences.count, size):
        inputs, targets = sequences.batch(range(start, min(start + size, sequences.count)), device)
        yield inputs, compared_tokens(inputs, targets, trial.of(PublishedDefects).target_shift)


@torch.no_grad()
def held_out_loss(model: Decoder, sequences: Sequences, trial: TrialConfig) -> float:
    """Nats per token of the full model: sum of nll over sum of tokens, in fp64."""
    nll, count = 0.0, 0
    with frozen_weights(model):
        for inputs, targets in held_out_batches(sequences, trial, model.head.weight.device):
            nll += _nll(model(inputs), targets)
            count += int((targets != IGNORED_TARGET).sum())
    return nll / count


def exit_quality(model: Decoder, sequences: Sequences, trial: TrialConfig) -> list[ExitQuality]:
    """The exits' part of `held_out_quality`."""
    return held_out_quality(model, sequences, trial).exits


@torch.no_grad()
def held_out_quality(model: Decoder, sequences: Sequences, trial: TrialConfig) -> HeldOutQuality:
    """Loss of the exits that the trial measures, on the same held-out tokens, from one pass.

    It is the sum of nll over the sum of tokens, in fp64.
    """
    measured = trial.training.measured_exits(model.sizes.layers)
    device = model.head.weight.device
    equal = torch.zeros(len(measured), dtype=torch.int64, device=device)
    nlls, counts = [], []
    layers = torch.tensor(measured, dtype=torch.float64, device=device)
    left = torch.zeros(len(THRESHOLDS), 2, dtype=torch.float64, device=device)
    with frozen_weights(model):
        for inputs, targets in held_out_batches(sequences, trial, device):
            counted = targets != IGNORED_TARGET
            choices, rows, confidences = [], [], []
            for exit_layer, hidden in enumerate(model.hidden_states(inputs), start=1):
                if exit_layer not in measured:
                    continue
                state = model.norm_of(exit_layer)(hidden)
                losses, chosen, confidence = scores(model.head_of(exit_layer).weight, state, targets)
                rows.append(losses)
                choices.append(chosen[counted])
                confidences.append(confidence)
            equal += torch.stack([(chosen == choices[-1]).sum() for chosen in choices])
            by_exit, confident = torch.stack(rows), torch.stack(confidences)[:-1]
            for row, threshold in enumerate(THRESHOLDS):
                passed = (confident < threshold).cumprod(0).sum(0)  # exits that were not confident enough
                left[row, 0] += by_exit.gather(0, passed[None]).sum()
                left[row, 1] += layers[passed[counted]].sum()
            nlls.append(by_exit.sum(2))
            counts.append(counted.sum(1))
    nll, count = torch.cat(nlls, 1).cpu(), torch.cat(counts).cpu()
    total = int(count.sum())
    found = zip(measured, nll, equal.tolist(), strict=True)
    by_threshold = [(loss, depth) for loss, depth in (left / total).tolist()] if len(measured) > 1 else []
    exits = [
        ExitQuality(layer, float(own.sum()) / total, agreeing / total, (own / count).tolist())
        for layer, own, agreeing in found
    ]
    return HeldOutQuality(exits, by_threshold)


def _nll(logits: Tensor, targets: Tensor) -> float:
    """Sum of the negative log-likelihood in nats over the targets that count, added up in fp64."""
    losses = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return float(losses.double().sum())


def perplexity(loss: float) -> float | None:
    """exp(loss), or None where that overflows."""
    return math.exp(loss) if loss < 700 else None


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """Nats per token to bits per byte of UTF-8 text: comparable across tokenizers."""
    return loss / math.log(2) / bytes_per_token


def weight_bytes(model: Decoder) -> int:
    """Bytes to store the model: quantized matrices as their technique stores them, everything else as bf16."""
    matrices = [module.weight for module in model.modules() if isinstance(module, BitLinear)]
    rest = sum(p.numel() for p in model.parameters()) - sum(weight.numel() for weight in matrices)
    stored = (stored_weight_bytes(model.in_force, weight.shape, full=FULL_PRECISION_BYTES) for weight in matrices)
    return sum(stored) + rest * FULL_PRECISION_BYTES
