"""What a design cannot estimate: effects of one axis or of two that its cells leave unknown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.sweep.d_optimal import Array
from bitskip.sweep.grid import Grid, Level, Levels
from bitskip.techniques.base import plain

MOST_EFFECTS = 1_000
"""Columns of a model up to which its null space is computed, a second of work at the most."""

Codes = npt.NDArray[np.int64]


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
    space of their model matrix touches. A full cross determines all: (levels - 1) contrasts of an axis, their product
    for a pair. Pair effects are left out where `unexamined` says so.
    """
    chosen = list(dict.fromkeys(chosen))
    whole = _whole(grid)
    if not chosen or len(chosen) == len(whole):  # what the whole grid determines, all of it determines
        return []
    others = _others(grid, whole)
    found = []
    for size in (1, 2):
        if _columns(others, size) > MOST_EFFECTS:
            break
        possible, there = _estimable(others, whole, size), _estimable(others, chosen, size)
        for axes, contrasts in possible.items():
            if (missing := contrasts - there[axes]) > 0:
                names = tuple(grid.axes[axis] for axis in axes)
                found.append(Gap(names, missing, contrasts, _never(grid, axes, chosen)))
    return found


def unexamined(grid: Grid, chosen: Iterable[Levels]) -> str | None:
    """What `gaps` leaves out of account for the chosen cells, and why; None where it says all."""
    whole, there = _whole(grid), len(set(chosen))
    if there in (0, len(whole)):
        return None
    main, all_pairs = (_columns(_others(grid, whole), size) for size in (1, 2))
    if all_pairs <= MOST_EFFECTS:
        return None
    what = (
        "which effects these points leave unknown"
        if main > MOST_EFFECTS
        else "which pair effects these points leave unknown"
    )
    return f"{what} is not examined: {all_pairs:,} terms, more than {MOST_EFFECTS:,}"


def _columns(others: Mapping[int, list[Level]], size: int) -> int:
    return 1 + sum(map(len, _blocks(others, size).values()))


def _whole(grid: Grid) -> list[Levels]:
    return list(dict.fromkeys([*grid.levels, *(levels for levels, _ in grid.excluded)]))


def _others(grid: Grid, whole: Sequence[Levels]) -> dict[int, list[Level]]:
    axes = range(len(whole[0])) if whole else ()
    return {axis: _other_levels(grid, [cell[axis] for cell in whole], axis) for axis in axes}


def _other_levels(grid: Grid, column: Sequence[Level], axis: int) -> list[Level]:
    """The levels of an axis that are compared with the centre's, or with the first where the centre's never occurs."""
    levels = list(dict.fromkeys(column))
    reference = grid.centre[axis] if grid.centre and grid.centre[axis] in levels else levels[0]
    return [level for level in levels if level != reference]


def _blocks(others: Mapping[int, list[Level]], size: int) -> dict[tuple[int, ...], range]:
    """The columns of the model behind the constant, by the axis or, for size 2, also the pair that they belong to."""
    widths: dict[tuple[int, ...], int] = {(axis,): len(levels) for axis, levels in others.items() if levels}
    if size == 2:
        widths |= {(*a, *b): widths[a] * widths[b] for a, b in itertools.combinations(list(widths), 2)}
    ends = itertools.accumulate(widths.values(), initial=1)
    return {axes: range(end, end + width) for (axes, width), end in zip(widths.items(), ends, strict=False)}


def _estimable(others: Mapping[int, list[Level]], cells: Sequence[Levels], size: int) -> dict[tuple[int, ...], int]:
    """Independent contrasts of each axis (size 1) or pair of axes (2) that the cells determine.

    The columns are indicators of the levels that differ from the centre's, and their products by pairs of axes. What an
    effect's own columns add to the rank of all others is what can be told apart from these: their number less the rank
    of the null space in them.
    """
    blocks = _blocks(others, size)
    effects = {axes: columns for axes, columns in blocks.items() if len(axes) == size}
    if len(cells) == math.prod(len(levels) + 1 for levels in others.values()):  # a full cross: closed form
        return {axes: len(columns) for axes, columns in effects.items()}
    null = _null_space(others, cells, size)

    def free(columns: range) -> int:
        values = np.linalg.svd(null[columns.start : columns.stop], compute_uv=False)
        return int((values > 1e-6).sum())

    return {axes: len(columns) - free(columns) for axes, columns in effects.items()}


def _null_space(others: Mapping[int, list[Level]], cells: Sequence[Levels], size: int) -> Array:
    """[columns of the model, dimensions]: an orthonormal basis of what the cells' model matrix X maps to 0.

    X'X counts the cells that have both of two columns' levels, so that X itself is never built.
    """
    blocks = _blocks(others, size)
    kind: dict[tuple[int, ...], Codes] = {(): np.zeros(len(cells), dtype=np.int64)}
    for axis, levels in others.items():
        # The level that others are compared with has no column; it stands behind the last.
        place = {level: at for at, level in enumerate(levels)}
        kind[(axis,)] = np.array([place.get(cell[axis], len(levels)) for cell in cells], dtype=np.int64)
    for axes, columns in blocks.items():
        if len(axes) == 2:
            (first, second), (rows, width) = ((kind[(axis,)] for axis in axes), (len(others[axis]) for axis in axes))
            both = (first < rows) & (second < width)
            kind[axes] = np.where(both, first * width + second, len(columns))
    spans = {(): range(1), **blocks}
    gram = np.zeros((end := max(span.stop for span in spans.values()), end))
    for (one, mine), (other, its) in itertools.product(spans.items(), spans.items()):
        pairs = kind[one] * (len(its) + 1) + kind[other]
        counts = np.bincount(pairs, minlength=(len(mine) + 1) * (len(its) + 1)).reshape(len(mine) + 1, -1)
        gram[mine.start : mine.stop, its.start : its.stop] = counts[:-1, :-1]
    values, vectors = np.linalg.eigh(gram)
    null: Array = vectors[:, values <= 1e-9 * max(1.0, float(values.max()))]
    return null


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
    return "/".join(map(plain, level))
