"""Where a setting of the recipe is best: values to run next, optimum, a law for the next rung (docs/designs.md).

Values lie on a grid of factors of two around where a search began, so that arms and rungs share rates and trials, and
what was run by hand counts. The order of a search follows from its losses alone: with the same rows it is the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.rates import parabola

STEP = 2.0
"""From one value to the next."""

MOST_WIDENINGS = 4
"""Values that are added on one side of the first three, until the optimum is given up as open."""

WITHIN_A_STEP = math.sqrt(1 / 12)
"""Standard deviation of what lies anywhere within a step around the best value, in steps."""

SMALLEST_DIRECTION = 0.05
"""Of the spread of the rungs: budgets of so many tokens a parameter lie on a line but for rounding to batches, and a
law must not be fitted to the rounding."""


@dataclass(frozen=True)
class Measured:
    """Losses at one value in nats per token: by seed, infinite where it diverged.

    `sequences` are those of each held-out sequence, mean over seeds, where they are known.
    """

    losses: Mapping[int, float]
    sequences: Array | None = None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.losses.values())


Tried = Mapping[float, Measured]


@dataclass(frozen=True)
class Optimum:
    """Where the loss is lowest; `error` is its standard error in factors of two, None where nothing tells it.

    It is `open` where the best value that was run is the first or the last one: the optimum lies there or beyond.
    """

    exact: float
    error: float | None
    open: bool
    whole: bool = False

    @property
    def value(self) -> float:
        """What rules use: with two significant digits, or as it is where values are `whole` numbers."""
        return self.exact if self.whole else float(f"{self.exact:.1e}")


def follow(
    start: float,
    measured: Callable[[float], Measured | None],
    allowed: Callable[[float], bool] = lambda value: value > 0,
) -> tuple[dict[float, Measured], list[float]]:
    """What a search from `start` has tried, and the values that it asks for next: none once it is over.

    It begins with `start` and a factor of two on both sides, and goes on where the best value is an edge.
    """
    asked = [value for value in (start / STEP, start, start * STEP) if allowed(value)]
    while True:
        found = {value: measured(value) for value in sorted(asked)}
        if missing := [value for value, each in found.items() if each is None]:
            return {value: each for value, each in found.items() if each is not None}, missing
        tried = {value: each for value, each in found.items() if each is not None}
        wider = next((value for value in _beyond(tried, start) if allowed(value)), None)
        if wider is None:
            return tried, []
        asked.append(wider)


def _beyond(tried: Tried, start: float) -> list[float]:
    """The value beyond the best one, where that is an edge and may be passed. Where all diverged, it is the lowest."""
    best, limit = _best(tried), STEP ** (1 + MOST_WIDENINGS)
    lower = [best / STEP] * (best == min(tried) and start / best < limit)
    return lower + [best * STEP] * (best == max(tried) and best / start < limit and math.isfinite(tried[best].mean))


def _best(tried: Tried) -> float:
    return min(tried, key=lambda value: (tried[value].mean, value))


def optimum(tried: Tried) -> Optimum:
    """The lowest point of the parabola in log2 of the value through the best one and its neighbours.

    Where a neighbour diverged, the best value itself: it is within a step of what is best.
    """
    values, best = sorted(tried), _best(tried)
    at = values.index(best)
    if not 0 < at < len(values) - 1 or not math.isfinite(tried[best].mean):
        return Optimum(best, None, open=True)
    near = {value: tried[value] for value in values[at - 1 : at + 2]}
    if not all(math.isfinite(each.mean) for each in near.values()):
        return Optimum(best, WITHIN_A_STEP, open=False)
    through = parabola({value: each.losses for value, each in near.items()})
    if through is None or not through.coefficients[2]:  # all three alike
        return Optimum(best, None, open=False)
    return Optimum(through.optimum, _error(list(near.values()), through.optimum_gradient), open=False)


def _error(near: Sequence[Measured], gradient: Array) -> float | None:
    """Standard error of the sum of the losses times `gradient`: over seeds, and over the text that was measured."""
    seeds = sorted(set.intersection(*(set(each.losses) for each in near)))
    moved = [gradient @ np.array([[each.losses[seed] for seed in seeds] for each in near])]
    sequences = [each.sequences for each in near if each.sequences is not None]
    if len(sequences) == len(near):
        moved.append(gradient @ np.array(sequences))
    variances = [each.var(ddof=1) / len(each) for each in moved if len(each) > 1]
    return math.sqrt(sum(variances)) if variances else None


def predicted(known: Sequence[tuple[float, float, float]], parameters: float, tokens: float, start: float) -> float:
    """The value to begin with at a rung, on the grid of `start`, from parameters, tokens and optimum of rungs below.

    By the law optimum = a · parameters^p · tokens^q, least squares in logarithms; of laws that fit alike that with the
    smallest exponents. After one rung that is the rung's optimum, after none `start`.
    """
    if not known:
        return start
    logs = np.log2(np.array(known, dtype=float))
    centre = logs.mean(axis=0)
    exponents = np.linalg.lstsq(logs[:, :2] - centre[:2], logs[:, 2] - centre[2], rcond=SMALLEST_DIRECTION)[0]
    expected = centre[2] + (np.log2([parameters, tokens]) - centre[:2]) @ exponents
    return start * STEP ** round(float(expected) - math.log2(start))
