"""What happens inside a model while it trains: quantizers' inputs, ternary weights, and gradients that may disagree.

Every measure is defined where its column is declared (`LayerRow`) and explained in docs/measures.md, under "Layers".
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, uncompiled
from bitskip.store.schema import LayerRow
from bitskip.training.gradient_agreement import Batch, gradient_agreement
from bitskip.trial.config import TrainingConfig

SAMPLED_SHARE = 0.25
"""Of a batch: the statistics settle with far fewer tokens than a step needs, and time is what a sample costs."""


def sampled_sequences(training: TrainingConfig) -> int:
    """How many sequences of a batch to sample: a share of it, but no more than a forward pass of training takes."""
    return max(1, min(int(training.batch_size * SAMPLED_SHARE), training.micro_batch or training.batch_size))


def kurtosis(x: Tensor) -> Tensor:
    """Fourth standardised moment over the last dimension (3 for a Gaussian), averaged over tokens; 0-d, fp32.

    A token whose features are all equal has none and is left out.
    """
    centred = x.float() - x.float().mean(-1, keepdim=True)
    # Scaled before the fourth power, which would leave the range of fp32 otherwise.
    scaled = centred / centred.square().mean(-1, keepdim=True).sqrt()
    return scaled.square().square().mean(-1).nanmean()


def crest_factor(x: Tensor) -> Tensor:
    """max |x| / rms over the last dimension, averaged over the tokens that are not all zero; 0-d, fp32."""
    x = x.float()
    return (x.abs().amax(-1) / x.square().mean(-1).sqrt()).nanmean()


def signal_to_noise(signal: Tensor, approximation: Tensor) -> Tensor:
    """10 log10(sum x^2 / sum (x - x_hat)^2) in dB over all entries; 0-d, fp32; infinite if nothing is lost."""
    signal = signal.float()
    return 10 * torch.log10(signal.square().sum() / (signal - approximation.float()).square().sum())


class Diagnostics:
    """Samples a model in training; `codes` are the integer weights at the last sample, by `layer/site`."""

    def __init__(self, codes: Mapping[str, Tensor] | None = None) -> None:
        self.codes = dict(codes or {})

    def sample(
        self,
        model: Decoder,
        step: int,
        inputs: Tensor,
        targets: Tensor,
        weights: Sequence[float],
        pairs: Iterable[tuple[Batch, Batch]] = (),
    ) -> list[LayerRow]:
        """One row for every part of the model, from one forward and two backward passes over `inputs` [B, T].

        `targets` [B, T] and `weights` [L] are those of `Decoder.losses`; `pairs` of other batches are what gradients
        are compared on (`gradient_agreement`). All blocks run, without layer dropout. To be called in the precision
        context of a forward pass. Gradients in `.grad`, random states and the model's mode are left as they are.
        """
        parts = list(_parts(model))
        agreements = gradient_agreement(model, [part for _, _, part in parts], pairs, weights)
        # Compiled blocks run eagerly: a hook inside would have them compiled anew.
        with uncompiled(), _watched(parts) as activations:
            # With weight 0 for the full model, the first of the two losses is that of the early exits alone.
            exit_loss, full_loss = model.losses(inputs, targets, (*weights[:-1], 0.0), penalties=False)
        # Training runs its backward passes outside of autocast too.
        with torch.autocast(inputs.device.type, enabled=False):
            products = _gradient_products(
                list(dict.fromkeys(parameter for _, _, part in parts for parameter in part.parameters())),
                full_loss * weights[-1],
                exit_loss if any(weights[:-1]) else None,
            )
            return [
                LayerRow(
                    step,
                    layer,
                    site,
                    **activations.get(part, {}),
                    **self._weight_measures(part, f"{layer}/{site}"),
                    **_gradient_measures(products, part),
                    **agreement,
                )
                for (layer, site, part), agreement in zip(parts, agreements, strict=True)
            ]

    def _weight_measures(self, part: nn.Module, key: str) -> dict[str, Any]:
        """Of a quantized weight: what rounding loses, and how many codes are zero or have changed."""
        ops = part.ops.weight if isinstance(part, BitLinear) else ()
        coders: list[Any] = [op for op in ops if hasattr(op, "codes")]
        if not coders:
            return {}
        assert isinstance(part, BitLinear)
        coded = coders[0]
        weight = part.weight.detach()
        codes, before = coded.codes(weight).to(torch.int8), self.codes.get(key)
        self.codes[key] = codes
        flips = None if before is None else int((codes != before).sum())
        return _finite(weight_snr_db=signal_to_noise(weight, coded(weight)), zero_share=(codes == 0).float().mean()) | {
            "weight_flips": flips,
            "weight_flip_share": None if flips is None else flips / codes.numel(),
        }


def _parts(model: Decoder) -> Iterator[tuple[int | None, str, nn.Module]]:
    """(layer, site, module) of every row of a sample."""
    yield None, "embedding", model.embedding
    for layer, block in enumerate(model.blocks, start=1):
        for module in block.modules():
            if isinstance(module, BitLinear):
                yield layer, module.site, module
        yield layer, "block", block
    yield None, "norm", model.norm
    yield None, "head", model.head


@contextlib.contextmanager
def _watched(parts: Iterable[tuple[int | None, str, nn.Module]]) -> Iterator[dict[nn.Module, dict[str, Any]]]:
    """Inside, a forward pass leaves the activation measures of every BitLinear here."""
    measures: dict[nn.Module, dict[str, Any]] = {}

    def watch(module: nn.Module, arguments: tuple[Tensor]) -> None:
        assert isinstance(module, BitLinear)
        measures[module] = _activation_measures(module, arguments[0])

    hooks = [part.register_forward_pre_hook(watch) for _, _, part in parts if isinstance(part, BitLinear)]
    try:
        yield measures
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _activation_measures(linear: BitLinear, x: Tensor) -> dict[str, Any]:
    """Of the input x [B, T, n] of a linear layer, before and after the rotation that precedes the quantizer."""
    rotated = linear.rotated_input(x)
    quantized = linear.quantized(rotated)
    before = kurtosis(x), crest_factor(x)
    after = before if rotated is x else (kurtosis(rotated), crest_factor(rotated))
    return _finite(
        input_kurtosis=before[0],
        input_crest_factor=before[1],
        kurtosis=after[0],
        crest_factor=after[1],
        snr_db=signal_to_noise(rotated, quantized),
    )


def _gradient_products(
    parameters: Sequence[nn.Parameter], main_loss: Tensor, exit_loss: Tensor | None
) -> dict[nn.Parameter, Tensor]:
    """For each parameter [t.t, m.m, e.e, m.e], with m and e the gradients of the two losses and t = m + e."""
    main = torch.autograd.grad(main_loss, parameters, retain_graph=exit_loss is not None, materialize_grads=True)
    if exit_loss is None:
        exits = tuple(torch.zeros_like(gradient) for gradient in main)
    else:
        exits = torch.autograd.grad(exit_loss, parameters, materialize_grads=True)

    def products(m: Tensor, e: Tensor) -> Tensor:
        t = m + e
        return torch.stack([(a * b).sum() for a, b in ((t, t), (m, m), (e, e), (m, e))])

    return {p: products(m, e) for p, m, e in zip(parameters, main, exits, strict=True)}


def _gradient_measures(products: Mapping[nn.Parameter, Tensor], part: nn.Module) -> dict[str, Any]:
    """Norm of the training loss's gradient over the part's parameters, and the cosine between its two terms."""
    total, main, exits, both = torch.stack([products[parameter] for parameter in part.parameters()]).sum(0)
    return _finite(grad_norm=total.sqrt(), exit_main_cosine=both / (main.sqrt() * exits.sqrt()))


def _finite(**measures: Tensor) -> dict[str, Any]:
    """The 0-d tensors as numbers, None for those that are not finite; one transfer from the device."""
    numbers = torch.stack(list(measures.values())).tolist()
    return {name: value if math.isfinite(value) else None for name, value in zip(measures, numbers, strict=True)}
