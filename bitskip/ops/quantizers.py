"""Fake quantizers with a straight-through gradient (docs/method.md, quantizers).

Ternary weights and absmax activations are those of BitNet b1.58 (arXiv 2402.17764); activations of 4 bits and
fewer use the absmean rule of BitNet v2 (arXiv 2504.18415). All arithmetic is fp32; results return in the input's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bitskip.ops.conventions import UNQUANTIZED_BITS, scale_rule
from bitskip.ops.fused import transformed

CODES_PER_BYTE = 4

EPSILON = 1e-5
"""Floor of every scale: an all-zero tensor quantizes to zeros with finite gradients."""


class _StraightThrough(torch.autograd.Function):
    """Forward: a given rounding of the input. Backward: the identity, with nothing through the scale."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
        return rounding(value.float()).to(value.dtype)

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor, Callable[[Tensor], Tensor]], output: Tensor) -> None:
        """Nothing is kept for the backward pass."""

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def straight_through(value: Float[Tensor, "*shape"], rounding: Callable[[Tensor], Tensor]) -> Float[Tensor, "*shape"]:
    """rounding(value) in fp32, returned in the dtype of `value`; its gradient is the identity (Bengio, 1308.3432)."""
    return _StraightThrough.apply(value, rounding)  # type: ignore[no-any-return, no-untyped-call]


def ternary_scale(weight: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """alpha = max(mean |W|, eps) of a matrix [out, in], 0-d and fp32."""
    return weight.float().abs().mean().clamp(min=EPSILON)


def ternary_codes(weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """T = clip(round(W / alpha), -1, 1), in fp32; ties go to zero (rounding half to even)."""
    return (weight.float() / ternary_scale(weight)).round_().clamp_(-1, 1)


def _ternary_rounding(weight: Tensor) -> Tensor:
    # One array for everything: fresh memory costs more than a sweep of arithmetic.
    rounded = weight.abs()
    scale = rounded.mean().clamp_(min=EPSILON)
    return _into(rounded, torch.div, weight, scale).round_().clamp_(-1, 1).mul_(scale)


def _into(target: Tensor, operation: Callable[..., Tensor], *operands: Tensor | float) -> Tensor:
    """The operation's result, in the memory of `target` where nothing forbids it."""
    if transformed():
        return operation(*operands)
    return operation(*operands, out=target)


def ternarize(weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """alpha * T, gradient 1 everywhere (absmean, BitNet b1.58). Same shape and dtype as `weight`."""
    return straight_through(weight, _ternary_rounding)


def _absmax_rounding(bits: int) -> Callable[[Tensor], Tensor]:
    """clip(round(x q / s), -q, q) s / q with s = max |x| per token, q = 2^(bits-1) - 1 (BitNet b1.58)."""
    levels = float(2 ** (bits - 1) - 1)

    def rounding(x: Tensor) -> Tensor:
        rounded = x.abs()
        scale = rounded.amax(dim=-1, keepdim=True).clamp_(min=EPSILON)
        # x * levels before the division: a tie must stay a tie, and dividing by a rounded step would move it.
        # |x| <= s leaves nothing to clip: two roundings of at most `levels` do not reach the next integer.
        return _into(rounded, torch.mul, x, levels).div_(scale).round_().mul_(scale / levels)

    return rounding


def _absmean_rounding(bits: int) -> Callable[[Tensor], Tensor]:
    """clip(round(x r / beta), -2^(bits-1), 2^(bits-1) - 1) beta / r with r = sqrt(2^(bits-1) - 1).

    beta = mean |x| per token. For 4 bits r = sqrt(7), the INT4 rule of BitNet v2; other widths follow the same pattern.
    """
    low, high = -float(2 ** (bits - 1)), float(2 ** (bits - 1) - 1)

    def rounding(x: Tensor) -> Tensor:
        rounded = x.abs()
        step = rounded.mean(dim=-1, keepdim=True).clamp_(min=EPSILON).div_(math.sqrt(high))
        return _into(rounded, torch.div, x, step).round_().clamp_(low, high).mul_(step)

    return rounding


ROUNDINGS: dict[str, Callable[[int], Callable[[Tensor], Tensor]]] = {
    "absmax": _absmax_rounding,
    "absmean": _absmean_rounding,
}


def quantize_activations(
    x: Float[Tensor, "*tokens width"], bits: int, scale: str = "auto"
) -> Float[Tensor, "*tokens width"]:
    """Per-token fake quantization over the last dimension, straight-through.

    `scale` is `absmax`, `absmean`, or `auto` (absmean up to 4 bits). With 16 bits, the field's name for "not
    quantized", the input is returned as it is; 32 bits quantize so finely that only rounding noise remains, which
    serves null checks. Raises ValueError for fewer than 2 bits and for an unknown scale.
    """
    if bits == UNQUANTIZED_BITS:
        return x
    if bits < 2:
        raise ValueError(f"activation bits must be at least 2, got {bits}")
    rule = scale_rule(bits) if scale == "auto" else scale
    if rule not in ROUNDINGS:
        raise ValueError(f"unknown activation scale '{scale}': one of auto, {', '.join(ROUNDINGS)}")
    return straight_through(x, ROUNDINGS[rule](bits))


@dataclass(frozen=True)
class ActivationQuantizer:
    """`quantize_activations` with its settings: equal settings, equal results."""

    bits: int
    scale: str

    def __call__(self, x: Tensor) -> Tensor:
        return quantize_activations(x, self.bits, self.scale)


@dataclass(frozen=True)
class TernaryQuantizer:
    """`ternarize`, and what storing its result takes."""

    def __call__(self, weight: Tensor) -> Tensor:
        return ternarize(weight)

    def codes(self, weight: Tensor) -> Tensor:
        """Integers [out, in] behind the quantized weight, fp32."""
        return ternary_codes(weight)

    def pack(self, quantized: Tensor) -> dict[str, Tensor]:
        """A quantized matrix as 2-bit codes and its scale."""
        return {"codes": pack_codes(quantized.sign()), "scale": quantized.abs().max()}

    def unpack(self, parts: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
        """The inverse of `pack`, fp32."""
        return unpack_codes(parts["codes"], shape) * parts["scale"]


def pack_codes(codes: Float[Tensor, "*shape"]) -> UInt8[Tensor, bytes]:
    """Ternary codes -1, 0, 1 of any shape as uint8 [ceil(n / 4)], two bits each, the first in the lowest bits."""
    flat = (codes.flatten() + 1).to(torch.uint8)
    flat = torch.nn.functional.pad(flat, (0, -len(flat) % CODES_PER_BYTE), value=1)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8, device=flat.device)
    return (flat.view(-1, CODES_PER_BYTE) << shifts).sum(1, dtype=torch.uint8)


def unpack_codes(packed: UInt8[Tensor, bytes], shape: torch.Size) -> Tensor:
    """The inverse of `pack_codes`: fp32 codes of the given shape."""
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8, device=packed.device)
    flat = ((packed[:, None] >> shifts) & 3).flatten()
    return flat[: shape.numel()].view(shape).float() - 1
