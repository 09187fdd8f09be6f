"""What a design chooses from: the configurations of a crossed space, with the levels that each has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.sweep.axes import Cell
from bitskip.sweep.located_yaml import Source
from bitskip.sweep.texts import Texts, with_digest
from bitskip.trial.config import AXES, TrialConfig

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


def grid_of(
    source: Source,
    axes: Mapping[str, Sequence[Cell]],
    cells: Sequence[tuple[TrialConfig, str | None]],
    impossible: Sequence[tuple[Cell, str]],
    centre: TrialConfig,
    digests: Texts,
) -> Grid:
    names = [sorted({name for level in axis for name in level}) for axis in axes.values()]

    def levels_of(trial: TrialConfig) -> Levels:
        return tuple(tuple(AXES[name].read(trial) for name in axis) for axis in names)

    kept = dict.fromkeys(trial for trial, rule in cells if rule is None)
    excluded = dict.fromkeys((trial, rule) for trial, rule in cells if rule is not None and trial not in kept)
    never = dict.fromkeys(
        (tuple(tuple(cell[name] for name in axis) for axis in names), rule) for cell, rule in impossible
    )
    return Grid(
        axes=tuple(map(str, axes)),
        configurations=tuple(with_digest(source, trial, ("space",), digests) for trial in kept),
        levels=tuple(map(levels_of, kept)),
        centre=levels_of(centre),
        excluded=(*((levels_of(trial), rule) for trial, rule in excluded), *never),
    )
