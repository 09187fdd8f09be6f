"""Which techniques and pairs the variation of a metric is due to: functional ANOVA of the fitted surface.

The surface is evaluated on the full crossing of the measured levels, where components of different techniques are
orthogonal and their variances add up (Hutter, Hoos and Leyton-Brown 2014, ICML, there with a forest). Shares describe
the model, which may fill in cells that were never run.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.factorial import varying
from bitskip.analysis.levels import INDEX, inert, with_level
from bitskip.predict.response_surface import Surface

MOST_CELLS = 20_000
"""A larger crossing takes seconds and says no more."""


@dataclass(frozen=True)
class Share:
    """Part of the variance over the crossing; without `factors`, everything of three and more."""

    factors: tuple[str, ...]
    share: float


def variance_shares(surface: Surface) -> list[Share]:
    """Shares of every single factor and every pair that varies, largest first, and the rest; they sum to one.

    Empty where nothing varies or the crossing is too large.
    """
    factors = varying(surface.levels)
    levels = [sorted({own[INDEX[name]] for own in surface.levels}, key=repr) for name in factors]
    if not factors or math.prod(map(len, levels)) > MOST_CELLS:
        return []
    cells = []
    for combination in itertools.product(*levels):
        cell = surface.levels[0]
        for name, level in zip(factors, combination, strict=True):
            cell = with_level(cell, name, level)
        cells.append(inert(cell))
    tensor = np.array(surface.means(cells)).reshape([len(own) for own in levels])
    total = float(tensor.var())
    if total <= 1e-18 * max(1.0, float(tensor.mean()) ** 2):
        return []
    axes = range(len(factors))
    singles = {axis: tensor.mean(axis=tuple(set(axes) - {axis})) - tensor.mean() for axis in axes}
    shares = [Share((factors[axis],), float(own.var()) / total) for axis, own in singles.items()]
    for i, j in itertools.combinations(axes, 2):
        joint = tensor.mean(axis=tuple(set(axes) - {i, j})) - tensor.mean()
        shares.append(Share((factors[i], factors[j]), float((joint - singles[i][:, None] - singles[j]).var()) / total))
    shares.sort(key=lambda each: -each.share)
    return [*shares, Share((), max(0.0, 1 - math.fsum(each.share for each in shares)))]
