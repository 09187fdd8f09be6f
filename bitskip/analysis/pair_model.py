"""Effects where corners were not run: by least squares of single effects and pairs (docs/effects.md, Missing corners).

A fractional or damaged design has few complete corners, but its cells together can determine an effect if three
techniques do nothing beyond their pairs, or if the other pairs are chance. What the cells show against that widens the
interval, and what seeds do is told from the effect's own values by seed, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from bitskip.analysis.contrasts import Values, Weights
from bitskip.analysis.design_matrix import Array, indicators, pair_products
from bitskip.analysis.levels import INDEX, Levels
from bitskip.analysis.student_t import Estimate, of_parts

TOLERANCE = 1e-6
FEWEST_SEEDS = 1.5
"""Effective number of seeds below which nothing is known of what seeds do."""


class PairModel:
    """Least squares of trials on single effects, pairs and seeds, for the cells of one stratum.

    Of pairs all, or the one `pair` of factors: then all others are taken as chance, and what they do is misfit.
    """

    def __init__(self, cells: Sequence[Levels], values: Values, pair: frozenset[str] | None = None) -> None:
        self.cells = list(cells)
        self.pair = pair
        self.run = [levels for levels in self.cells if values.get(levels)]
        self.trials = [(levels, seed, value) for levels in self.run for seed, value in values[levels].items()]
        self.seeds = sorted({seed for _, seed, _ in self.trials})

    def estimate(self, weights: Weights) -> Estimate | None:
        """A contrast, run or not, as far as the model determines it; None where it does not."""
        if not self.trials:
            return None
        terms = self._terms([*self.cells, *weights])[len(self.cells) :]
        wanted = np.array(list(weights.values())) @ terms
        target = np.concatenate([wanted, np.zeros(len(self.seeds) - 1)])
        solved = self._inverse @ target
        if not wanted.any() or np.abs(self._normal @ solved - target).max() > TOLERANCE:
            return None
        of_trial = self._design @ solved
        value = float(of_trial @ self._measured)
        over_seeds = self._over_seeds(of_trial)
        if over_seeds is None:
            return Estimate(value, None, 0, len(self.seeds))
        misfit = self._misfit(of_trial)
        return of_parts(value, [over_seeds, misfit] if misfit else [over_seeds], len(self.seeds))

    @cached_property
    def _run_terms(self) -> Array:
        """[cells that were run, terms]"""
        return self._terms(self.cells)[[levels in self._place for levels in self.cells]]

    @cached_property
    def _place(self) -> dict[Levels, int]:
        return {levels: index for index, levels in enumerate(self.run)}

    @cached_property
    def _design(self) -> Array:
        """[trials, terms and seeds but the first]"""
        shifts = np.array([[seed == own for own in self.seeds[1:]] for _, seed, _ in self.trials], dtype=float)
        return np.hstack([self._run_terms[self._cell], shifts.reshape(len(self.trials), -1)])

    @cached_property
    def _normal(self) -> Array:
        return self._design.T @ self._design

    @cached_property
    def _inverse(self) -> Array:
        return np.asarray(np.linalg.pinv(self._normal, rcond=1e-10, hermitian=True), dtype=np.float64)

    @cached_property
    def _cell(self) -> Array:
        return np.array([self._place[levels] for levels, _, _ in self.trials])

    @cached_property
    def _seed(self) -> Array:
        return np.array([self.seeds.index(seed) for _, seed, _ in self.trials])

    @cached_property
    def _measured(self) -> Array:
        return np.array([value for _, _, value in self.trials])

    @cached_property
    def _residual(self) -> Array:
        return self._measured - self._design @ (self._inverse @ (self._design.T @ self._measured))

    def _over_seeds(self, of_trial: Array) -> tuple[float, float] | None:
        """(variance, degrees of freedom) of what seeds add, each seed one draw; None with one."""
        count = len(self.seeds)
        added = np.bincount(self._seed, of_trial * self._residual, count)
        load = np.bincount(self._seed, of_trial**2, count)
        effective = float(load.sum() ** 2 / (load**2).sum())
        if effective < FEWEST_SEEDS:
            return None
        return effective / (effective - 1) * float(added @ added), effective - 1

    def _misfit(self, of_trial: Array) -> tuple[float, float] | None:
        """(variance, degrees of freedom) of what cells add beyond seeds because three techniques do do something."""
        if self._excess is None:
            return None
        variance, df = self._excess
        of_cell = np.bincount(self._cell, of_trial, len(self.run))
        return variance * float(of_cell @ of_cell), df

    @cached_property
    def _excess(self) -> tuple[float, float] | None:
        """Variance of cells around the model, from the residuals' means less what chance within seeds makes of them.

        None without cells to spare.
        """
        count = len(self.run)
        freedom = count - int(np.linalg.matrix_rank(self._run_terms))
        if freedom < 1:
            return None
        held = np.bincount(self._cell, minlength=count)
        means = np.bincount(self._cell, self._residual, count) / held
        deviations = np.zeros((count, len(self.seeds)))
        deviations[self._cell, self._seed] = self._residual - means[self._cell]
        beyond = deviations - self._run_terms @ np.linalg.lstsq(self._run_terms, deviations, rcond=None)[0]
        repeats = len(self.trials) / count
        chance = float((beyond**2).sum()) / (freedom * (repeats - 1)) if repeats > 1 else 0.0
        excess = float(held @ means**2) / freedom - chance
        return max(excess, 0.0) / repeats, freedom

    def _terms(self, cells: Sequence[Levels]) -> Array:
        """[cells, 1 and single effects and pairs]; more cells with the same levels add rows only."""
        blocks = indicators(cells)
        varied = [name for name, index in INDEX.items() if len({levels[index] for levels in cells}) > 1]
        chosen = blocks if self.pair is None else [b for n, b in zip(varied, blocks, strict=True) if n in self.pair]
        return np.hstack([np.ones((len(cells), 1)), *blocks, *pair_products(chosen)])
