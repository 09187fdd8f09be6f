"""Defects of the published BitSkip code, each by itself, to measure what it does (docs/method.md, artefacts).

Their switches stand in `techniques.published_defects`, all off by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.ops.hadamard import Hadamard

TINY_EMBEDDING_STD = 0.001
TINY_HEAD_STD = 0.002
TINY_LINEAR_SCALE = 0.1

Transform = Callable[[Tensor], Tensor]


class _IdentityGradient(torch.autograd.Function):
    """Forward: the transform. Backward: the gradient as it came, as if nothing had been transformed."""

    @staticmethod
    def forward(ctx: object, x: Tensor, transform: Transform) -> Tensor:
        return transform(x)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


@dataclass(frozen=True)
class PublishedHadamard:
    """The transform of blocks of `block` entries, without its 1/sqrt(n) or with the identity for its gradient."""

    transform: Hadamard
    block: int
    scaled: bool
    exact_gradient: bool

    def __call__(self, x: Tensor) -> Tensor:
        if self.exact_gradient:
            return self._scaled(x)
        return _IdentityGradient.apply(x, self._scaled)  # type: ignore[no-any-return, no-untyped-call]

    def _scaled(self, x: Tensor) -> Tensor:
        y = self.transform(x)
        return y if self.scaled else y * math.sqrt(self.block)


def squared_relu(y: Tensor) -> Tensor:
    """max(y, 0)^2: it ended every quantized linear layer of one published model and no layer of the other."""
    return torch.relu(y).square()


def compared_tokens(tokens: Tensor, targets: Tensor, shift: int) -> Tensor:
    """What a loss compares with, [B, T]: the next tokens, or with shift 0 the current ones; ignored ones stay so."""
    return targets if shift else torch.where(targets == IGNORED_TARGET, targets, tokens)


def tiny_initial(name: str, shape: torch.Size, draws: torch.Generator) -> Tensor:
    """The published initial values of a matrix: 2e-3 and 1e-3 normal for heads and embeddings, else U(-b, b) / 10.

    b = 1 / sqrt(inputs), which is Kaiming's uniform bound with a = sqrt(5).
    """
    if name.startswith("embedding"):
        return torch.randn(shape, generator=draws) * TINY_EMBEDDING_STD
    if name.startswith(("head", "exit_heads")):
        return torch.randn(shape, generator=draws) * TINY_HEAD_STD
    bound = TINY_LINEAR_SCALE / math.sqrt(shape[-1])
    return (torch.rand(shape, generator=draws) * 2 - 1) * bound
