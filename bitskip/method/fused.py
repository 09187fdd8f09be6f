"""RMSNorm and rotary embedding with backward passes of few sweeps over memory, for the CPU.

Autograd's own pass an array through memory once for every elementary operation. A compiler fuses those by itself and a
GPU has kernels for them: both get torch's plain operations. Values are those of the plain operations.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


def transformed() -> bool:
    """Whether torch.compile or a transform of torch.func looks on: both know torch's plain operations best."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def by_hand(*tensors: Tensor) -> bool:
    """Whether the functions written here serve: on the CPU, untransformed, in one floating-point type."""
    return not transformed() and all(
        tensor.device.type == "cpu" and tensor.dtype == tensors[0].dtype for tensor in tensors
    )


class RMSNorm(nn.RMSNorm):
    """x / sqrt(mean x^2 + eps) * weight over the last dimension."""

    def forward(self, x: Tensor) -> Tensor:
        if self.eps is not None and by_hand(x, self.weight) and torch.is_grad_enabled():
            return cast(Tensor, _RMSNorm.apply(x, self.weight, self.eps))  # type: ignore[no-untyped-call]
        return super().forward(x)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, inverse = torch.ops.aten._fused_rms_norm(x, weight.shape, weight, eps)
        ctx.save_for_backward(x, weight, inverse)
        return cast(Tensor, y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """With n = x / rms and g = weight * dy: dx = (g - n mean(g n)) / rms, dweight = sum over tokens of dy n."""
        x, weight, inverse = ctx.saved_tensors
        normed = x * inverse
        products = grads[0] * normed
        of_weight = products.flatten(0, -2).sum(0)
        mean = (products @ weight).unsqueeze(-1) / x.shape[-1]
        return (grads[0] * weight).addcmul_(normed, mean, value=-1).mul_(inverse), of_weight, None


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotary position embedding of [B, H, T, K], the two halves of K forming the pairs; `rotary` is [2, T, K]."""
    if by_hand(x, rotary):
        return cast(Tensor, _Rotate.apply(x, *rotary.unbind()))  # type: ignore[no-untyped-call]
    cos, sin = rotary.unbind()
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The inverse of a rotation turns back."""
        cos, sin = ctx.saved_tensors
        return _turned(grads[0], cos, -sin), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    turned = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin[..., :half])
    turned[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return turned
