"""Mixture-of-Depths: a routed block serves the tokens that its router picks, the others pass (arXiv 2404.02258).

In training the router picks the `mod_capacity` share of each sequence with the highest scores, which looks at later
tokens. Evaluation and decoding pick what scores above zero, which does not: a second loss teaches the router's score to
tell whether a token is among the top (section 3.5 there). Attention of a routed block sees picked tokens only.

All tokens are computed and those not picked are thrown away: what routing saves is counted, not timed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from bitskip.techniques.axis import axis
from bitskip.techniques.base import Technique
from bitskip.techniques.phases import same_share

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class MixtureOfDepths(Technique):
    """Every so many blocks, tokens choose between a block and its skip connection."""

    mod_capacity: float = axis(
        1.0, "share of the tokens that a routed block serves; 1 = all", low=0.01, high=1.0, since="0.2"
    )
    mod_every: int = axis(2, "every how many blocks one is routed; 1 = all blocks", low=1, since="0.2")
    mod_router_weight: float = axis(0.01, "weight of the loss that makes routing causal", low=0.0, since="0.2")

    def routed(self, block: int) -> bool:
        """Whether a block 0 … L-1 is routed: the last one of every `mod_every`."""
        return self.mod_capacity < 1.0 and block % self.mod_every == self.mod_every - 1

    def _count(self, layers: int) -> int:
        return layers // self.mod_every if self.mod_capacity < 1.0 else 0

    def canonical(self, trial: Any) -> Self:
        length = trial.training.seq_len  # shares that pick as many tokens are one, and all tokens are no routing
        share = same_share(kept_tokens(self.mod_capacity, length), length, 0.5)
        found = dataclasses.replace(self, mod_capacity=share)
        return found if found._count(trial.model.layers) else self.neutral()

    def around(self, block: int, sizes: Any) -> nn.Module | None:
        return router(sizes.width, self.mod_capacity, block) if self.routed(block) else None

    def penalty(self, model: nn.Module) -> Tensor | None:
        losses = []
        for module in model.modules():
            if getattr(module, "router_loss", None) is not None:
                losses.append(cast("Tensor", module.router_loss))
                module.router_loss = cast("Tensor", None)  # of this step: a block that all skip adds nothing later
        return self.mod_router_weight * sum(losses[1:], losses[0]) / len(losses) if losses else None

    def extra_parameters(self, sizes: Any, vocab: int) -> int:
        return int(self._count(sizes.layers) * sizes.width)

    def compute_share(self, sizes: Any) -> float:
        return float(1.0 - self._count(sizes.layers) / sizes.layers * (1.0 - self.mod_capacity))


def kept_tokens(capacity: float, length: int) -> int:
    """How many tokens of a sequence a routed block serves in training."""
    return max(1, round(capacity * length))


def router(width: int, capacity: float, block: int) -> nn.Module:
    """The module that runs a routed block: x + picked * sigmoid(score) * (block(x) - x)."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = nn.Linear(width, 1, bias=False)
            self.router_loss: Tensor | None = None

        def forward(self, body: Callable[..., Tensor], x: Tensor, rotary: Tensor, cache: Any = None) -> Tensor:
            scores = self.score(x).squeeze(-1)  # [B, T]
            if self.training:
                kept = kept_tokens(capacity, x.shape[1])
                picked = torch.zeros_like(scores, dtype=torch.bool)
                picked.scatter_(1, scores.topk(kept, dim=1).indices, True)
                self.router_loss = functional.binary_cross_entropy_with_logits(scores.float(), picked.float())
            else:
                picked, self.router_loss = scores > 0, None
            attended = picked
            if cache is not None:
                before = cache.memory(("routed", block), picked)
                before[:, cache.length : cache.length + x.shape[1]] = picked
                attended = before[:, : cache.length + x.shape[1]]
            change = body(x, rotary, cache, attended) - x
            gate = torch.where(picked, scores.sigmoid(), 0.0).unsqueeze(-1)
            return x + gate.to(change.dtype) * change

    return Router()
