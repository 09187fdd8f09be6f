"""What a design chooses from: the configurations of a crossed space, with the levels that each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bitskip.trial.config import TrialConfig

Level = tuple[Any, ...]
"""The values of the axes that one crossed axis sets: `model: nano` sets several."""

Levels = tuple[Level, ...]
"""A cell: its level of every crossed axis."""


@dataclass(frozen=True)
class Grid:
    """Distinct configurations, with the level that each has of every crossed axis.

    Levels are those of the canonical form: an axis without influence stands at its neutral one. `centre` is the level
    of each axis that others are compared with; `excluded` holds the levels of cells that a rule drops, with the rule.
    """

    axes: tuple[str, ...] = ()
    configurations: tuple[TrialConfig, ...] = ()
    levels: tuple[Levels, ...] = ()
    centre: Levels = ()
    excluded: tuple[tuple[Levels, str], ...] = ()
