"""Intervals from left-out residuals, without a distribution assumed (docs/effects.md, Intervals)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.analysis.factorial import FACTORS, Levels
from bitskip.analysis.student_t import STUDENT_95
from bitskip.predict.features import Array
from bitskip.predict.kernel_ridge import Blend

LEVEL = 0.9


@dataclass(frozen=True)
class Residuals:
    """What the intervals of a fit rest on. `trials` holds each configuration's trials without the seeds' shifts."""

    trials: tuple[Array, ...]
    values: Array
    left_out: Array

    @property
    def expected(self) -> Array:
        """Each configuration as predicted from the others."""
        expected: Array = self.values - self.left_out
        return expected

    def of_trials(self) -> tuple[Array, npt.NDArray[np.intp], Array]:
        """(|trial - prediction without its configuration|, index of its configuration, weight 1 / its trials)."""
        expected = self.expected
        magnitudes = np.concatenate([np.abs(own - expected[i]) for i, own in enumerate(self.trials)])
        counts = [len(own) for own in self.trials]
        groups = np.repeat(np.arange(len(counts)), counts)
        weights: Array = np.concatenate([np.full(count, 1 / count) for count in counts])
        return magnitudes, groups, weights


def weighted_quantile(values: Array, weights: Array, level: float) -> float:
    """Smallest value at or below which a share `level` of the weight lies; the largest one from level 1 on."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    index = int(np.searchsorted(reached, level - 1e-12))
    return float(values[order[min(index, len(order) - 1)]])


def jackknife_plus(without: Array, residuals: Residuals, middle: float, *, trial: bool) -> tuple[float, float]:
    """90 % interval of a configuration that was not run: of one `trial`, or of the mean over the seeds that were run.

    `without` are its predictions without each configuration in turn. Jackknife+ (Barber et al., arXiv 1905.02928),
    grouped by configuration: every configuration weighs one, split over its trials (Dunn et al., arXiv 1809.07441).
    With too few configurations for the level, the interval is at least Student's.
    """
    count = len(residuals.values)
    magnitudes, groups, weights = residuals.of_trials()
    if not trial:
        magnitudes, groups, weights = np.abs(residuals.left_out), np.arange(count), np.ones(count)
    reach = LEVEL * (1 + 1 / count)
    high = weighted_quantile(without[groups] + magnitudes, weights, reach)
    low = -weighted_quantile(magnitudes - without[groups], weights, reach)
    if reach >= 1:
        half = student_half(magnitudes, weights, count)
        low, high = min(low, middle - half), max(high, middle + half)
    return min(low, middle), max(high, middle)


def student_half(magnitudes: Array, weights: Array, count: int) -> float:
    typical = math.sqrt(float(np.average(magnitudes**2, weights=weights)))
    return STUDENT_95[min(count - 1, len(STUDENT_95) - 1)] * typical * math.sqrt(1 + 1 / count)


def coverage(residuals: Residuals) -> float | None:
    """Share of trials inside the interval that the other configurations' residuals give; configurations count alike.

    It checks that residuals are exchangeable, not that the model is good.
    """
    magnitudes, groups, weights = residuals.of_trials()
    count = len(residuals.values)
    if count < 4:
        return None
    order = np.argsort(magnitudes, kind="stable")
    inside = np.empty(count)
    for i in range(count):
        kept = order[groups[order] != i]
        reached = np.cumsum(weights[kept]) / (count - 1)
        index = int(np.searchsorted(reached, LEVEL * (1 + 1 / (count - 1)) - 1e-12))
        half = magnitudes[kept[min(index, len(kept) - 1)]]
        inside[i] = np.mean(np.abs(residuals.trials[i] - residuals.expected[i]) <= half)
    return float(inside.mean())


def pair_blocks(levels: Sequence[Levels], baseline: Levels) -> list[list[int]]:
    """Cells of every pair of levels off the baseline that could have been missing while both levels are known."""
    blocks = []
    for first, second in itertools.combinations(range(len(FACTORS)), 2):
        pairs = sorted({(own[first], own[second]) for own in levels}, key=repr)
        for pair in pairs:
            if pair[0] == baseline[first] or pair[1] == baseline[second]:
                continue
            block = [i for i, own in enumerate(levels) if (own[first], own[second]) == pair]
            rest = [own for i, own in enumerate(levels) if i not in set(block)]
            if any(own[first] == pair[0] for own in rest) and any(own[second] == pair[1] for own in rest):
                blocks.append(block)
    return blocks


def pair_half_width(blend: Blend, residuals: Residuals, blocks: Sequence[Sequence[int]], spread: float) -> float | None:
    """Half-width for a pair of levels never run together: the 90 % quantile, over pairs, of the 90 % quantile inside.

    Each pair is left out with all its cells; None without a pair to leave out. It supposes that the new pair interacts
    no more than the measured ones: for a pair chosen because it is special, it may not.
    """
    halves = []
    for block in blocks:
        expected = residuals.values[list(block)] - spread * blend.block_residuals(block)
        own = [np.abs(residuals.trials[i] - each) for i, each in zip(block, expected, strict=True)]
        weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in own])
        halves.append(weighted_quantile(np.concatenate(own), weights, LEVEL))
    if not halves:
        return None
    rank = math.ceil(LEVEL * (len(halves) + 1)) - 1
    return sorted(halves)[min(rank, len(halves) - 1)]


def widened(interval: tuple[float, float], middle: float, half: float) -> tuple[float, float]:
    """The interval with the half-width of an independent error added in squares (Zou and Donner 2008, MOVER)."""
    return middle - math.hypot(middle - interval[0], half), middle + math.hypot(interval[1] - middle, half)
