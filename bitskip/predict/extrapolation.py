"""Whether a configuration lies inside what was measured (docs/effects.md, Beyond what was measured).

| tier | means | interval |
| --- | --- | --- |
| interior | every level was run, every pair of levels was run together | jackknife+ |
| new pair | two levels never finished together, or a value between measured ones | leave-pair-out, if wider |
| outside | a level never run, a value beyond the measured range, another scale | widest residual; refuse by default |
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import Family
from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, SIZES, Level, Levels, idle, level_label
from bitskip.predict.response_surface import Surface
from bitskip.techniques import registry
from bitskip.trial.config import AXES, ModelConfig
from bitskip.trial.cost import matrix_parameters

TIERS = ("interior", "new pair", "outside")


@dataclass(frozen=True)
class Extrapolation:
    """The tier and a sentence for each reason; no reasons inside."""

    tier: str
    reasons: tuple[str, ...]


def outside_of(levels: Levels, family: Family, surface: Surface, elsewhere: Mapping[str, Any]) -> Extrapolation:
    """How far a configuration lies from the finished cells; `elsewhere` holds scale axes asked for but not measured."""
    finished = surface.levels
    reasons = [(2, f"{name} {value} was not measured, only {family.scale[name]}") for name, value in elsewhere.items()]
    stand_ins: dict[str, list[Level]] = {}
    for factor, level in zip(FACTORS, levels, strict=True):
        measured = sorted({own[INDEX[factor]] for own in finished}, key=repr)
        stand_ins[factor], reason = _locate(factor, level, measured)
        reasons += [reason] if reason else []
    for first, second in itertools.combinations(FACTORS, 2):
        if idle(levels) and "phase" in (first, second):
            continue
        i, j = INDEX[first], INDEX[second]
        for pair in itertools.product(stand_ins[first], stand_ins[second]):
            if not any((own[i], own[j]) == pair for own in finished):
                tried = any((cell.levels[i], cell.levels[j]) == pair for cell in family.cells)
                label = f"{level_label(first, pair[0])} and {level_label(second, pair[1])}"
                reasons.append((1, f"{label} {'never finished' if tried else 'were never run'} together"))
    tier = max((rank for rank, _ in reasons), default=0)
    return Extrapolation(TIERS[tier], tuple(text for _, text in reasons))


def _locate(factor: str, level: Level, measured: Sequence[Level]) -> tuple[list[Level], tuple[int, str] | None]:
    """(the level or its measured neighbours, the tier and reason if it was not measured)."""
    if level in measured:
        return [level], None
    label = level_label(factor, level)
    comparable, name = _comparable(factor, level, measured)
    if not comparable:
        known = ", ".join(level_label(factor, own) for own in measured)
        return [], (2, f"{label} was never run (measured: {known})")
    asked = _position(factor, level)
    values = sorted(comparable)
    below = [value for value in values if value < asked]
    above = [value for value in values if value > asked]
    if not below or not above:
        span = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
        return [], (2, f"{label} is outside the measured range of {name} ({span})")
    between = f"between {name} {below[-1]:g} and {above[0]:g}"
    return [comparable[below[-1]], comparable[above[0]]], (1, f"{label} was never run: interpolated {between}")


def _numeric_axis(factor: str) -> int | None:
    """Where the number stands that orders a technique's levels, all else being equal."""
    return next((i for i, name in enumerate(FACTORS[factor]) if AXES[name].kind in (int, float)), None)


def _position(factor: str, level: Level) -> float:
    if factor == "model":
        return float(matrix_parameters(ModelConfig(*level)))
    axis = _numeric_axis(factor)
    return 0.0 if axis is None else float(level[axis])


def _comparable(factor: str, level: Level, measured: Sequence[Level]) -> tuple[dict[float, Level], str]:
    """(measured levels by the number that orders them, its name).

    Comparable are levels that are equal in all else, or the technique switched off as zero. Models are ordered by their
    parameters, whatever their shape.
    """
    if factor == "model":
        return {_position(factor, own): own for own in measured}, "non-embedding parameters"
    axis = _numeric_axis(factor)
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
