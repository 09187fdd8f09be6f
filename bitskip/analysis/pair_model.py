"""Effects where corners were not run: by least squares of single effects and pairs (docs/effects.md, Missing corners).

A fractional or damaged design has few complete corners, but its cells together can determine an effect if three
techniques do nothing beyond their pairs. What the cells show against that widens the interval, and what seeds do is
told from the effect's own values by seed, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bitskip.analysis.contrasts import Values, Weights
from bitskip.analysis.design_matrix import Array, indicators, pair_products
from bitskip.analysis.levels import Levels
from bitskip.analysis.student_t import Estimate, satterthwaite

TOLERANCE = 1e-6
FEWEST_SEEDS = 1.5
"""Effective number of seeds below which nothing is known of what seeds do."""


class PairModel:
    """Least squares of trials on single effects, pairs and seeds, for the cells of one stratum."""

    def __init__(self, cells: Sequence[Levels], values: Values) -> None:
        self.cells = list(cells)
        self.run = [levels for levels in self.cells if values.get(levels)]
        self.trials = [(levels, seed, value) for levels in self.run for seed, value in values[levels].items()]
        self.seeds = sorted({seed for _, seed, _ in self.trials})

    def estimate(self, weights: Weights) -> Estimate | None:
        """A contrast, run or not, as far as the model determines it; None where it does not."""
        if not self.trials:
            return None
        order = list(dict.fromkeys([*self.cells, *weights]))
        blocks = indicators(order)
        terms = np.hstack([np.ones((len(order), 1)), *blocks, *pair_products(blocks)])
        place = {levels: index for index, levels in enumerate(order)}
        wanted = np.sum([weight * terms[place[levels]] for levels, weight in weights.items()], axis=0)
        rows = np.array([place[levels] for levels, _, _ in self.trials])
        shifts = np.array([[seed == own for own in self.seeds[1:]] for _, seed, _ in self.trials], dtype=float)
        design = np.hstack([terms[rows], shifts.reshape(len(rows), -1)])
        inverse = np.linalg.pinv(design.T @ design, rcond=1e-10, hermitian=True)
        target = np.concatenate([wanted, np.zeros(design.shape[1] - len(wanted))])
        if not wanted.any() or np.abs(design.T @ (design @ (inverse @ target)) - target).max() > TOLERANCE:
            return None
        of_trial = design @ (inverse @ target)
        measured = np.array([value for _, _, value in self.trials])
        residual = measured - design @ (inverse @ (design.T @ measured))
        parts = self._over_seeds(of_trial, residual)
        value = float(of_trial @ measured)
        if parts is None:
            return Estimate(value, None, 0, len(self.seeds))
        run = terms[[place[levels] for levels in self.run]]
        misfit = self._misfit(run, of_trial, residual)
        variance, df = satterthwaite([parts, misfit] if misfit else [parts])
        return Estimate(value, math.sqrt(variance), df, len(self.seeds))

    def _over_seeds(self, of_trial: Array, residual: Array) -> tuple[float, float] | None:
        """(variance, degrees of freedom) of what seeds add, each seed one draw; None with one."""
        own = np.array([self.seeds.index(seed) for _, seed, _ in self.trials])
        count = len(self.seeds)
        added = np.bincount(own, of_trial * residual, count)
        load = np.bincount(own, of_trial**2, count)
        effective = float(load.sum() ** 2 / (load**2).sum())
        if effective < FEWEST_SEEDS:
            return None
        return effective / (effective - 1) * float(added @ added), effective - 1

    def _misfit(self, run: Array, of_trial: Array, residual: Array) -> tuple[float, float] | None:
        """(variance, degrees of freedom) of what cells add beyond seeds because three techniques do do something.

        From the residuals' means by cell, less what chance within seeds makes of them; None without cells to spare.
        """
        count, freedom = len(run), len(run) - int(np.linalg.matrix_rank(run))
        if freedom < 1:
            return None
        cell = np.array([self.run.index(levels) for levels, _, _ in self.trials])
        seed = np.array([self.seeds.index(own) for _, own, _ in self.trials])
        held = np.bincount(cell, minlength=count)
        means = np.bincount(cell, residual, count) / held
        deviations = np.zeros((count, len(self.seeds)))
        deviations[cell, seed] = residual - means[cell]
        beyond = deviations - run @ np.linalg.lstsq(run, deviations, rcond=None)[0]
        repeats = len(self.trials) / count - 1
        chance = float((beyond**2).sum()) / (freedom * repeats) if repeats > 0 else 0.0
        excess = float(held @ means**2) / freedom - chance
        of_cell = np.bincount(cell, of_trial, count)
        return max(excess, 0.0) / (len(self.trials) / count) * float(of_cell @ of_cell), freedom
