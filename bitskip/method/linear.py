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

from bitskip.config import ArtefactConfig, MethodConfig
from bitskip.method.artefacts import Transform, published_transform, squared_relu
from bitskip.method.hadamard import hadamard_transform, largest_block, random_signs
from bitskip.method.quantize import quantize_activations, ternarize

ROTATED_SITES = ("o", "down")
"""Where BitNet v2 rotates: the inputs that no norm precedes and that carry the outliers."""


@dataclass(frozen=True)
class Rotation:
    """What a Hadamard variant does at the sites it touches."""

    sites: tuple[str, ...]
    signs: bool = False
    after_quantizer: bool = False
    output: bool = False


ALL_SITES = ("q", "k", "v", "o", "gate", "up", "down")

ROTATIONS: dict[str, Rotation] = {
    "none": Rotation(()),
    "bitnet-v2": Rotation(ROTATED_SITES),
    "bitnet-v2-all": Rotation(ALL_SITES),
    "random-sign": Rotation(ROTATED_SITES, signs=True),
    "as-published": Rotation(ALL_SITES, after_quantizer=True, output=True),
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

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(self.quantized_input(x), self.effective_weight())
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


@contextlib.contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """Inside, every BitLinear quantizes its weight once and not at each call: for evaluation and decoding."""
    thawed = [module for module in model.modules() if isinstance(module, BitLinear) and module._frozen is None]
    try:
        with torch.no_grad():
            for layer in thawed:
                layer.freeze(layer.effective_weight().detach())
        yield
    finally:
        for layer in thawed:
            layer.freeze(None)
