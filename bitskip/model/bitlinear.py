"""BitLinear: rotate, quantize, multiply (BitNet v2), and the order of the published code (docs/method.md, rotation)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitskip.model.hadamard import hadamard_transform, largest_block, random_signs
from bitskip.model.published_defects import Transform, published_transform, squared_relu
from bitskip.model.quantizers import quantize_activations, ternarize
from bitskip.trial.config import ROTATED_SITES, ArtefactConfig, MethodConfig


@dataclass(frozen=True)
class Rotation:
    """What a Hadamard variant does at the sites it touches."""

    sites: tuple[str, ...]
    signs: bool = False
    after_quantizer: bool = False
    output: bool = False


ROTATIONS = {name: Rotation(sites) for name, sites in ROTATED_SITES.items()} | {
    "random-sign": Rotation(ROTATED_SITES["random-sign"], signs=True),
    "as-published": Rotation(ROTATED_SITES["as-published"], after_quantizer=True, output=True),
}


def _transform(width: int, artefacts: ArtefactConfig) -> Transform:
    block = largest_block(width)
    transform = hadamard_transform if block == width else functools.partial(hadamard_transform, block=block)
    return published_transform(transform, block, artefacts)


class BitLinear(nn.Module):
    """A bias-free linear layer; weight [out, in]. With 16 bits, full weights and no rotation it is `nn.Linear`.

    `bits` may change during training; `sign_seed` fixes the sign diagonal of `random-sign`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        method: MethodConfig,
        site: str,
        sign_seed: int = 0,
        artefacts: ArtefactConfig = ArtefactConfig(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.site = site
        self.bits = method.bits
        self.activation_scale = method.activation_scale
        self.ternary = method.weights == "ternary"
        variant = ROTATIONS[method.hadamard]
        self.rotation = variant if site in variant.sites else ROTATIONS["none"]
        self.rotates = bool(self.rotation.sites)
        self.transform = _transform(inputs, artefacts)
        self.transform_output = _transform(outputs, artefacts) if self.rotation.output else None
        self.squares = artefacts.relu2_in_linear
        signs = random_signs(inputs, sign_seed) if self.rotation.signs else None
        self.register_buffer("signs", signs, persistent=False)
        self._frozen: Tensor | None = None

    def forward(self, x: Tensor, quantized: Tensor | None = None) -> Tensor:
        """Output for the input x, whose `quantized_input` may be given where it is known (see `shared_input`)."""
        y = F.linear(self.quantized_input(x) if quantized is None else quantized, self.effective_weight())
        if self.transform_output is not None:
            y = self.transform_output(y)
        return squared_relu(y) if self.squares else y

    def rotated_input(self, x: Tensor) -> Tensor:
        """What the activation quantizer sees: shape as `x`."""
        if not self.rotates or self.rotation.after_quantizer:
            return x
        if self.signs is not None:
            x = x * cast(Tensor, self.signs).to(x.dtype)
        return self.transform(x)

    def quantized_input(self, x: Tensor) -> Tensor:
        """What the matmul sees: shape as `x`."""
        quantized = quantize_activations(self.rotated_input(x), self.bits, self.activation_scale)
        return self.transform(quantized) if self.rotation.after_quantizer else quantized

    def freeze(self, weight: Tensor | None) -> None:
        """Multiply with this weight from now on, or with the quantized parameter again."""
        self._frozen = weight

    def effective_weight(self) -> Tensor:
        if self._frozen is not None:
            return self._frozen
        return ternarize(self.weight) if self.ternary else self.weight


def shared_input(x: Tensor, *layers: BitLinear) -> list[Tensor]:
    """Outputs of layers that read the same x, which is rotated and quantized once if all do the same to it."""
    first = layers[0]
    alike = all(
        (layer.bits, layer.activation_scale, layer.rotation) == (first.bits, first.activation_scale, first.rotation)
        and layer.signs is None
        for layer in layers
    )
    quantized = first.quantized_input(x) if alike else None
    return [layer(x, quantized) for layer in layers]


@contextlib.contextmanager
def quantized_once(model: nn.Module) -> Iterator[None]:
    """Inside, all passes of training share one ternary copy of each weight, for gradients of several micro-batches.

    On leaving, each weight gets the gradient of its copy, which is what the straight-through estimator gives it.
    """
    layers = [m for m in model.modules() if isinstance(m, BitLinear) and m.ternary and m._frozen is None]
    copies = [ternarize(layer.weight.detach()).requires_grad_() for layer in layers]
    for layer, copy in zip(layers, copies, strict=True):
        layer.freeze(copy)
    try:
        yield
    finally:
        for layer, copy in zip(layers, copies, strict=True):
            layer.freeze(None)
            layer.weight.grad = copy.grad


@contextlib.contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """Inside, every BitLinear quantizes its weight once and not at each call: for evaluation and decoding.

    In autocast the weight is cast once, too: autocast itself does so at each call for all but parameters.
    """
    thawed = [module for module in model.modules() if isinstance(module, BitLinear) and module._frozen is None]
    try:
        with torch.no_grad():
            for layer in thawed:
                weight = layer.effective_weight().detach()
                kind = weight.device.type
                cast_to = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
                layer.freeze(weight.to(cast_to))
        yield
    finally:
        for layer in thawed:
            layer.freeze(None)
