"""Quantization of keys and values, as a cache would keep them (docs/method.md).

Asymmetric rounding between the smallest and the largest entry of each head's key or value of a token, as FlexGen
(arXiv 2303.06865) does it; KIVI (2402.02750) has keys per channel, which a single token has no statistics for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.techniques.axis import axis, bit_widths
from bitskip.techniques.base import Op, Technique

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (2, 4, 8)
EPSILON = 1e-8
"""Floor of a step: equal entries quantize to themselves."""


@dataclass(frozen=True)
class AsymmetricQuantizer:
    """Fake quantization over the last dimension to 2^bits levels from its minimum to its maximum; straight-through."""

    bits: int

    def _rounding(self, x: Tensor) -> Tensor:
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        step = ((high - low) / (2**self.bits - 1)).clamp(min=EPSILON)
        rounded: Tensor = ((x - low) / step).round() * step + low
        return rounded

    def __call__(self, x: Tensor) -> Tensor:
        from bitskip.ops.quantizers import straight_through

        return straight_through(x, self._rounding)


@dataclass(frozen=True)
class KVCacheQuantization(Technique):
    """Keys (behind their rotary embedding) and values are rounded per token and head, in training and in decoding."""

    post_training: ClassVar[bool] = True
    irregular_below: ClassVar[float | None] = 4  # as of activations

    kv_bits: int = axis(
        UNQUANTIZED_BITS,
        "bits of cached keys and values; 16 = not quantized",
        allowed=bit_widths(*WIDTHS),
        since="0.2",
    )

    def key_value(self, block: int) -> Op | None:
        return None if self.kv_bits == UNQUANTIZED_BITS else AsymmetricQuantizer(self.kv_bits)

    @classmethod
    def off_at(cls) -> float | None:
        return None  # unquantized is no bit width: neither comparable to one nor a zero

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """The amplitude of the rounding error."""
        bits = settings["kv_bits"]
        return {"damage": 0.0 if bits == UNQUANTIZED_BITS else math.exp2(-bits)}
