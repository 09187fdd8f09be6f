"""RMSNorm, rotary embedding and SwiGLU with backward passes of few sweeps over memory, for the CPU.

Autograd's own pass an array through memory once for every elementary operation. A compiler fuses those by itself and a
GPU has kernels for them: both get torch's plain operations. Values are those of the plain operations.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
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
        exact = x.dtype in (torch.float32, torch.float64)  # others are normed in fp32
        if self.eps is not None and exact and by_hand(x, self.weight) and torch.is_grad_enabled():
            return cast(Tensor, _RMSNorm.apply(x, self.weight, self.eps))  # type: ignore[no-untyped-call]
        return super().forward(x)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        inverse = x.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """With n = x / rms and g = weight * dy: dx = (g - n mean(g n)) / rms, dweight = sum over tokens of dy n.

        LayerNorm's kernel, told of a mean of 0, gives the same but for dx = (g - n mean(g n) - mean g) / rms.
        """
        x, weight, inverse = ctx.saved_tensors
        of_x, of_weight, _ = torch.ops.aten.native_layer_norm_backward(
            grads[0], x, weight.shape, torch.zeros_like(inverse), inverse, weight, None, [True, True, False]
        )
        mean = (grads[0] @ weight).unsqueeze(-1).mul_(inverse).div_(x.shape[-1])
        return of_x.add_(mean), of_weight, None


def rotate(
    x: Float[Tensor, "*heads tokens width"], rotary: Float[Tensor, "2 tokens width"]
) -> Float[Tensor, "*heads tokens width"]:
    """Rotary position embedding of [B, H, T, K], the two halves of K forming the pairs; `rotary` is [2, T, K]."""
    if x.ndim == 4 and x.shape[2] > 1 and by_hand(x, rotary):
        return cast(Tensor, _Rotate.apply(x, *_across_heads(rotary, x.shape[1])))  # type: ignore[no-untyped-call]
    cos, sin = rotary.unbind()
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


@functools.lru_cache(maxsize=4)
def _across_heads(rotary: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """What entries in the memory of [T, H, K] are multiplied with: themselves, those K / 2 behind, those K / 2 before.

    The two sines are zero where the entry behind or before is not the other of the pair. All blocks of a pass have one
    `rotary`, which the cache knows as an object.
    """
    cos, sin = rotary.unbind()
    first = torch.arange(cos.shape[1], device=cos.device) < cos.shape[1] // 2
    tables = cos, sin * first, sin * ~first
    length, width = cos.shape
    wide = [table[:, None].expand(length, heads, width).reshape(-1) for table in tables]
    return wide[0], wide[1], wide[2]


class _Rotate(torch.autograd.Function):
    """Three sweeps through whole sequences: through halves of heads, in loops of K / 2, they take thrice the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, behind: Tensor, before: Tensor) -> Tensor:
        ctx.save_for_backward(cos, behind, before)
        return _turned(x, cos, behind, before, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """The inverse of a rotation turns back."""
        cos, behind, before = ctx.saved_tensors
        return _turned(grads[0], cos, behind, before, -1), None, None, None


def _turned(x: Tensor, cos: Tensor, behind: Tensor, before: Tensor, direction: int) -> Tensor:
    by_position = x.transpose(1, 2)
    half, entries = x.shape[-1] // 2, by_position.reshape(len(x), -1)
    turned = entries * cos
    turned[:, :-half].addcmul_(entries[:, half:], behind[:-half], value=direction)
    turned[:, half:].addcmul_(entries[:, :-half], before[half:], value=direction)
    return turned.view(by_position.shape).transpose(1, 2)


def gated(gate: Float[Tensor, "*shape"], up: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """silu(gate) * up, the hidden layer of SwiGLU."""
    if by_hand(gate, up) and torch.is_grad_enabled():
        return cast(Tensor, _Gated.apply(gate, up))  # type: ignore[no-untyped-call]
    return F.silu(gate) * up


class _Gated(torch.autograd.Function):
    """silu(gate) is not kept but computed twice: fresh memory, the widest of a block, costs more."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        of_gate = grads[0] * up
        torch.ops.aten.silu_backward.grad_input(of_gate, gate, grad_input=of_gate)
        return of_gate, F.silu(gate).mul_(grads[0])
