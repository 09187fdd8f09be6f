"""Intervals from left-out residuals, without a distribution assumed (docs/effects.md, Intervals)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.analysis.levels import FACTORS, Levels
from bitskip.analysis.student_t import STUDENT_95
from bitskip.predict.features import Array
from bitskip.predict.kernel_ridge import GradedRidge

NOMINAL_COVERAGE = 0.9


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
        magnitudes = np.concatenate([np.abs(own - mean) for own, mean in zip(self.trials, self.expected, strict=True)])
        counts = [len(own) for own in self.trials]
        groups = np.repeat(np.arange(len(counts)), counts)
        weights: Array = 1 / np.repeat(counts, counts)
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
    reach = NOMINAL_COVERAGE * (1 + 1 / count)
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
    inside = []
    for i in range(count):
        others = groups != i
        half = weighted_quantile(magnitudes[others], weights[others], NOMINAL_COVERAGE * (1 + 1 / (count - 1)))
        inside.append(np.mean(magnitudes[~others] <= half))
    return float(np.mean(inside))


def pair_blocks(levels: Sequence[Levels], baseline: Levels) -> list[list[int]]:
    """Cells of every pair of levels off the baseline that could have been missing while both levels are known."""
    blocks = []
    for first, second in itertools.combinations(range(len(FACTORS)), 2):
        for one, other in sorted({(own[first], own[second]) for own in levels}, key=repr):
            has = [(own[first] == one, own[second] == other) for own in levels]
            known_apart = (True, False) in has and (False, True) in has
            if known_apart and one != baseline[first] and other != baseline[second]:
                blocks.append([i for i, both in enumerate(has) if all(both)])
    return blocks


def pair_half_width(model: GradedRidge, residuals: Residuals, blocks: Sequence[Sequence[int]]) -> float | None:
    """Half-width for a pair of levels never run together: the 90 % quantile, over pairs, of the 90 % quantile inside.

    Each pair is left out with all its cells; None without a pair to leave out. It supposes that the new pair interacts
    no more than the measured ones: for a pair chosen because it is special, it may not.
    """
    halves = []
    for block in blocks:
        trials = tuple(residuals.trials[i] for i in block)
        without = Residuals(trials, residuals.values[list(block)], model.block_residuals(block))
        magnitudes, _, weights = without.of_trials()
        halves.append(weighted_quantile(magnitudes, weights, NOMINAL_COVERAGE))
    if not halves:
        return None
    rank = math.ceil(NOMINAL_COVERAGE * (len(halves) + 1)) - 1
    return sorted(halves)[min(rank, len(halves) - 1)]


def widened(interval: tuple[float, float], middle: float, half: float) -> tuple[float, float]:
    """The interval with the half-width of an independent error added in squares (Zou and Donner 2008, MOVER)."""
    return middle - math.hypot(middle - interval[0], half), middle + math.hypot(interval[1] - middle, half)
