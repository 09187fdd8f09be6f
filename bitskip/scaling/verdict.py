"""What becomes of an effect at another scale, in one word (docs/scaling.md, Verdicts)."""

from __future__ import annotations

from collections.abc import Sequence

VERDICTS = HOLDS, FADES, GROWS, FLIPS, OPEN = ("holds", "fades", "grows", "flips", "open")

Interval = tuple[float, float]


SURE = 0.90
"""Probability of a side of zero from which it counts as known."""


def verdict(rungs: Sequence[Interval], target: Interval, above: float, change: Interval, margin: float) -> str:
    """One of VERDICTS.

    `rungs` are 90 % intervals of the effect at every rung, the smallest first, and `change` is that from the smallest
    rung to the scale asked for, by the laws that fit the ladder; `target` is the effect there, and `above` the
    probability that it is above zero, by all laws. Flips: on the other side of zero than at some rung, or probably so
    where rungs lie on both sides. Grows, fades: the change is away from zero, or towards it. Holds: on the same side
    without a change that can be told; or nowhere beyond the margin.
    """
    signs = [_sign(each) for each in rungs]
    at_target = (above >= SURE) - (above <= 1 - SURE)
    known = next((sign for sign in signs if sign), 0)
    if -at_target in signs and at_target:
        return FLIPS
    if known and -known in signs:  # measured, if not known to last
        return FLIPS if (above - 0.5) * known < 0 else OPEN
    if known and _sign(change) == -known:
        return FADES
    if all(-margin < low and high < margin for low, high in (*rungs, target)):
        return HOLDS
    if not at_target:
        return OPEN
    return GROWS if _sign(change) == at_target else HOLDS


def _sign(interval: Interval) -> int:
    low, high = interval
    return (low > 0) - (high < 0)
