"""A trial's model without its techniques, for programs that have none: what is exact is folded, the rest is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from bitskip.errors import UserError
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Block, Decoder
from bitskip.ops.conventions import scale_rule
from bitskip.ops.quantizers import ActivationQuantizer
from bitskip.techniques.base import LinearLayer, Technique
from bitskip.trial.config import ModelConfig, TrialConfig

LINEAR_WITHIN = 1e-3
"""Largest difference, of values of about one, between what is done to an input and the matrix that it is taken for."""


@dataclass(frozen=True)
class Portable:
    """A model that needs nothing but its architecture.

    `family` is its name in `transformers` and llama.cpp, `weights` are fp32 by the decoder's names, `notes` say what
    was folded or left out.
    """

    trial: TrialConfig
    family: str
    weights: dict[str, Tensor]
    notes: tuple[str, ...]

    @property
    def sizes(self) -> ModelConfig:
        return self.trial.model


def family_of(sizes: ModelConfig) -> str:
    """The architecture of these sizes, as `transformers` and llama.cpp call it. Raises UserError if there is none."""
    biased = sizes.attention_bias
    if sizes.block == "olmo2" and sizes.qk_norm and biased != "qkv":
        return "olmo2"
    if sizes.block == "llama" and sizes.qk_norm and biased != "qkv":
        return "qwen3"
    if sizes.block == "llama" and not sizes.qk_norm:
        return "qwen2" if biased == "qkv" else "llama"
    raise UserError(
        f"export: no architecture has model.block {sizes.block} with model.qk_norm {str(sizes.qk_norm).lower()} and "
        f"model.attention_bias {biased}"
    )


@torch.no_grad()
def portable(model: Decoder, trial: TrialConfig, target: str, activation_bits: int | None = None) -> Portable:
    """The full model as it decodes. `activation_bits` is what the target itself rounds activations to, if it does.

    Raises UserError for techniques that the target cannot express, by name.
    """
    if trial.artefact:
        named = ", ".join(f"{name} {value}" for name, value in trial.artefact_switches().items())
        raise UserError(f"export: {target} has no defect of the published code ({named})")
    family = family_of(trial.model)
    for technique in trial.techniques:
        _check(technique, model, trial, target, activation_bits)
    notes = []
    weights = {name: value.detach().float() for name, value in model.named_parameters() if not _of_exit(name)}
    for name, layer in model.named_modules():
        if isinstance(layer, BitLinear):
            weights[f"{name}.weight"] = _folded(layer, trial)
    if any(layer.ops.before for layer in _linear_layers(model)):
        notes.append(f"hadamard {trial['hadamard']} is folded into the weights")
    if activation_bits and trial["bits"] == activation_bits:
        notes.append(f"{target} rounds activations to {activation_bits} bits by block of a row, the trial by token")
    if len(model.exit_norms) or len(model.exit_heads):
        notes.append("norms and heads of early exits are left out: the full model is exported")
    return Portable(trial, family, weights, tuple(notes))


def _of_exit(name: str) -> bool:
    return name.startswith(("exit_norms.", "exit_heads."))


def _linear_layers(model: Decoder) -> Iterable[BitLinear]:
    return (module for module in model.modules() if isinstance(module, BitLinear))


def _check(technique: Technique, model: Decoder, trial: TrialConfig, target: str, activation_bits: int | None) -> None:
    """Raise UserError for a technique that does what no weights can hold."""
    axis = technique.axes()[0]
    told = f"{axis.name} {axis.read(trial)}"
    blocks = [cast(Block, block) for block in model.blocks]
    if any(isinstance(technique, kind) for block in blocks for kind in block.kinds):
        raise UserError(f"export: {target} cannot express {told}, which runs blocks in a way of its own")
    if any(technique.key_value(index) for index in range(len(blocks))):
        raise UserError(f"export: {target} cannot express {told}, which rounds keys and values")
    for index, block in enumerate(blocks):
        for layer in (each for each in block.modules() if isinstance(each, BitLinear)):
            outputs, inputs = layer.weight.shape
            ops = technique.linear(LinearLayer(layer.site, inputs, outputs, index, trial.seed, trial.techniques))
            if ops.after or ops.output or not all(rounds_to(op, activation_bits) for op in ops.quantize):
                raise UserError(
                    f"export: {target} cannot express {told}, which acts on what layers read; ternary weights with "
                    "bits 8 and activation_scale absmax go --to gguf --type tq2_0, which rounds to 8 bits itself"
                )
            if ops.before and trial["bits"] == activation_bits:
                raise UserError(
                    f"export: {target} cannot express {told} before activations are rounded to {activation_bits} bits"
                )


def rounds_to(op: object, bits: int | None) -> bool:
    """Whether it is symmetric rounding to so many bits between the largest entries."""
    absmax = isinstance(op, ActivationQuantizer) and "absmax" in (op.scale, scale_rule(op.bits))
    return isinstance(op, ActivationQuantizer) and op.bits == bits and absmax and op.scale != "absmean"


def _folded(layer: BitLinear, trial: TrialConfig) -> Tensor:
    """W R, where the layer computes W (R x): the weight as it is multiplied with, quantized or not."""
    weight = layer.effective_weight().detach().float()
    if not layer.ops.before:
        return weight
    columns = layer.rotated_input(torch.eye(weight.shape[1]))  # row i is R e_i
    tried = torch.randn(4, weight.shape[1], generator=torch.Generator().manual_seed(0))
    if not torch.allclose(layer.rotated_input(tried), tried @ columns, atol=LINEAR_WITHIN):
        raise UserError(f"export: what {trial.trial_id} does to the inputs of {layer.site} is no matrix")
    return (weight.double() @ columns.double().T).float()
