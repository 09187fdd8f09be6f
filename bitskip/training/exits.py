"""Which exit layer to recommend: the fastest one that costs little quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

WITHIN = 0.05
"""Largest accepted loss of quality, as a share of the full model's perplexity."""

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Probabilities of its most likely token at which a token leaves, for `confidence_loss` and `confidence_depth`."""


def best_exit(losses: Sequence[float], speed_gains: Sequence[float], within: float = WITHIN) -> int:
    """Exit layer (1…L) with the largest speed gain whose perplexity is at most (1 + within) times the full model's.

    `losses` are nats per token and `speed_gains` shares, both by exit layer with the full model last. The full model
    always qualifies; equal gains go to the deeper exit. Raises ValueError if the lengths differ or are zero.
    """
    if not losses or len(losses) != len(speed_gains):
        raise ValueError(f"need one speed gain per exit, got {len(losses)} and {len(speed_gains)}")
    ceiling = losses[-1] + math.log1p(within)
    best = len(losses)
    for exit_layer in range(len(losses) - 1, 0, -1):
        if losses[exit_layer - 1] <= ceiling and speed_gains[exit_layer - 1] > speed_gains[best - 1]:
            best = exit_layer
    return best
