"""Whether a configuration lies inside what was measured (docs/prediction.md, Beyond what was measured).

| tier | means | interval |
| --- | --- | --- |
| interior | every level was run, every pair of levels was run together | jackknife+ |
| new pair | two levels never finished together | pairs of levels left out whole, if wider |
| between levels | a value between measured ones | levels left out whole, if wider |
| outside | a level never run, a value beyond the measured range, another scale; few bits between others; two
  techniques never run together of which one is made for the other | last levels left out whole; refuse by default |
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.contrasts import Treatment
from bitskip.analysis.factorial import Family
from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, SIZES, Level, Levels, idle, level_label, with_level
from bitskip.predict.features import numeric_axis, position
from bitskip.predict.response_surface import Surface
from bitskip.techniques import registry

TIERS = ("interior", "new pair", "between levels", "outside")
NEW_PAIR, BETWEEN, OUTSIDE = range(1, len(TIERS))


@dataclass(frozen=True)
class Extrapolation:
    """The tier and a sentence for each reason; no reasons inside. `new_pairs` counts those of its kind.

    `around` has, for every value between measured ones, the configuration at its two neighbours; `untried` are pairs
    that were never run together although one technique is made for the other.
    """

    tier: str
    reasons: tuple[str, ...]
    new_pairs: int
    around: tuple[tuple[Levels, Levels], ...]
    untried: tuple[tuple[str, str], ...]


def outside_of(levels: Levels, family: Family, surface: Surface, elsewhere: Mapping[str, Any]) -> Extrapolation:
    """How far a configuration lies from the finished cells; `elsewhere` holds scale axes asked for but not measured."""
    finished = surface.levels
    reasons = [
        (OUTSIDE, f"{name} {value} was not measured, only {family.scale[name]}") for name, value in elsewhere.items()
    ]
    untried, around = [], []
    stand_ins: dict[str, list[Level]] = {}
    for factor, level in zip(FACTORS, levels, strict=True):
        measured = sorted({own[INDEX[factor]] for own in finished}, key=repr)
        stand_ins[factor], reason = _locate(factor, level, measured)
        if len(stand_ins[factor]) == 2:
            below, above = stand_ins[factor]
            around.append((with_level(levels, factor, below), with_level(levels, factor, above)))
        reasons += [reason] if reason else []
    for first, second in itertools.combinations(FACTORS, 2):
        if idle(levels) and "phase" in (first, second):
            continue
        i, j = INDEX[first], INDEX[second]
        for pair in itertools.product(stand_ins[first], stand_ins[second]):
            if not any((own[i], own[j]) == pair for own in finished):
                tried = any((cell.levels[i], cell.levels[j]) == pair for cell in family.cells)
                label = f"{level_label(first, pair[0])} and {level_label(second, pair[1])}"
                label += f" {'never finished' if tried else 'were never run'} together"
                special = _made_for((first, pair[0]), (second, pair[1]))
                if special:
                    untried.append((first, second))
                    label += ", and one is made for the other"
                reasons.append((OUTSIDE if special else NEW_PAIR, label))
    ranks = Counter(rank for rank, _ in reasons)
    return Extrapolation(
        TIERS[max(ranks, default=0)],
        tuple(text for _, text in reasons),
        ranks[NEW_PAIR],
        tuple(around),
        tuple(dict.fromkeys(untried)),
    )


def _made_for(first: Treatment, second: Treatment) -> bool:
    """Whether one of two techniques that are both on is there to change what the other does."""
    if any(factor in SIZES or level == NEUTRAL[factor] for factor, level in (first, second)):
        return False
    return second[0] in registry.leader(first[0]).made_for or first[0] in registry.leader(second[0]).made_for


def _locate(factor: str, level: Level, measured: Sequence[Level]) -> tuple[list[Level], tuple[int, str] | None]:
    """(the level or its measured neighbours, the tier and reason if it was not measured)."""
    if level in measured:
        return [level], None
    label = level_label(factor, level)
    comparable, name = _comparable(factor, level, measured)
    if not comparable:
        known = ", ".join(level_label(factor, own) for own in measured)
        return [], (OUTSIDE, f"{label} was never run (measured: {known})")
    asked = position(factor, level)
    values = sorted(comparable)
    below = [value for value in values if value < asked]
    above = [value for value in values if value > asked]
    if not below or not above:
        span = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
        return [], (OUTSIDE, f"{label} is outside the measured range of {name} ({span})")
    between = f"between {name} {below[-1]:g} and {above[0]:g}"
    floor = None if factor in SIZES else registry.leader(factor).irregular_below
    if floor is not None and asked < floor:
        return [], (OUTSIDE, f"{label} was never run, and below {name} {floor:g} nothing can be told {between}")
    return [comparable[below[-1]], comparable[above[0]]], (BETWEEN, f"{label} was never run: interpolated {between}")


def _comparable(factor: str, level: Level, measured: Sequence[Level]) -> tuple[dict[float, Level], str]:
    """(measured levels by the number that orders them, its name).

    Comparable are levels that are equal in all else, or the technique switched off as zero. Models are ordered by their
    parameters, whatever their shape.
    """
    if factor == "model":
        return {position(factor, own): own for own in measured}, "non-embedding parameters"
    axis = numeric_axis(factor)
    if axis is None:
        return {}, ""
    name = FACTORS[factor][axis]
    off = NEUTRAL[factor]
    # Unquantized is no bit width: neither comparable to one nor a zero.
    off_at = None if factor in SIZES else registry.leader(factor).off_at()
    if factor not in SIZES and off_at is None and level[0] == off[0]:
        return {}, name
    found: dict[float, Level] = {}
    for own in measured:
        if factor not in SIZES and own[0] == off[0]:
            found |= {} if off_at is None else {off_at: own}
        elif own[:axis] + own[axis + 1 :] == level[:axis] + level[axis + 1 :]:
            found[float(own[axis])] = own
    # Off alone says nothing about how the technique acts.
    return (found if set(found) != {off_at} else {}), name
