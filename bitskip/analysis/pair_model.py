"""Effects where corners were not run: by least squares of single effects and pairs (docs/effects.md, Missing corners).

A fractional or damaged design has few complete corners, but its cells together can determine an effect if three
techniques do nothing beyond their pairs, or if the other pairs are chance. What the cells show against that widens the
interval, and what seeds do is told from the effect's own values by seed, as everywhere.
"""

from __future__ import annotations

import itertools
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
LEAST_FREEDOM = 2.0
"""Degrees of freedom of the misfit below which nothing is known of what the model leaves out."""


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
        """A contrast, run or not, as far as the model determines it; None where it does not.

        Nor does a model that has hardly more cells than terms: what it leaves out would go unseen.
        """
        if not self.trials or self._excess is None or self._excess[1] < LEAST_FREEDOM:
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
        misfit = self._misfit(of_trial, weights)
        return of_parts(value, [over_seeds, misfit], len(self.seeds))

    @cached_property
    def _run_terms(self) -> Array:
        """[cells that were run, terms]"""
        return self._terms(self.cells)[self._was_run]

    @cached_property
    def _was_run(self) -> list[bool]:
        return [levels in self._place for levels in self.cells]

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

    def _misfit(self, of_trial: Array, weights: Weights) -> tuple[float, float]:
        """(variance, degrees of freedom) of what the model leaves out: `_left_out`, each of one variance by chance.

        What one of them does to a contrast is what it adds to the cells that were run, less what it would to those that
        are asked for. Cells that share it move together, so that many cells make it no smaller.
        """
        assert self._excess is not None
        variance, df = self._excess
        terms = self._left_out([*self.cells, *weights])
        run, asked = terms[: len(self.cells)][self._was_run], terms[len(self.cells) :]
        load = np.bincount(self._cell, of_trial, len(self.run)) @ run - np.array(list(weights.values())) @ asked
        return variance * float(load @ load), df

    @cached_property
    def _excess(self) -> tuple[float, float] | None:
        """(variance, degrees of freedom) of one effect that was left out, from the residuals' means.

        Their squares less what chance within seeds makes of them, over what a unit variance would; degrees of freedom
        after Satterthwaite. None without cells to spare.
        """
        count, terms = len(self.run), self._left_out(self.cells)[self._was_run]
        maker = np.eye(count) - self._run_terms @ np.linalg.pinv(self._run_terms)
        freedom = round(float(np.trace(maker)))
        unit = maker @ terms @ terms.T @ maker
        expected = float(np.trace(unit))
        if freedom < 1 or expected < TOLERANCE:
            return None
        held = np.bincount(self._cell, minlength=count)
        means = np.bincount(self._cell, self._residual, count) / held
        deviations = np.zeros((count, len(self.seeds)))
        deviations[self._cell, self._seed] = self._residual - means[self._cell]
        repeats = len(self.trials) / count
        chance = float(((maker @ deviations) ** 2).sum()) / (freedom * (repeats - 1)) if repeats > 1 else 0.0
        excess = (float(held @ means**2) - freedom * chance) / repeats
        return max(excess, 0.0) / expected, expected**2 / float((unit**2).sum())

    def _terms(self, cells: Sequence[Levels]) -> Array:
        """[cells, 1 and single effects and pairs]; more cells with the same levels add rows only."""
        blocks = indicators(cells)
        varied = [name for name, index in INDEX.items() if len({levels[index] for levels in cells}) > 1]
        chosen = blocks if self.pair is None else [b for n, b in zip(varied, blocks, strict=True) if n in self.pair]
        return np.hstack([np.ones((len(cells), 1)), *blocks, *pair_products(chosen)])

    def _left_out(self, cells: Sequence[Levels]) -> Array:
        """[cells, 0 or 1 for each combination of levels of] three factors, or of two that are not the model's pair."""
        varied = {}
        for name, index in INDEX.items():
            known = sorted({levels[index] for levels in cells}, key=repr)
            if len(known) > 1:
                varied[name] = np.array([[own[index] == level for level in known] for own in cells], dtype=float)
        blocks = [np.zeros((len(cells), 0))]
        for names in itertools.combinations(varied, 3 if self.pair is None else 2):
            if frozenset(names) != self.pair:
                product = np.ones((len(cells), 1))
                for name in names:
                    product = (product[:, :, None] * varied[name][:, None, :]).reshape(len(cells), -1)
                blocks.append(product)
        return np.hstack(blocks)
