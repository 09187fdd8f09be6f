"""How far an effect would move if trials failed for their high losses (docs/effects.md, Uncertainty).

Failed trials are left out of every mean. That is harmless if failing has nothing to do with the loss that a trial would
have had, and nothing in the results says whether it has. The interval holds both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from bitskip.analysis.factorial import Cell
from bitskip.analysis.levels import Levels
from bitskip.store.schema import NO_LOSS

SWEEPS = 20
"""Means of cells and of seeds are taken off in turn: where trials are missing, once is not enough."""


def shifts(cells: Sequence[Cell], values: Mapping[Levels, Mapping[int, float]]) -> dict[Levels, float]:
    """By cell with failures, by how much its mean is too low if its highest losses are those that are missing.

    Of a Gaussian whose highest share p is cut off at z, this is sd phi(z) / (1 - p); sd is what seeds differ in, beyond
    their own shift.
    """
    shares = {}
    for cell in cells:
        failed, finished = cell.count(*NO_LOSS), len(values[cell.levels])
        if failed and finished:
            shares[cell.levels] = failed / (failed + finished)
    if not shares:
        return {}
    sd, normal = _within_seeds(values), NormalDist()
    return {levels: sd * normal.pdf(normal.inv_cdf(1 - share)) / (1 - share) for levels, share in shares.items()}


def _within_seeds(values: Mapping[Levels, Mapping[int, float]]) -> float:
    """Standard deviation of trials around the means of their cell and their seed; 0 where nothing tells it."""
    repeated = [own for own in values.values() if len(own) > 1]
    seeds = sorted({seed for own in repeated for seed in own})
    if len(repeated) < 2:
        return 0.0
    table = np.array([[own.get(seed, math.nan) for seed in seeds] for own in repeated])
    rest = table
    for _ in range(SWEEPS):
        rest = rest - np.nanmean(rest, axis=1, keepdims=True)
        rest = rest - np.nanmean(rest, axis=0)
    freedom = np.isfinite(rest).sum() - len(repeated) - len(seeds) + 1
    return math.sqrt(float(np.nansum(rest**2)) / freedom) if freedom > 0 else 0.0
