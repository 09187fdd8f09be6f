"""What becomes of an effect at another scale, in one word (docs/scaling.md, Verdicts)."""

from __future__ import annotations

from collections.abc import Sequence

VERDICTS = HOLDS, FADES, GROWS, FLIPS, OPEN = ("holds", "fades", "grows", "flips", "open")

Interval = tuple[float, float]


def verdict(rungs: Sequence[Interval], target: Interval, change: Interval, margin: float) -> str:
    """One of VERDICTS, from 90 % intervals of the laws' mixture.

    `rungs` are those of the effect at every rung, the smallest first, `target` at the scale asked for, `change` from
    the smallest rung to it. Flips: on the other side of zero than at some rung. Grows, fades: the change is away from
    zero, or towards it. Holds: on the same side without a change that can be told; or nowhere beyond the margin.
    """
    signs = [_sign(each) for each in rungs]
    at_target = _sign(target)
    if at_target and -at_target in signs:
        return FLIPS
    known = next((sign for sign in signs if sign), 0)
    if known and _sign(change) == -known:
        return FADES
    if at_target:
        return GROWS if _sign(change) == at_target else HOLDS
    small = all(-margin < low and high < margin for low, high in (*rungs, target))
    return HOLDS if small else OPEN


def _sign(interval: Interval) -> int:
    low, high = interval
    return (low > 0) - (high < 0)
