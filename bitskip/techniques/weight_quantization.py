"""Ternary weights with an absmean scale per matrix (BitNet b1.58, arXiv 2402.17764; docs/method.md, quantizers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.techniques.axis import axis
from bitskip.techniques.base import LinearLayer, LinearOps, Technique

SCALE_BYTES = 4
CODES_PER_BYTE = 4


@dataclass(frozen=True)
class WeightQuantization(Technique):
    """Weights of the blocks' linear layers are -s, 0 or s."""

    post_training: ClassVar[bool] = True

    weights: str = axis("full", "weight precision", choices=("full", "ternary"))

    @classmethod
    def factors(cls) -> dict[str, tuple[str, ...]]:
        """BitNet quantizes both or none: weights are a part of the factor that activation bits lead."""
        return {"bits": ("weights",)}

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Ternary where activations are quantized, unless a width of integer weights is named."""
        quantized = values.get("bits", UNQUANTIZED_BITS) < UNQUANTIZED_BITS
        integers = values.get("weight_bits", UNQUANTIZED_BITS) < UNQUANTIZED_BITS
        return {"weights": "ternary" if quantized and not integers else "full"}

    def linear(self, layer: LinearLayer) -> LinearOps:
        if self.weights == "full":
            return LinearOps()
        from bitskip.ops.quantizers import TernaryQuantizer

        return LinearOps(weight=(TernaryQuantizer(),))

    def weight_bytes(self, outputs: int, inputs: int) -> int | None:
        return None if self.weights == "full" else -(-outputs * inputs // CODES_PER_BYTE) + SCALE_BYTES

    @classmethod
    def glance(cls) -> tuple[str, ...]:
        return ()

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return []
