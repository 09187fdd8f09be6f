"""Columns of linear models over cells: indicators of levels, and products for pairs of factors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitskip.analysis.levels import INDEX, Levels

Array = npt.NDArray[np.float64]


def indicators(cells: Sequence[Levels]) -> list[Array]:
    """For each factor that varies, [cells, levels - 1]: whether a cell is at each level but the first."""
    blocks = []
    for index in INDEX.values():
        known = sorted({levels[index] for levels in cells}, key=repr)
        if len(known) > 1:
            blocks.append(np.array([[own[index] == level for level in known[1:]] for own in cells], dtype=float))
    return blocks


def pair_products(blocks: Sequence[Array]) -> list[Array]:
    """For each pair of factors, the products of their columns."""
    return [
        (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
        for first, second in itertools.combinations(blocks, 2)
    ]
