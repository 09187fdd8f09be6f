"""Defects of the published BitSkip code, each by itself, to measure what it does (docs/method.md, artefacts).

They are switches of `config.ArtefactConfig`, all off by default. Nothing here is a technique of the method.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bitskip.trial.config import IGNORED_TARGET, ArtefactConfig

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


def published_transform(transform: Transform, block: int, artefacts: ArtefactConfig) -> Transform:
    """The orthonormal `transform` of blocks of `block` entries with the artefacts that concern it, or as it is."""
    scaled = transform
    if artefacts.hadamard_scale == "none":

        def scaled(x: Tensor) -> Tensor:
            return transform(x) * math.sqrt(block)

    if artefacts.hadamard_grad == "exact":
        return scaled
    return lambda x: _IdentityGradient.apply(x, scaled)  # type: ignore[no-untyped-call]


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
