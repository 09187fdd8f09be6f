"""Bayesian D-optimal fractions of a grid (docs/designs.md, Fractional). Cells in, positions out; numpy inside."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitskip.errors import UserError
from bitskip.sweep.grid import Level, Levels

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PAIR_PRECISION = 4.0
"""Prior precision of a pair effect for columns of unit mean square, in units of the noise: tau = 1 for columns of range
1, as DuMouchel and Jones advise (the product of two two-level contrasts has range 2)."""

MAIN_PRECISION = 1e-6
"""As good as none: main effects are to be estimated from the data alone."""

MOST_CANDIDATES = 20_000
"""Of a larger grid the exchange sees a fixed random part."""

MOST_TERMS = 2_000
"""Main and pair effects up to which a fraction is chosen: their covariance is inverted again and again."""

STARTS, MOST_PASSES = 8, 20
MOST_WORK = 5e8
"""Multiplications that the exchange may take, a second or two: fewer starts and passes on a large grid."""


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
    pairs = np.hstack([np.zeros((size, 0)), *(products(a, b) for a, b in itertools.combinations(blocks, 2))])
    pairs = pairs - main @ (main.T @ pairs) / size
    mean_square = (pairs**2).mean(axis=0)
    there = mean_square > 1e-9
    pairs = pairs[:, there] / np.sqrt(mean_square[there])
    precision = np.concatenate([np.full(main.shape[1], MAIN_PRECISION), np.full(pairs.shape[1], PAIR_PRECISION)])
    return np.hstack([main, pairs]), precision


def products(first: Array, second: Array) -> Array:
    """[cells, columns]: every column of the one times every column of the other."""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)


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


def level_pairs(levels: Sequence[Levels]) -> Flags:
    """[cells, pairs]: which of all pairs of levels that occur anywhere each cell has."""
    found = [[(*a, *b) for a, b in itertools.combinations(enumerate(cell), 2)] for cell in levels]
    index = {pair: at for at, pair in enumerate(dict.fromkeys(itertools.chain.from_iterable(found)))}
    flags = np.zeros((len(levels), len(index)), dtype=bool)
    for row, pairs in enumerate(found):
        flags[row, [index[pair] for pair in pairs]] = True
    return flags


def d_optimal(
    levels: Sequence[Levels], count: int, fixed: Sequence[int] = (), costs: Sequence[float] | None = None
) -> list[int]:
    """`count` cells, the `fixed` among them, that determine main and pair effects best; every pair of levels is in one.

    Bayesian D-optimality by Fedorov's exchange from a greedy and from random starts, in the same order every time;
    fewer cells than it takes to cover all pairs cover as many as they can. With `costs`, what a cell tells is divided
    by what it costs. Raises UserError for more than `MOST_TERMS`.
    """
    if count >= len(levels):
        return list(range(len(levels)))
    widths = [len(set(column)) - 1 for column in zip(*levels, strict=True)]
    terms = 1 + sum(widths) + sum(a * b for a, b in itertools.combinations(widths, 2))
    if terms > MOST_TERMS:
        cure = f"take fewer levels, or `design: {{random: {count}}}`"
        raise UserError(f"design: main and pair effects are {terms:,} terms, more than {MOST_TERMS:,}; {cure}")
    candidates = list(range(len(levels)))
    if len(levels) > MOST_CANDIDATES:
        candidates = sorted({*random.Random(0).sample(candidates, MOST_CANDIDATES), *fixed})
    places = {at: place for place, at in enumerate(candidates)}
    exchange = _Exchange([levels[at] for at in candidates], [places[at] for at in dict.fromkeys(fixed)])
    if costs is not None:
        effort = np.array([costs[at] for at in candidates])
        exchange.rows = exchange.rows / np.sqrt(effort / effort.mean())[:, None]
    return sorted(candidates[at] for at in exchange.best(max(count, len(exchange.fixed))))


class _Covariance:
    """(X'X + prior precision)^-1 of a design, and with it the variance of every candidate's prediction."""

    def __init__(self, rows: Array, precision: Array, chosen: Sequence[int]) -> None:
        picked = rows[list(chosen)]
        self.rows = rows
        self.matrix: npt.NDArray[Any] = np.linalg.inv(picked.T @ picked + np.diag(precision))
        self.variance: Array = np.einsum("ij,ij->i", rows @ self.matrix, rows)

    def update(self, position: int, sign: int) -> None:
        """Put a candidate into the design (sign 1) or take it out (-1), by the formula of Sherman and Morrison."""
        along = self.matrix @ self.rows[position]
        scale = 1.0 + sign * float(self.rows[position] @ along)
        self.matrix = self.matrix - sign * np.outer(along, along) / scale
        self.variance = self.variance - sign * (self.rows @ along) ** 2 / scale


class _Exchange:
    """Fedorov's exchange over candidate cells."""

    def __init__(self, levels: Sequence[Levels], fixed: Sequence[int]) -> None:
        self.rows, self.precision = model_matrix(levels)
        self.pairs, self.fixed = level_pairs(levels), list(fixed)

    def best(self, count: int) -> list[int]:
        work = max(1.0, float(count) * self.rows.size)
        starts = int(np.clip(MOST_WORK / (MOST_PASSES * work), 1, STARTS))
        passes = int(np.clip(MOST_WORK / work, 1, MOST_PASSES))
        designs = [self._improved(self._start(count, start), passes) for start in range(starts)]
        return max(designs, key=self._information)  # of equals the first

    def _information(self, chosen: list[int]) -> float:
        """ln det(X'X + prior precision), rounded so that every machine finds the same designs equal."""
        picked = self.rows[chosen]
        return round(float(np.linalg.slogdet(picked.T @ picked + np.diag(self.precision))[1]), 6)

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
            before = list(chosen)
            covariance = _Covariance(self.rows, self.precision, chosen)  # anew: updates add up rounding errors
            for place in range(len(self.fixed), len(chosen)):
                old = chosen[place]
                variance, with_old = covariance.variance, self.rows @ (covariance.matrix @ self.rows[old])
                # Fedorov's ratio of the determinants after and before the swap.
                ratio = (1 + variance) * (1 - variance[old]) + with_old**2
                only_here = self.pairs[old] & (counts == 1)
                ratio[~self.pairs[:, only_here].all(axis=1)] = -np.inf
                ratio[chosen] = -np.inf
                new = int(ratio.round(9).argmax())
                if ratio[new] > 1 + 1e-8:
                    chosen[place] = new
                    counts += self.pairs[new].astype(int) - self.pairs[old]
                    covariance.update(new, 1)
                    covariance.update(old, -1)
            if chosen == before:
                break
        return chosen


def augmented(levels: Sequence[Levels], chosen: Sequence[int], points: Sequence[int], ran: Sequence[int]) -> list[int]:
    """The chosen cells, where those that have run elsewhere take the place of the ones they make least needed.

    What is dropped has not run and follows from `chosen` and from what ran outside of it: it stays dropped while the
    design is being worked off.
    """
    outside = [position for position in ran if position not in set(chosen)]
    if not outside:
        return sorted(chosen)
    kept = [*chosen, *outside]
    rows, precision = model_matrix([levels[position] for position in kept])
    pairs = level_pairs([levels[position] for position in kept])
    inside = list(range(len(kept)))
    removable = [row for row, position in enumerate(chosen) if position not in {*points, *ran}]
    while removable and len(inside) > len(chosen):
        picked = rows[inside]
        covariance = np.linalg.inv(picked.T @ picked + np.diag(precision))
        alone = pairs[inside].sum(axis=0) == 1
        loss = [(bool((pairs[r] & alone).any()), round(float(rows[r] @ covariance @ rows[r]), 9)) for r in removable]
        least = removable.pop(loss.index(min(loss)))
        inside.remove(least)
    return sorted(kept[row] for row in inside)
