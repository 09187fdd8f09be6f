"""torchao as an engine: integer kernels on the integers behind a trial's weights."""

from __future__ import annotations

import copy
import importlib.metadata
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder
from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.training.bench import About, TorchEngine
from bitskip.training.export import rounds_to
from bitskip.trial.config import TrialConfig

INT4_GROUPS = (128, 64, 32)
"""Inputs that may share a scale in torchao's 4-bit kernel for CPUs."""

WITHIN = 1e-3
"""Largest distance of a weight over its scale from an integer."""

INT4_ROWS = 16
"""What the number of outputs must be a multiple of there."""


@dataclass(frozen=True)
class Integers:
    """A matrix [out, in] as integer codes times `steps` [out, groups], a scale for each group of a row's inputs."""

    codes: Tensor
    steps: Tensor

    @property
    def group(self) -> int:
        return self.codes.shape[1] // self.steps.shape[1]


def torchao(model: Decoder, trial: TrialConfig) -> TorchEngine:
    """A copy of the decoder whose blocks multiply integers; rotations, embedding, norms and head stay fp32.

    Weights of up to 4 bits whose inputs are not rounded go to the 4-bit kernel, others to the 8-bit kernels, which
    round inputs to 8 bits by token where the trial does so. Raises UserError for what torchao cannot express, by name.
    """
    require("torchao")
    logging.getLogger("torchao").setLevel(logging.ERROR)  # says which compiled parts it does without
    rounded = _rounded_inputs(model, trial)
    four = trial["weight_bits"] <= 4 and not rounded
    own = copy.deepcopy(model)
    for layer in _linear(own):
        held = _integers(layer, trial)
        layer.freeze(_int4(held) if four else _int8(held, rounded, trial))
        layer.weight = nn.Parameter(torch.empty(0))  # the integers are what is left
        layer.ops = replace(layer.ops, quantize=(), weight=())
    about = About(
        f"torchao {importlib.metadata.version('torchao')}, torch {torch.__version__}",
        "int4" if four else "int8" + ", inputs int8" * rounded,
        False,
        sum(each.numel() * each.element_size() for each in own.parameters())
        + sum(_bytes(layer.effective_weight()) for layer in _linear(own)),
    )
    return TorchEngine(own, about)


def _linear(model: Decoder) -> Iterator[BitLinear]:
    return (module for module in model.modules() if isinstance(module, BitLinear))


def _rounded_inputs(model: Decoder, trial: TrialConfig) -> bool:
    """Whether the trial rounds inputs to 8 bits. Raises UserError for a trial that torchao cannot express."""
    ops = [layer.ops for layer in _linear(model)]
    rounded = any(each.quantize for each in ops)
    refused = {
        f"weights {trial['weights']} with weight_bits {trial['weight_bits']}: its layers are of integers": any(
            not each.weight for each in ops
        ),
        f"weight_scale {trial['weight_scale']}: its scales are those of the largest weight": (
            trial["weight_bits"] < UNQUANTIZED_BITS and trial["weight_scale"] != "absmax"
        ),
        f"bits {trial['bits']} with activation_scale {trial['activation_scale']}: it rounds to 8 bits by absmax": (
            rounded and not all(each.quantize and all(rounds_to(op, 8) for op in each.quantize) for each in ops)
        ),
        f"hadamard {trial['hadamard']}, behind the rounding": any(each.after or each.output for each in ops),
        f"kv_bits {trial['kv_bits']}: it rounds no keys and values": trial["kv_bits"] < UNQUANTIZED_BITS,
    }
    for what, holds in refused.items():
        if holds:
            raise UserError(f"bench: torchao cannot express {what}")
    return rounded


def _integers(layer: BitLinear, trial: TrialConfig) -> Integers:
    """The integers behind a quantized matrix. In every group the largest weight has the largest code."""
    weight = layer.effective_weight().detach().float()
    outputs, inputs = weight.shape
    bits, group = trial["weight_bits"], trial["weight_group"]
    if bits >= UNQUANTIZED_BITS:  # ternary
        largest, top = weight.abs().max().expand(outputs, 1), 1
    else:
        top = 3 if bits == 2 else 2 ** (bits - 1) - 1
        rows = weight.abs().view(outputs, -1, int(group) if group.isdigit() else inputs)
        largest = rows.amax(2) if group != "tensor" else rows.max().expand(outputs, 1)
    steps = (largest / top).clamp(min=torch.finfo(torch.float32).tiny)
    exact = weight / steps.repeat_interleave(inputs // steps.shape[1], 1)
    if (exact - exact.round()).abs().max() > WITHIN:
        raise UserError(f"bench: torchao cannot express {trial.trial_id}, whose weights are no integers times a scale")
    return Integers(exact.round().to(torch.int8), steps)


def _int8(held: Integers, rounded: bool, trial: TrialConfig) -> Tensor:
    from torchao.quantization import Int8Tensor, PerRow
    from torchao.quantization.quantize_.workflows.int8.int8_tensor import QuantizeTensorToInt8Kwargs

    if held.steps.shape[1] > 1:
        raise UserError(
            f"bench: torchao cannot express weight_group {trial['weight_group']} in 8 bits: a row has a scale"
        )
    inputs = QuantizeTensorToInt8Kwargs(PerRow()) if rounded else None
    made: Tensor = Int8Tensor(
        held.codes, held.steps.contiguous(), [1, held.codes.shape[1]], torch.float32, act_quant_kwargs=inputs
    )
    return made


def _int4(held: Integers) -> Tensor:
    from torchao.prototype.int4_opaque_tensor import Int4OpaqueTensor

    outputs, inputs = held.codes.shape
    group = next((size for size in INT4_GROUPS if held.group % size == 0), None)
    if group is None or outputs % INT4_ROWS:
        raise UserError(
            f"bench: torchao cannot express a matrix of {outputs} x {inputs} in 4 bits; it takes multiples of "
            f"{INT4_ROWS} x {INT4_GROUPS[-1]}"
        )
    steps = held.steps.repeat_interleave(held.group // group, 1)
    # The kernel's numbers are (code - 8) scale + zero, codes 0 … 15.
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(held.codes.int() + 8, 1)
    scales = torch.stack([steps.T, torch.zeros_like(steps.T)], 2).contiguous()
    made: Tensor = Int4OpaqueTensor(packed, scales, [1, group], held.codes.shape)
    return made


def _bytes(weight: Tensor) -> int:
    """Of the tensors that a tensor of torchao is made of."""
    parts = (getattr(weight, name, None) for name in ("qdata", "scale", "scale_and_zero"))
    return sum(each.numel() * each.element_size() for each in parts if each is not None)
