"""What a design cannot estimate: effects of one axis or of two that its cells leave unknown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.sweep.d_optimal import Array, Flags, products
from bitskip.sweep.grid import Grid, Level, Levels


@dataclass(frozen=True)
class Gap:
    """The effect of one axis or of a pair of axes, of which `missing` of `contrasts` stay unknown.

    `never` names the levels, or pairs of levels, that no chosen cell has, each with the rule that excludes it or None.
    """

    axes: tuple[str, ...]
    missing: int
    contrasts: int
    never: tuple[tuple[str, str | None], ...] = ()


def gaps(grid: Grid, chosen: Iterable[Levels]) -> list[Gap]:
    """Main and pair effects that the chosen cells cannot estimate though the axes have them.

    A main effect is judged in the model of main effects alone, a pair effect in that with all pairs. An effect has as
    many contrasts as the whole grid determines, exclusions lifted; the chosen cells miss as many of these as the null
    space of their model matrix touches.
    """
    chosen = list(dict.fromkeys(chosen))
    whole = list(dict.fromkeys([*grid.levels, *(levels for levels, _ in grid.excluded)]))
    if not whole or not chosen:
        return []
    others = {axis: _other_levels(grid, [cell[axis] for cell in whole], axis) for axis in range(len(whole[0]))}
    found = []
    for size in (1, 2):
        possible, there = _estimable(others, whole, size), _estimable(others, chosen, size)
        for axes, contrasts in possible.items():
            if (missing := contrasts - there[axes]) > 0:
                names = tuple(grid.axes[axis] for axis in axes)
                found.append(Gap(names, missing, contrasts, _never(grid, axes, chosen)))
    return found


def _other_levels(grid: Grid, column: Sequence[Level], axis: int) -> list[Level]:
    """The levels of an axis that are compared with the centre's, or with the first where the centre's never occurs."""
    levels = list(dict.fromkeys(column))
    reference = grid.centre[axis] if grid.centre and grid.centre[axis] in levels else levels[0]
    return [level for level in levels if level != reference]


def _estimable(others: Mapping[int, list[Level]], cells: Sequence[Levels], size: int) -> dict[tuple[int, ...], int]:
    """Independent contrasts of each axis (size 1) or pair of axes (2) that the cells determine.

    The columns are indicators of the levels that differ from the centre's, and their products by pairs of axes. What an
    effect's own columns add to the rank of all others is what can be told apart from these.
    """
    blocks: dict[tuple[int, ...], Array] = {
        (axis,): np.array([[cell[axis] == level for level in levels] for cell in cells], dtype=float)
        for axis, levels in others.items()
        if levels
    }
    if size == 2:
        blocks |= {(*a, *b): products(blocks[a], blocks[b]) for a, b in itertools.combinations(list(blocks), 2)}
    matrix = np.hstack([np.ones((len(cells), 1)), *blocks.values()])
    effect = np.repeat(np.arange(len(blocks) + 1), [1, *(block.shape[1] for block in blocks.values())])
    gram = matrix.T @ matrix

    def rank(columns: Flags) -> int:
        values = np.linalg.eigvalsh(gram[np.ix_(columns, columns)])
        return int((values > 1e-9 * max(1.0, float(values.max()))).sum())

    whole = rank(effect >= 0)
    return {axes: whole - rank(effect != at) for at, axes in enumerate(blocks, start=1) if len(axes) == size}


def _never(grid: Grid, axes: tuple[int, ...], chosen: Iterable[Levels]) -> tuple[tuple[str, str | None], ...]:
    def part(cell: Levels) -> Levels:
        return tuple(cell[axis] for axis in axes)

    there = {part(cell) for cell in chosen}
    possible: dict[Levels, str | None] = {part(cell): rule for cell, rule in grid.excluded}
    possible |= {part(cell): None for cell in grid.levels}
    return tuple(
        (" with ".join(f"{grid.axes[axis]} {_text(level)}" for axis, level in zip(axes, levels, strict=True)), rule)
        for levels, rule in possible.items()
        if levels not in there
    )


def _text(level: Level) -> str:
    return "/".join(f"{value:g}" if isinstance(value, float) else str(value) for value in level)
