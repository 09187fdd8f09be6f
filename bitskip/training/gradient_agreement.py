"""Whether the losses of exits and full model pull shared weights apart by more than batches do.

On one batch both gradients share its chance, which makes them alike; on different batches even two losses that want
exactly the same differ. So the exits' gradient is compared with the full model's on another batch, and, as the
baseline, each of the two with itself on that batch (docs/measures.md, Layers).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bitskip.model.decoder import Decoder, uncompiled

PAIRS = 4
"""Pairs of batches in a sample."""

Batch = tuple[Tensor, Tensor]
"""Inputs and targets, both [B, T]."""

COSINES = ("exit_main_apart", "main_main_apart", "exit_exit_apart")


def gradient_agreement(
    model: Decoder, parts: Sequence[nn.Module], pairs: Iterable[tuple[Batch, Batch]], weights: Sequence[float]
) -> list[dict[str, Any]]:
    """For each part, the columns of `LayerRow` that compare gradients on different batches; empty without exit loss.

    `weights` [L] are those of `Decoder.losses`. One forward and two backward passes a batch, and memory for four
    gradients of all parameters. To be called in the precision context of a forward pass.
    """
    if not any(weights[:-1]):
        return [{} for _ in parts]
    found = [_cosines(model, parts, pair, weights) for pair in pairs]
    if not found:
        return [{} for _ in parts]
    return [_columns(of_part) for of_part in torch.stack(found, dim=1).tolist()]


def _columns(by_pair: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Means over pairs, with their standard errors, of [pairs, cosines]; None where a gradient vanishes."""
    count = len(by_pair)
    columns: dict[str, Any] = {"gradient_pairs": count}
    for name, values in zip(COSINES, zip(*by_pair, strict=True), strict=True):
        mean = math.fsum(values) / count
        if math.isfinite(mean):
            spread = math.fsum((value - mean) ** 2 for value in values)
            columns[name] = mean
            columns[f"{name}_se"] = math.sqrt(spread / (count - 1) / count) if count > 1 else None
    return columns if len(columns) > 1 else {}


def _cosines(model: Decoder, parts: Sequence[nn.Module], pair: tuple[Batch, Batch], weights: Sequence[float]) -> Tensor:
    """[parts, cosines] of one pair of batches; not finite where a gradient vanishes."""
    parameters = list(dict.fromkeys(parameter for part in parts for parameter in part.parameters()))
    gradients = [gradient for batch in pair for gradient in _gradients(model, batch, weights, parameters)]
    with torch.autocast(pair[0][0].device.type, enabled=False):
        products = {}
        for parameter, *own in zip(parameters, *gradients, strict=True):
            stacked = torch.stack([gradient.float().flatten() for gradient in own])
            products[parameter] = stacked @ stacked.T
        found = torch.stack([torch.stack([products[p] for p in part.parameters()]).sum(0) for part in parts])
    lengths = found.diagonal(dim1=1, dim2=2).sqrt()
    cosines = found / (lengths[:, :, None] * lengths[:, None, :])
    # Rows and columns: the full model's and the exits' on the first batch, then on the second.
    crossed = (cosines[:, 0, 3] + cosines[:, 1, 2]) / 2
    return torch.stack([crossed, cosines[:, 0, 2], cosines[:, 1, 3]], dim=1)


def _gradients(
    model: Decoder, batch: Batch, weights: Sequence[float], parameters: Sequence[nn.Parameter]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Of the full model's loss and of that of the early exits."""
    with uncompiled():
        exit_loss, full_loss = model.losses(*batch, (*weights[:-1], 0.0), penalties=False)
    with torch.autocast(batch[0].device.type, enabled=False):
        main = torch.autograd.grad(full_loss * weights[-1], parameters, retain_graph=True, materialize_grads=True)
        return main, torch.autograd.grad(exit_loss, parameters, materialize_grads=True)
