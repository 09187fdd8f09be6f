"""Which configurations of a grid to run (docs/designs.md). Plain data in, positions out; numpy for the algebra.

A static design follows from the sweep file, but for configurations that have run already, which take the place of
others. An adaptive one is asked again, batch after batch, with what the results say so far.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitskip.trial.config import TrialConfig

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Settings = Mapping[str, Any]
Level = tuple[Any, ...]
Levels = tuple[Level, ...]

PAIR_PRECISION = 4.0
"""Prior precision of a pair effect for columns of unit mean square, in units of the noise: tau = 1 for columns of range
1, as DuMouchel and Jones advise (the product of two two-level contrasts has range 2)."""

MAIN_PRECISION = 1e-6
"""As good as none: main effects are to be estimated from the data alone."""

MOST_CANDIDATES = 20_000
"""Of a larger grid the exchange sees a fixed random part."""

STARTS, MOST_PASSES = 8, 20
MOST_WORK = 5e8
"""Multiplications that the exchange may take, a second or two: fewer starts and passes on a large grid."""


@dataclass(frozen=True)
class Grid:
    """What a design chooses from: distinct configurations, with the level that each has of every crossed axis.

    Levels are those of the canonical form: an axis without influence stands at its neutral one. `centre` is the level
    of each axis that others are compared with; `excluded` holds the levels of cells that a rule drops, with the rule.
    """

    axes: tuple[str, ...] = ()
    configurations: tuple[TrialConfig, ...] = ()
    levels: tuple[Levels, ...] = ()
    centre: Levels = ()
    excluded: tuple[tuple[Levels, str], ...] = ()


def crossed(axes: Sequence[Sequence[Settings]], centre: Settings) -> Iterable[tuple[Settings, ...]]:
    """Every combination of levels."""
    return itertools.product(*axes) if axes else ()


def one_at_a_time(axes: Sequence[Sequence[Settings]], centre: Settings) -> Iterable[tuple[Settings, ...]]:
    """The centre, and the centre with one axis at each of its other levels."""
    if not axes:
        return
    yield (centre,)
    for level in itertools.chain.from_iterable(axes):
        if any(name not in centre or centre[name] != value for name, value in level.items()):
            yield centre, level


@dataclass(frozen=True)
class Design:
    """`expand` makes cells, as layers of settings of which later ones prevail, from the levels of all axes.

    `choose(grid, count, points, ran)` takes `count` configurations, by their positions; the named points among them
    count, and what has run may stand in for others. An adaptive design is chosen from by `bitskip.sweep.adaptive`.
    """

    choose: Callable[[Grid, int, Sequence[int], Sequence[int]], list[int]]
    takes_count: bool = True
    adaptive: bool = False
    note: str | None = None
    expand: Callable[[Sequence[Sequence[Settings]], Settings], Iterable[tuple[Settings, ...]]] = crossed


def _all(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    return list(range(len(grid.configurations)))


def _random_subset(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    # A fixed seed: the same file always means the same trials.
    size = len(grid.configurations)
    return sorted(random.Random(0).sample(range(size), min(count, size)))


def _fractional(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    return augmented(grid.levels, d_optimal(grid.levels, count, points), points, ran)


def _none(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    return []


DESIGNS: dict[str, Design] = {
    "full": Design(_all, takes_count=False),
    "random": Design(_random_subset),
    "ofat": Design(
        _all,
        takes_count=False,
        expand=one_at_a_time,
        note="one factor at a time: no composition effect can be estimated from these points",
    ),
    "fractional": Design(_fractional),
    "guided": Design(_none, adaptive=True),
    "optuna": Design(_none, adaptive=True),
}


# Bayesian D-optimal fractions


def model_matrix(levels: Sequence[Levels]) -> tuple[Array, Array]:
    """(X [cells, terms], prior precision [terms]) of the model with main effects and pair effects.

    Main effects are an orthonormal basis of what all axes' contrasts span over the cells. Pair effects are products of
    contrasts with their regression on the main effects taken out (DuMouchel and Jones, Technometrics 36, 1994, eq. 4).
    All columns have unit mean square over the cells.
    """
    size = len(levels)
    blocks = [_contrasts([cell[axis] for cell in levels]) for axis in range(len(levels[0]))]
    blocks = [block for block in blocks if block.shape[1]]
    main = _whitened(np.hstack([np.ones((size, 1)), *blocks]))
    products = [np.zeros((size, 0))]
    for first, second in itertools.combinations(blocks, 2):
        products.append((first[:, :, None] * second[:, None, :]).reshape(size, -1))
    pairs = np.hstack(products)
    pairs = pairs - main @ (main.T @ pairs) / size
    mean_square = (pairs**2).mean(axis=0)
    there = mean_square > 1e-9
    pairs = pairs[:, there] / np.sqrt(mean_square[there])
    precision = np.concatenate([np.full(main.shape[1], MAIN_PRECISION), np.full(pairs.shape[1], PAIR_PRECISION)])
    return np.hstack([main, pairs]), precision


def _contrasts(column: Sequence[Level]) -> Array:
    """Orthonormal contrasts of one axis, [cells, levels - 1]: Gram-Schmidt level by level, equal on every machine."""
    kinds = list(dict.fromkeys(column))[1:]
    indicator = np.array([[level == kind for kind in kinds] for level in column], dtype=float).reshape(len(column), -1)
    basis, triangle = np.linalg.qr(indicator - indicator.mean(axis=0))
    contrasts: Array = basis * np.sign(np.diag(triangle)) * float(np.sqrt(len(column)))
    return contrasts


def _whitened(columns: Array) -> Array:
    """A basis of the same span whose columns are orthogonal with unit mean square."""
    basis, singular, _ = np.linalg.svd(columns, full_matrices=False)
    kept: Array = basis[:, singular > 1e-8 * singular.max(initial=1.0)]
    return kept * float(np.sqrt(len(columns)))


def information(levels: Sequence[Levels], chosen: Sequence[int]) -> float:
    """ln det(X'X + prior precision) of the chosen cells: what a D-optimal design maximises."""
    rows, precision = model_matrix(levels)
    return _log_det(rows[list(chosen)], precision)


def _log_det(rows: Array, precision: Array) -> float:
    return float(np.linalg.slogdet(rows.T @ rows + np.diag(precision))[1])


def level_pairs(levels: Sequence[Levels]) -> Flags:
    """[cells, pairs]: which of all pairs of levels that occur anywhere each cell has."""
    index: dict[tuple[int, Level, int, Level], int] = {}
    found = []
    for cell in levels:
        pairs = [(a, cell[a], b, cell[b]) for a, b in itertools.combinations(range(len(cell)), 2)]
        found.append([index.setdefault(pair, len(index)) for pair in pairs])
    flags = np.zeros((len(levels), len(index)), dtype=bool)
    for row, pairs_of_cell in enumerate(found):
        flags[row, pairs_of_cell] = True
    return flags


def d_optimal(levels: Sequence[Levels], count: int, fixed: Sequence[int] = ()) -> list[int]:
    """`count` cells, the `fixed` among them, that determine main and pair effects best; every pair of levels is in one.

    Bayesian D-optimality by Fedorov's exchange from a greedy and from random starts, in the same order every time;
    fewer cells than it takes to cover all pairs cover as many as they can.
    """
    if count >= len(levels):
        return list(range(len(levels)))
    candidates = list(range(len(levels)))
    if len(levels) > MOST_CANDIDATES:
        candidates = sorted({*random.Random(0).sample(candidates, MOST_CANDIDATES), *fixed})
    fixed = [candidates.index(position) for position in dict.fromkeys(fixed)]
    rows, precision = model_matrix([levels[position] for position in candidates])
    exchange = _Exchange(rows, precision, level_pairs([levels[position] for position in candidates]), fixed)
    chosen = exchange.best(max(count, len(fixed)))
    return sorted(candidates[position] for position in chosen)


class _Covariance:
    """(X'X + prior precision)^-1 of a design, and with it the variance of every candidate's prediction."""

    def __init__(self, rows: Array, precision: Array, chosen: Sequence[int]) -> None:
        picked = rows[list(chosen)]
        self.rows = rows
        self.matrix: npt.NDArray[Any] = np.linalg.inv(picked.T @ picked + np.diag(precision))
        self.variance: Array = np.einsum("ij,ij->i", rows @ self.matrix, rows)

    def with_all(self, position: int) -> Array:
        """Of every candidate's prediction with that of one."""
        covariance: Array = self.rows @ (self.matrix @ self.rows[position])
        return covariance

    def update(self, position: int, sign: int) -> None:
        """Put a candidate into the design (sign 1) or take it out (-1), by the formula of Sherman and Morrison."""
        along = self.matrix @ self.rows[position]
        scale = 1.0 + sign * float(self.rows[position] @ along)
        self.matrix = self.matrix - sign * np.outer(along, along) / scale
        self.variance = self.variance - sign * (self.rows @ along) ** 2 / scale


class _Exchange:
    """Fedorov's exchange over candidate rows."""

    def __init__(self, rows: Array, precision: Array, pairs: Flags, fixed: Sequence[int]) -> None:
        self.rows, self.precision, self.pairs, self.fixed = rows, precision, pairs, list(fixed)

    def best(self, count: int) -> list[int]:
        work = max(1.0, float(count) * self.rows.size)
        starts = int(np.clip(MOST_WORK / (MOST_PASSES * work), 1, STARTS))
        passes = int(np.clip(MOST_WORK / work, 1, MOST_PASSES))
        designs = [self._improved(self._start(count, start), passes) for start in range(starts)]
        values = [round(_log_det(self.rows[chosen], self.precision), 6) for chosen in designs]
        return designs[values.index(max(values))]

    def _start(self, count: int, start: int) -> list[int]:
        """Cover the pairs of levels, then fill up: by information first, at random in later starts."""
        chosen = list(self.fixed)
        order = np.random.default_rng(start).random(len(self.rows))
        open_pairs = ~self.pairs[chosen].any(axis=0)
        while len(chosen) < count and open_pairs.any():
            gain = self.pairs[:, open_pairs].sum(axis=1) + order
            gain[chosen] = -1.0
            chosen.append(int(gain.argmax()))
            open_pairs &= ~self.pairs[chosen[-1]]
        if start:
            order[chosen] = -1.0
            return chosen + [int(i) for i in np.argsort(-order)[: count - len(chosen)]]
        covariance = _Covariance(self.rows, self.precision, chosen)
        while len(chosen) < count:
            variance = covariance.variance.round(9)
            variance[chosen] = -1.0
            chosen.append(int(variance.argmax()))
            covariance.update(chosen[-1], 1)
        return chosen

    def _improved(self, chosen: list[int], passes: int) -> list[int]:
        """Swap each chosen cell for the one that gains most, as long as any swap gains and no pair is given up."""
        counts = self.pairs[chosen].sum(axis=0)
        for _ in range(passes):
            swapped = False
            covariance = _Covariance(self.rows, self.precision, chosen)  # anew: updates add up rounding errors
            for place in range(len(self.fixed), len(chosen)):
                old = chosen[place]
                variance = covariance.variance
                # Fedorov's ratio of the determinants after and before the swap.
                ratio = (1 + variance) * (1 - variance[old]) + covariance.with_all(old) ** 2
                only_here = self.pairs[old] & (counts == 1)
                if only_here.any():
                    ratio[~self.pairs[:, only_here].all(axis=1)] = -np.inf
                ratio[chosen] = -np.inf
                new = int(ratio.round(9).argmax())
                if ratio[new] <= 1 + 1e-8:
                    continue
                chosen[place] = new
                counts += self.pairs[new].astype(int) - self.pairs[old]
                covariance.update(new, 1)
                covariance.update(old, -1)
                swapped = True
            if not swapped:
                break
        return chosen


def augmented(levels: Sequence[Levels], chosen: Sequence[int], points: Sequence[int], ran: Sequence[int]) -> list[int]:
    """The chosen cells, where those that have run elsewhere take the place of the ones they make least needed.

    What is dropped has not run and follows from `chosen` and from what ran outside of it: it stays dropped while the
    design is being worked off.
    """
    outside = [position for position in ran if position not in set(chosen)]
    kept = [*chosen, *outside]
    removable = [position for position in chosen if position not in {*points, *ran}]
    if not outside or not removable:
        return sorted(kept)
    rows, precision = model_matrix([levels[position] for position in kept])
    pairs = level_pairs([levels[position] for position in kept])
    place = {position: row for row, position in enumerate(kept)}
    inside = np.ones(len(kept), dtype=bool)
    while removable and inside.sum() > len(chosen):
        picked = rows[inside]
        covariance = np.linalg.inv(picked.T @ picked + np.diag(precision))
        alone = pairs[inside].sum(axis=0) == 1
        loss = [
            (bool((pairs[place[p]] & alone).any()), round(float(rows[place[p]] @ covariance @ rows[place[p]]), 9))
            for p in removable
        ]
        least = removable.pop(loss.index(min(loss)))
        inside[place[least]] = False
    return sorted(position for position in kept if inside[place[position]])


# What a design cannot estimate


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
    coding = _Anchored(grid.centre, whole)
    found = []
    for size in (1, 2):
        possible, there = coding.estimable(whole, size), coding.estimable(chosen, size)
        for axes, contrasts in possible.items():
            missing = contrasts - there[axes]
            if missing > 0:
                names = tuple(grid.axes[axis] for axis in axes)
                found.append(Gap(names, missing, contrasts, _never(grid, axes, chosen)))
    return found


def _never(grid: Grid, axes: tuple[int, ...], chosen: Iterable[Levels]) -> tuple[tuple[str, str | None], ...]:
    def part(cell: Levels) -> Levels:
        return tuple(cell[axis] for axis in axes)

    there = {part(cell) for cell in chosen}
    possible: dict[Levels, str | None] = {part(cell): rule for cell, rule in grid.excluded}
    possible |= {part(cell): None for cell in grid.levels}
    return tuple(
        (" with ".join(f"{grid.axes[axis]} {text(level)}" for axis, level in zip(axes, levels, strict=True)), rule)
        for levels, rule in possible.items()
        if levels not in there
    )


def text(level: Level) -> str:
    """A level as it is shown."""
    return "/".join(f"{value:g}" if isinstance(value, float) else str(value) for value in level)


class _Anchored:
    """Indicator columns of the levels that differ from the centre's, and their products by pairs of axes."""

    def __init__(self, centre: Levels, cells: Sequence[Levels]) -> None:
        self.kinds: list[list[Level]] = []
        for axis in range(len(cells[0])):
            kinds = list(dict.fromkeys(cell[axis] for cell in cells))
            reference = centre[axis] if centre and centre[axis] in kinds else kinds[0]
            self.kinds.append([kind for kind in kinds if kind != reference])
        self.varying = [axis for axis, kinds in enumerate(self.kinds) if kinds]

    def estimable(self, cells: Sequence[Levels], size: int) -> dict[tuple[int, ...], int]:
        """Independent contrasts of each axis (size 1) or pair of axes (2) that the cells determine."""
        blocks: dict[tuple[int, ...], Array] = {
            (axis,): np.array([[cell[axis] == kind for kind in self.kinds[axis]] for cell in cells], dtype=float)
            for axis in self.varying
        }
        for a, b in itertools.combinations(self.varying, 2) if size == 2 else ():
            blocks[a, b] = (blocks[(a,)][:, :, None] * blocks[(b,)][:, None, :]).reshape(len(cells), -1)
        matrix = np.hstack([np.ones((len(cells), 1)), *blocks.values()])
        values, vectors = np.linalg.eigh(matrix.T @ matrix)
        null = vectors[:, values < 1e-9 * max(1.0, float(values.max()))]
        found, start = {}, 1
        for axes, block in blocks.items():
            touched = null[start : start + block.shape[1]]
            start += block.shape[1]
            if len(axes) == size:
                unknown = np.linalg.matrix_rank(touched, tol=1e-6) if touched.size else 0
                found[axes] = block.shape[1] - int(unknown)
        return found
