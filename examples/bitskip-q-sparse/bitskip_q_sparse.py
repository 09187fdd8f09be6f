"""Q-Sparse (arXiv 2407.10969): every linear layer sees the largest activations of a token only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bitskip

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TopK:
    """Keep the largest share of |x| over the last dimension, zero the rest; the gradient passes unchanged."""

    kept: float

    def __call__(self, x: Tensor) -> Tensor:
        count = max(1, round(self.kept * x.shape[-1]))
        threshold = x.abs().topk(count, dim=-1).values[..., -1:]
        # Straight-through (section 2.1 there): without it gradients vanish layer by layer.
        return x + (x * (x.abs() >= threshold) - x).detach()


@dataclass(frozen=True)
class ActivationSparsity(bitskip.Technique):
    """Activations below a token's top K are zero, behind a rotation and in front of the quantizer."""

    sparsity: float = bitskip.axis(0.0, "share of each token's activations that is zeroed", low=0.0, below=1.0)

    def linear(self, layer: bitskip.LinearLayer) -> bitskip.LinearOps:
        return bitskip.LinearOps(before=(TopK(1.0 - self.sparsity),)) if self.sparsity else bitskip.LinearOps()

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """What is lost grows slowly at first."""
        return {"share": settings["sparsity"], "square": settings["sparsity"] ** 2}

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return [f"{settings['sparsity']:.0%} sparse"] * (settings["sparsity"] > 0)
