"""Whether a configuration lies inside what was measured (EFFECTS 3, extrapolation gate).

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

from bitskip.cells import FACTORS, Level, Levels, Stratum, level_label, levels_of
from bitskip.config import AXES, UNQUANTIZED_BITS
from bitskip.surface import Surface

TIERS = ("interior", "new pair", "outside")


@dataclass(frozen=True)
class Extrapolation:
    """The tier and a sentence for each reason; no reasons inside."""

    tier: str
    reasons: tuple[str, ...]


def outside_of(levels: Levels, stratum: Stratum, surface: Surface, elsewhere: Mapping[str, Any]) -> Extrapolation:
    """How far a configuration lies from the finished cells; `elsewhere` holds scale axes asked for but not measured."""
    finished = [cell.levels for cell in surface.cells]
    reasons = [(2, f"{name} {value} was not measured, only {stratum.scale[name]}") for name, value in elsewhere.items()]
    stand_ins: list[list[Level]] = []
    for index, (factor, level) in enumerate(zip(FACTORS, levels, strict=True)):
        measured = sorted({own[index] for own in finished}, key=repr)
        neighbours, reason = _locate(factor, index, level, measured)
        stand_ins.append(neighbours)
        if reason:
            reasons.append(reason)
    for first, second in itertools.combinations(range(len(FACTORS)), 2):
        for pair in itertools.product(stand_ins[first], stand_ins[second]):
            if any((own[first], own[second]) == pair for own in finished):
                continue
            reasons.append((1, _pair_reason(stratum, first, second, pair)))
    tier = max((rank for rank, _ in reasons), default=0)
    return Extrapolation(TIERS[tier], tuple(text for _, text in reasons))


def _pair_reason(stratum: Stratum, first: int, second: int, pair: tuple[Level, ...]) -> str:
    names = list(FACTORS)
    label = f"{level_label(names[first], pair[0])} and {level_label(names[second], pair[1])}"
    tried = any((cell.levels[first], cell.levels[second]) == pair for cell in stratum.cells)
    return f"{label} {'never finished' if tried else 'were never run'} together"


def _locate(
    factor: str, index: int, level: Level, measured: Sequence[Level]
) -> tuple[list[Level], tuple[int, str] | None]:
    """(the level or its measured neighbours, the reason if it was not measured)."""
    if level in measured:
        return [level], None
    label = level_label(factor, level)
    members: tuple[str, ...] = FACTORS[factor]
    # The one numeric axis of a technique orders its levels, all else being equal.
    position = next((i for i, name in enumerate(members) if AXES[name].kind in (int, float)), None)
    comparable: dict[float, Level] = {} if position is None else _comparable(factor, index, level, position, measured)
    if position is None or not comparable:
        known = ", ".join(level_label(factor, own) for own in measured)
        return [], (2, f"{label} was never run (measured: {known})")
    asked = float(level[position])
    values = sorted(comparable)
    below = [value for value in values if value < asked]
    above = [value for value in values if value > asked]
    if not below or not above:
        span = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
        return [], (2, f"{label} is outside the measured range of {members[position]} ({span})")
    neighbours = [comparable[below[-1]], comparable[above[0]]]
    between = f"between {members[position]} {below[-1]:g} and {above[0]:g}"
    return neighbours, (1, f"{label} was never run: interpolated {between}")


def _comparable(factor: str, index: int, level: Level, position: int, measured: Sequence[Level]) -> dict[float, Level]:
    """Measured levels by the value of the numeric axis: equal in all else, or the technique switched off as zero."""
    off = levels_of({})[index]
    if factor == "bits":  # unquantized is no bit width: neither comparable to one nor a zero
        measured = [own for own in measured if own[0] != UNQUANTIZED_BITS and level[0] != UNQUANTIZED_BITS]
    found: dict[float, Level] = {}
    for own in measured:
        if own == off:
            found[0.0] = own
        elif own[:position] + own[position + 1 :] == level[:position] + level[position + 1 :]:
            found[float(own[position])] = own
    # Off alone says nothing about how the technique acts.
    return found if set(found) != {0.0} else {}
