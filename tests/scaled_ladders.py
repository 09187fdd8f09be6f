"""Rows of ladders with known truth, as another trainer would save them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bitskip.trial.config import make_trial
from bitskip.trial.cost import non_embedding_parameters

SHAPES = ((3, 32), (4, 64), (6, 128), (8, 256))
BUDGETS = (1_000_000, 4_000_000, 16_000_000, 64_000_000)
Truth = Callable[[float, float], float]


def shape(layers: int, width: int) -> dict[str, int]:
    return {"layers": layers, "width": width, "heads": 4, "kv_heads": 2, "ffn_width": 4 * width}


def parameters(layers: int, width: int) -> int:
    return non_embedding_parameters(make_trial(model=shape(layers, width)).model)


NEXT: dict[str, Any] = {"parameters": parameters(*SHAPES[3]), "tokens": BUDGETS[3]}


def rows(
    truth: Truth,
    rungs: Iterable[tuple[tuple[int, int], int]],
    seeds: int = 2,
    sigma: float = 0.0,
    bystander: bool = True,
    **settings: Any,
) -> list[dict[str, Any]]:
    """The 2 × 2 of bits and rotation, at two settings of layer dropout, at every rung; rates and batches go with it."""
    source = np.random.default_rng(0)
    shifts = source.normal(0, 3 * sigma, seeds)
    found = []
    for (layers, width), tokens in rungs:
        n = parameters(layers, width)
        recipe = {"lr": 0.1 / width, "batch_size": 4 if tokens < 4e6 else 8, "warmup": 0.05 if width < 64 else 0.02}
        for bits in (16, 4):
            for rotation in ("none", "bitnet-v2"):
                for dropout in ("none", "quadratic")[: 1 + bystander]:
                    for seed in range(seeds):
                        loss = 2 + 60 * n**-0.34 + 60 * tokens**-0.28 + 0.1 * (bits == 4) * (tokens / 4e6) ** 0.2
                        loss += (bits == 4) * (rotation != "none") * truth(n, tokens) - 0.02 * (rotation != "none")
                        found.append(
                            {
                                "model": shape(layers, width),
                                "tokens": tokens,
                                "bits": bits,
                                "hadamard": rotation,
                                "dropout": dropout,
                                "dropout_max": 0.5,
                                "seed": seed,
                                "loss": float(loss + shifts[seed] + source.normal(0, sigma)),
                                **recipe,
                                **settings,
                            }
                        )
    return found


def crossed(sizes: int = 3, budgets: int = 3) -> list[tuple[tuple[int, int], int]]:
    return [(size, tokens) for size in SHAPES[:sizes] for tokens in BUDGETS[:budgets]]


def constant(n: float, d: float) -> float:
    return 0.08


def growing(n: float, d: float) -> float:
    return 0.05 * (d / 4e6) ** 0.35 * (n / 0.25e6) ** -0.05


def flipping(n: float, d: float) -> float:
    return 0.01 + 0.04 * math.log(d / 4e6)


def fading(n: float, d: float) -> float:
    return 0.1 * (n / 0.25e6) ** -0.4
