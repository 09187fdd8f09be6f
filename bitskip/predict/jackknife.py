"""Intervals from left-out residuals, without a distribution assumed, by tier (docs/prediction.md, Intervals)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, SIZES, Level, Levels, with_level
from bitskip.analysis.student_t import NORMAL_95, STUDENT_95
from bitskip.predict.features import Array, ordered
from bitskip.predict.gaussian_process import Blocks
from bitskip.techniques import registry

NOMINAL_COVERAGE = 0.9


@dataclass(frozen=True)
class Residuals:
    """What an interval rests on: blocks of configurations that were left out, each predicted from all others.

    `trials` holds each configuration's trials without the seeds' shifts, `expected` its prediction, `block` the block
    it was left out with. A configuration stands here once for every block that it is in.
    """

    trials: tuple[Array, ...]
    expected: Array
    block: npt.NDArray[np.intp]

    def of_trials(self) -> tuple[Array, npt.NDArray[np.intp], Array]:
        """(|trial - prediction|, index of its configuration here, weight); every block weighs one."""
        magnitudes = np.concatenate([np.abs(own - mean) for own, mean in zip(self.trials, self.expected, strict=True)])
        return self._weighed(magnitudes, [len(own) for own in self.trials])

    def of_means(self) -> tuple[Array, npt.NDArray[np.intp], Array]:
        """The same for the configurations' means."""
        magnitudes = np.array([abs(own.mean() - mean) for own, mean in zip(self.trials, self.expected, strict=True)])
        return self._weighed(magnitudes, [1] * len(self.trials))

    def _weighed(self, magnitudes: Array, counts: Sequence[int]) -> tuple[Array, npt.NDArray[np.intp], Array]:
        rows = np.repeat(np.arange(len(counts)), counts)
        sizes = np.bincount(self.block)
        return magnitudes, rows, 1 / (np.array(counts)[rows] * sizes[self.block[rows]])

    @property
    def blocks(self) -> int:
        return len(set(self.block.tolist()))


def weighted_quantile(values: Array, weights: Array, level: float) -> float:
    """Smallest value at or below which a share `level` of the weight lies; the largest one from level 1 on."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    index = int(np.searchsorted(reached, level - 1e-12))
    return float(values[order[min(index, len(order) - 1)]])


def jackknife_plus(without: Array, residuals: Residuals, middle: float, *, trial: bool) -> tuple[float, float]:
    """90 % interval of a configuration that was not run: of one `trial`, or of the mean over the seeds that were run.

    `without` are its predictions without each configuration's block. Jackknife+ (Barber et al., arXiv 1905.02928),
    grouped: every block weighs one, split over its trials (Dunn et al., arXiv 1809.07441). With too few blocks for the
    level, the interval is at least Student's.
    """
    magnitudes, rows, weights = residuals.of_trials() if trial else residuals.of_means()
    reach = NOMINAL_COVERAGE * (1 + 1 / residuals.blocks)
    high = weighted_quantile(without[rows] + magnitudes, weights, reach)
    low = -weighted_quantile(magnitudes - without[rows], weights, reach)
    if reach >= 1:
        half = student_half(magnitudes, weights, residuals.blocks)
        low, high = min(low, middle - half), max(high, middle + half)
    return min(low, middle), max(high, middle)


def student_half(magnitudes: Array, weights: Array, count: int) -> float:
    typical = math.sqrt(float(np.average(magnitudes**2, weights=weights)))
    return student_95(max(count - 1, 1)) * typical * math.sqrt(1 + 1 / count)


def half_width(residuals: Residuals, *, few: bool = True) -> float:
    """90 % half-width for another block like these: the quantile of what was missed; Student's with few blocks.

    Without allowance for `few`, the largest that was missed.
    """
    magnitudes, _, weights = residuals.of_trials()
    reach = NOMINAL_COVERAGE * (1 + 1 / residuals.blocks)
    half = weighted_quantile(magnitudes, weights, reach)
    return max(half, student_half(magnitudes, weights, residuals.blocks)) if few and reach >= 1 else half


def scaled(residuals: Residuals, scale: Array) -> Residuals:
    """The residuals in units of a scale of each configuration."""
    trials = tuple((own - mean) / s for own, mean, s in zip(residuals.trials, residuals.expected, scale, strict=True))
    return Residuals(trials, np.zeros(len(trials)), residuals.block)


def stretched(residuals: Residuals, factor: float) -> Residuals:
    """The residuals with the error of every mean this much larger; trials scatter around their means as before."""
    means = np.array([own.mean() for own in residuals.trials])
    return Residuals(residuals.trials, means - factor * (means - residuals.expected), residuals.block)


def coverage(residuals: Residuals) -> float | None:
    """Share of trials inside the interval that the other blocks' residuals give; blocks count alike.

    None with fewer than four blocks. It checks that blocks are alike, not that the model is good.
    """
    magnitudes, rows, weights = residuals.of_trials()
    block, inside = residuals.block[rows], []
    if residuals.blocks < 4:
        return None
    for left in sorted(set(block.tolist())):
        others = block != left
        reach = NOMINAL_COVERAGE * (1 + 1 / (residuals.blocks - 1))
        half = weighted_quantile(magnitudes[others], weights[others], reach)
        if reach >= 1:
            half = max(half, student_half(magnitudes[others], weights[others], residuals.blocks - 1))
        inside.append(np.average(magnitudes[~others] <= half, weights=weights[~others]))
    return float(np.mean(inside))


def prefix_blocks(levels: Sequence[Levels]) -> list[list[int]]:
    """Configurations left out together because they share their training up to a hand-over; the others singly."""
    phase_2 = [factor for kind in registry.techniques() if kind.trained_in_phase_2 for factor in kind.factors()]
    found: dict[object, list[int]] = {}
    for row, own in enumerate(levels):
        before = own
        if own[INDEX["phase"]][0] == "1+2":
            for factor in phase_2:
                before = with_level(before, factor, NEUTRAL[factor])
        found.setdefault(before, []).append(row)
    return list(found.values())


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


def last_blocks(levels: Sequence[Levels]) -> list[list[int]]:
    """Cells of the last level, farthest from being off, of every factor that a number orders."""
    return [[i for i, cell in enumerate(levels) if cell[INDEX[factor]] == own[-1]] for factor, own in _orders(levels)]


def inner_blocks(levels: Sequence[Levels]) -> tuple[list[list[int]], list[list[tuple[Levels, Levels]]]]:
    """Cells of every level with a measured one on both sides; and each of them at these two levels.

    Where being off is no number, nothing lies between it and another level.
    """
    blocks, around = [], []
    for factor, own in _orders(levels):
        off_apart = factor not in SIZES and registry.leader(factor).off_at() is None
        for below, level, above in zip(own, own[1:], own[2:], strict=False):
            if off_apart and below == NEUTRAL[factor]:
                continue
            block = [i for i, cell in enumerate(levels) if cell[INDEX[factor]] == level]
            blocks.append(block)
            around.append([(with_level(levels[i], factor, below), with_level(levels[i], factor, above)) for i in block])
    return blocks, around


def _orders(levels: Sequence[Levels]) -> Iterator[tuple[str, list[Level]]]:
    """Factors with three and more levels that a number orders: these levels, the one nearest to off first."""
    for factor, index in INDEX.items():
        known = sorted({cell[index] for cell in levels}, key=repr)
        numbers = ordered(factor, known)
        if numbers is None or len(known) < 3:
            continue
        found = sorted(known, key=numbers.__getitem__)
        yield factor, found[::-1] if found[-1] == NEUTRAL[factor] else found


def joined(blocks: Blocks, trials: Sequence[Array], expected: Sequence[Array]) -> Residuals:
    """The residuals of blocks with these predictions."""
    rows = [row for block in blocks for row in block]
    numbers = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    return Residuals(tuple(trials[row] for row in rows), np.concatenate(expected), numbers)


def student_95(df: float) -> float:
    """95 % quantile of Student's t, its logarithm interpolated in 1 / df: a warm answer of the predictor imports no
    scipy.
    """
    known = [0.0, *(1 / n for n in range(len(STUDENT_95) - 1, 0, -1))]
    return float(np.exp(np.interp(1 / df, known, np.log([NORMAL_95, *STUDENT_95[:0:-1]]))))


def widened(interval: tuple[float, float], middle: float, df: float, sd: float, sd_df: float) -> tuple[float, float]:
    """A 90 % interval with an independent normal error of standard deviation `sd` added.

    Both variances have degrees of freedom, their sum has Satterthwaite's: a deviation known from two seeds widens the
    interval much where it is large, and little where it is small beside the rest. With one degree of freedom that alone
    holds 83 to 90 %; with the variance increased by one over its degrees of freedom 87 to 93 % (simulated).
    """
    shift = sd**2 * (1 + 1 / sd_df)

    def end(half: float) -> float:
        own = (half / student_95(df)) ** 2
        total = own + shift
        freedom = total**2 / (own**2 / df + shift**2 / sd_df) if total > 0 else df
        return max(half, student_95(freedom) * math.sqrt(total))

    return middle - end(middle - interval[0]), middle + end(interval[1] - middle)
