"""Fitting static scales and rounded weights to the training text, block by block (docs/pretrained.md, calibration)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bitskip.data.corpora import endless
from bitskip.data.sequences import Sequences, chosen
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, uncompiled
from bitskip.ops.calibrated import Calibrated, RoundedOnce, StaticQuantizer, gptq
from bitskip.techniques.integer_weights import IntegerQuantizer
from bitskip.techniques.post_training import PostTraining
from bitskip.trial.config import TrialConfig


@torch.no_grad()
def calibrate(model: Decoder, trial: TrialConfig, train_on: Sequences) -> None:
    """Fit what is to be fitted and is not yet, on `calibration_tokens` tokens of the training text.

    They are spread over it; of an endless corpus, its first ones.

    The blocks are gone through in order. Each is fitted to what the fitted ones before it give: scales see its
    activations unrounded, and its weights are rounded with the inputs that they will have.
    """
    waiting = [module for module in model.modules() if isinstance(module, Calibrated) and not module.fitted]
    if not waiting:
        return
    device, training = model.head.weight.device, trial.training
    read = chosen(train_on, trial.of(PostTraining).calibration_tokens, evenly=not endless(trial.data))
    size = training.micro_batch or training.batch_size
    batches = [range(start, min(start + size, read.count)) for start in range(0, read.count, size)]
    hidden = [model.embedding(read.batch(indices, device)[0]) for indices in batches]
    with uncompiled():
        for index, block in enumerate(model.blocks):
            layers = [module for module in block.modules() if isinstance(module, BitLinear)]
            with _seen(layers) as hessians:
                for x in hidden:
                    next(model.run_blocks(x, first=index))
            for layer in layers:
                _fit(layer, hessians.get(layer))
            hidden = [next(model.run_blocks(x, first=index)) for x in hidden]


@contextlib.contextmanager
def _seen(layers: list[BitLinear]) -> Iterator[dict[BitLinear, Tensor]]:
    """Inside, static scales take in what layers read, and the sums of x x^T of weights to be rounded are collected.

    These weights are multiplied with as they are.
    """
    hessians: dict[BitLinear, Tensor] = {}

    def see(layer: BitLinear, arguments: tuple[Any, ...]) -> None:
        rotated = layer.rotated_input(arguments[0])
        for op in layer.ops.quantize:
            if isinstance(op, StaticQuantizer) and not op.fitted:
                op.observe(rotated)
        if layer in hessians:
            x = layer.quantized_input(arguments[0]).float().flatten(0, -2)
            hessians[layer] += x.T @ x

    rounded = [layer for layer in layers if any(isinstance(op, RoundedOnce) for op in layer.ops.weight)]
    for layer in rounded:
        hessians[layer] = layer.weight.new_zeros(layer.weight.shape[1], layer.weight.shape[1])
        layer.freeze(layer.weight)
    hooks = [layer.register_forward_pre_hook(see) for layer in layers]
    try:
        yield hessians
    finally:
        for hook in hooks:
            hook.remove()
        for layer in rounded:
            layer.freeze(None)


def _fit(layer: BitLinear, hessian: Tensor | None) -> None:
    for op in (*layer.ops.quantize, *layer.ops.weight):
        if isinstance(op, RoundedOnce) and hessian is not None:
            assert isinstance(op.nearest, IntegerQuantizer)
            layer.weight.copy_(gptq(layer.weight, hessian, op.nearest.by_column(layer.weight)))
        if isinstance(op, Calibrated):
            op.fitted = True
