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
from bitskip.analysis.student_t import CONFIDENCE, Estimate, of_parts, student_t_quantile

TOLERANCE = 1e-6
FEWEST_SEEDS = 1.5
"""Effective number of seeds below which nothing is known of what seeds do."""
LEAST_FREEDOM = 2.0
"""Degrees of freedom of the misfit below which nothing is known of what the model leaves out."""
READINGS = ((False, False), (True, False), (True, True))
"""What is supposed of effects that were left out: whether a baseline level has none; whether triples act like pairs."""


class PairModel:
    """Least squares of trials on single effects, pairs and seeds, for the cells of one stratum.

    Of pairs all, or the one `pair` of factors: then all others are taken as chance, and what they do is misfit.
    """

    def __init__(
        self, cells: Sequence[Levels], values: Values, baseline: Levels, pair: frozenset[str] | None = None
    ) -> None:
        self.cells = list(cells)
        self.baseline = baseline
        self.pair = pair
        self.run = [levels for levels in self.cells if values.get(levels)]
        self.trials = [(levels, seed, value) for levels in self.run for seed, value in values[levels].items()]
        self.seeds = sorted({seed for _, seed, _ in self.trials})

    def estimate(self, weights: Weights) -> Estimate | None:
        """A contrast, run or not, as far as the model determines it; None where it does not.

        Nor does a model that has hardly more cells than terms: what it leaves out would go unseen.
        """
        if not self.trials or not self._excess:
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

    def _misfit(self, of_trial: Array, weights: Weights) -> tuple[float, float]:
        """(variance, degrees of freedom) of what the model leaves out, each of it of one variance by chance.

        What one effect does to a contrast is what it adds to the cells that were run, less what it would to those that
        are asked for. Cells that share it move together, so that many cells make it no smaller. Nothing tells which of
        the readings holds: it is the one that makes the interval widest.
        """
        shares = np.concatenate([np.bincount(self._cell, of_trial, len(self.run)), -np.array(list(weights.values()))])
        found = []
        for reading, (variance, df) in self._excess.items():
            load = shares @ self._left_out([*self.run, *weights], *reading) @ shares
            found.append((variance * float(load), df))
        return max(found, key=lambda part: part[0] * student_t_quantile((1 + CONFIDENCE) / 2, part[1]) ** 2)

    @cached_property
    def _excess(self) -> dict[tuple[bool, bool], tuple[float, float]]:
        """(variance, degrees of freedom) of one effect that was left out, by reading, from the residuals' means.

        Their squares less what chance within seeds makes of them, over what a unit variance would; degrees of freedom
        after Satterthwaite. Readings without cells to spare are not there.
        """
        count = len(self.run)
        maker = np.eye(count) - self._run_terms @ np.linalg.pinv(self._run_terms)
        freedom = round(float(np.trace(maker)))
        if freedom < 1:
            return {}
        held = np.bincount(self._cell, minlength=count)
        means = np.bincount(self._cell, self._residual, count) / held
        deviations = np.zeros((count, len(self.seeds)))
        deviations[self._cell, self._seed] = self._residual - means[self._cell]
        repeats = len(self.trials) / count
        chance = float(((maker @ deviations) ** 2).sum()) / (freedom * (repeats - 1)) if repeats > 1 else 0.0
        excess = max((float(held @ means**2) - freedom * chance) / repeats, 0.0)
        found = {}
        for reading in READINGS:
            unit = maker @ self._left_out(self.run, *reading) @ maker
            expected = float(np.trace(unit))
            df = expected**2 / float((unit**2).sum()) if expected > TOLERANCE else 0.0
            if df >= LEAST_FREEDOM:
                found[reading] = excess / expected, df
        return found

    def _terms(self, cells: Sequence[Levels]) -> Array:
        """[cells, 1 and single effects and pairs]; more cells with the same levels add rows only."""
        blocks = indicators(cells)
        varied = [name for name, index in INDEX.items() if len({levels[index] for levels in cells}) > 1]
        chosen = blocks if self.pair is None else [b for n, b in zip(varied, blocks, strict=True) if n in self.pair]
        return np.hstack([np.ones((len(cells), 1)), *blocks, *pair_products(chosen)])

    def _left_out(self, cells: Sequence[Levels], anchored: bool, triples: bool) -> Array:
        """[cells, cells] covariance of what the model leaves out, for effects of variance 1.

        These are combinations of levels of three factors, or of two that are not the model's pair, with or without
        `triples`. They scatter around their mean, or, `anchored`, around nothing where a level is the baseline's.
        """
        alike = {}
        for name, index in INDEX.items():
            known = [self.baseline[index], *{levels[index] for levels in cells} - {self.baseline[index]}]
            if len(known) > 1:
                at = np.array([known.index(levels[index]) for levels in cells])
                alike[name] = (at[:, None] == at) & ((at > 0) | (not anchored))
        found = np.zeros((len(cells), len(cells)))
        fewest = 3 if self.pair is None else 2
        for order in range(fewest, 4 if triples else fewest + 1):
            for names in itertools.combinations(alike, order):
                if frozenset(names) != self.pair:
                    found += np.logical_and.reduce([alike[name] for name in names])
        return found
