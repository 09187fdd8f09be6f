"""How sure a contrast is, from its own values by seed: no model of the noise (docs/effects.md, Uncertainty).

A seed fixes initial weights and data order of every cell, so that one value per seed of a contrast is one independent
draw, whatever moves together inside a seed: cells that began as one training run, a technique that a seed favours,
cells noisier than others. What a seed does to all cells cancels. The spread of these values, with Student's t, is all
that is needed, and all that few seeds can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bitskip.analysis.design_matrix import Array

BLOCKS = 32
"""Pieces of consecutive held-out sequences: a document that spans several of them counts once."""


def variance_over_seeds(settings: Sequence[Mapping[int, float]]) -> tuple[float, float] | None:
    """(variance, degrees of freedom) of the mean over settings of each one's mean over seeds.

    Each mapping holds one setting's contrast by seed. With the same seeds everywhere this is s^2 / n of the means over
    settings, and n - 1. Where settings lack seeds, squares are summed by seed (the seed is the cluster), scaled to be
    unbiased if a seed moves all settings alike, with Satterthwaite's degrees of freedom under the same model (Bell and
    McCaffrey 2002, Survey Methodology 28: 169). None where no setting has two seeds.
    """
    seeds = sorted(set().union(*settings))
    held = np.array([[seed in own for seed in seeds] for own in settings])
    counts = held.sum(axis=1, keepdims=True)
    values = np.array([[own.get(seed, 0.0) for seed in seeds] for own in settings])
    centred = np.where(held, values - values.sum(axis=1, keepdims=True) / counts, 0.0)
    weights = held / counts / len(settings)
    residuals = (weights * centred).sum(axis=0)
    # Residual of each seed, of a unit shift by each: weights on the diagonal, less the means that were taken off.
    response = np.diag(weights.sum(axis=0)) - weights.T @ (held / counts)
    squared = response @ response.T
    expected = float(np.trace(squared))
    if expected < 1e-12:
        return None
    scale = float((weights.sum(axis=0) ** 2).sum()) / expected
    return scale * float(residuals @ residuals), expected**2 / float((squared**2).sum())


def variance_over_text(sequences: Array, most: int | None = BLOCKS) -> tuple[float, float]:
    """(variance, degrees of freedom) that the choice of the held-out text adds to a contrast, the same for all seeds.

    `sequences` [seeds, sequences] is what each seed adds to the contrast's value on each sequence; the sum over seeds
    and mean over sequences is the value. Pieces of consecutive sequences are drawn anew in closed form of a bootstrap:
    their variance, less what is chance within seeds and is in the variance over seeds already. There are `most` of
    them; None draws each by itself, as items of a task are.
    """
    seeds, length = sequences.shape
    blocks = min(most or length, length)
    if blocks < 2:
        return 0.0, 1.0
    edges = np.linspace(0, length, blocks + 1).astype(int)
    by_block = np.stack([sequences[:, a:b].mean(axis=1) for a, b in zip(edges[:-1], edges[1:], strict=True)], axis=1)
    centred = by_block - by_block.mean(axis=1, keepdims=True)
    total = float((centred.sum(axis=0) ** 2).sum())
    if seeds > 1:
        total -= float(((centred - centred.mean(axis=0)) ** 2).sum()) * seeds / (seeds - 1)
    return max(total, 0.0) / (blocks - 1) / blocks, float(blocks - 1)
