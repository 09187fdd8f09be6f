"""Verdicts on an estimate: what its interval lets one say, and how many seeds would settle what it does not."""

from __future__ import annotations

import math

from bitskip.analysis.looks import price
from bitskip.analysis.student_t import CONFIDENCE, Estimate, student_t_quantile

BELOW_COUNTING = "below counting"
"""In the place of any other verdict where an effect rests on a model whose loss is not below that of bigrams counted on
its training tokens: what a technique does to it says nothing of models that have learned more (docs/effects.md)."""

ERROR_RATE = 0.05
MOST_SEEDS = 1000
"""Where a verdict needs more, it is out of reach."""


def verdict(found: Estimate, margin: float, names: tuple[str, str, str, str], p_adjusted: float | None = None) -> str:
    """One of four; without a variance estimate nothing is resolved. `p_adjusted` replaces the single comparison's p."""
    above, below, equivalent, unresolved = names
    p_value = found.p_value if p_adjusted is None else p_adjusted
    narrow = found.interval(0.90)
    if p_value is None or narrow is None:
        return unresolved
    if p_value < ERROR_RATE:
        return above if found.value > 0 else below
    return equivalent if -margin < narrow[0] and narrow[1] < margin else unresolved


def more_seeds(found: Estimate, margin: float, p_adjusted: float | None = None) -> int | None:
    """Further seeds after which the verdict would be settled, should the estimate stay; None beyond reach.

    The standard error falls with the root of the seeds, quantiles with their degrees of freedom. The correction for
    many comparisons is taken to stay what it is, the ratio of corrected to plain p-value, and every seed that is added
    pays for its look.
    """
    if found.se is None or not found.p_value:
        return None
    correction = max(1.0, (p_adjusted or 0.0) / found.p_value)
    least, size = found.nearest, max(abs(found.value), abs(found.value + found.shift))
    for more in range(1, MOST_SEEDS + 1):
        growth = (found.seeds + more) / found.seeds
        freedom = (found.seeds + more - 1) / (found.seeds - 1) if found.seeds > 1 else 1.0
        se, df = found.se / math.sqrt(growth), found.df * freedom
        level = ERROR_RATE / correction * price(0) / price(more) / 2
        resolved = least > -student_t_quantile(level, df) * se
        if resolved or size + student_t_quantile(CONFIDENCE, df) * se < margin:
            return more
    return None
