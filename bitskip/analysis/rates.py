"""Searches of a learning rate, and effects with each arm at its own best one (docs/effects.md, Rates).

A grid at one rate, or at the best of a few, tells effects *at these rates*. Where three rates or more were run with the
same seeds, a parabola in log2 of the rate through the best and its neighbours gives the loss at each arm's optimum. The
optimum follows the seeds, too: its loss is carried to every seed by its derivative, so that the contrast has a value by
seed as any other, and an interval by Student's t.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.analysis.contrasts import Values, estimate, moebius, treatment_combinations
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import FEWEST_RATES, Cell, Stratum
from bitskip.analysis.levels import Levels, level_label
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.student_t import Estimate

RATE = "lr"


@dataclass(frozen=True)
class Search:
    """One scale at several learning rates: rate to stratum, and losses by rate, cell and seed of the search."""

    strata: Mapping[float, Stratum]
    losses: Mapping[float, Values]

    @property
    def rates(self) -> list[float]:
        return sorted(self.strata)

    def by_rate(self, levels: Levels) -> dict[float, Mapping[int, float]]:
        """Losses of a cell by rate and seed."""
        return {rate: by_cell[levels] for rate, by_cell in self.losses.items() if levels in by_cell}

    def arms(self) -> dict[Levels, dict[float, list[float]]]:
        """Losses of every cell at FEWEST_RATES or more rates, over the seeds that ran at all of them."""
        found = {}
        for levels in dict.fromkeys(levels for by_cell in self.losses.values() for levels in by_cell):
            by_rate = {rate: by_cell[levels] for rate, by_cell in sorted(self.losses.items()) if levels in by_cell}
            seeds = sorted(set.intersection(*(set(own) for own in by_rate.values())))
            if len(by_rate) >= FEWEST_RATES and seeds:
                found[levels] = {rate: [own[seed] for seed in seeds] for rate, own in by_rate.items()}
        return found


def searches(found: Sequence[Stratum]) -> list[Search]:
    """Strata that differ in the learning rate only, three rates or more, in the order of their first."""
    grouped: dict[tuple[object, ...], dict[float, Stratum]] = {}
    for stratum in found:
        if RATE not in stratum.tuned:
            key = tuple((name, value) for name, value in stratum.scale.items() if name != RATE)
            grouped.setdefault(key, {})[float(stratum.scale[RATE])] = stratum
    return [
        Search(by_rate, {rate: _losses(stratum.cells) for rate, stratum in by_rate.items()})
        for by_rate in grouped.values()
        if len(by_rate) >= FEWEST_RATES
    ]


def _losses(cells: Sequence[Cell]) -> Values:
    """Of the seeds of the search where it has its own, else of all."""
    ppl = METRICS["ppl"]
    apart = any(cell.search for cell in cells)
    found = {cell.levels: cell.searched(ppl) if apart else cell.values(ppl) for cell in cells}
    return {levels: own for levels, own in found.items() if own}


@dataclass(frozen=True)
class Parabola:
    """Through the mean losses at the best rate and its neighbours: c + b x + a x², x = log2(rate / best).

    `solved` [3, 3] are c, b, a by the three losses, `losses` [3, seeds] those by rate and seed.
    """

    best: float
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    solved: Array
    losses: Array

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """c, b and a."""
        constant, slope, curvature = self.solved @ self.losses.mean(axis=1)
        return float(constant), float(slope), float(curvature)

    @property
    def optimum(self) -> float:
        """The rate at its lowest point."""
        _, slope, curvature = self.coefficients
        return float(self.best * 2 ** (-slope / (2 * curvature)))

    @property
    def optimum_gradient(self) -> Array:
        """How far log2 of the optimum moves with each of the three losses, [3]."""
        _, slope, curvature = self.coefficients
        return np.asarray(slope / (2 * curvature**2) * self.solved[2] - self.solved[1] / (2 * curvature))

    def at(self, rate: float) -> float:
        constant, slope, curvature = self.coefficients
        x = math.log2(rate / self.best)
        return constant + slope * x + curvature * x**2


def parabola(by_rate: Mapping[float, Mapping[int, float]]) -> Parabola | None:
    """Of losses by rate and seed; None where the best rate is the first or last that was run, or no seed ran at all."""
    rates = sorted(by_rate)
    seeds = sorted(set.intersection(*(set(by_rate[rate]) for rate in rates)))
    if not seeds:
        return None
    means = [statistics.fmean(by_rate[rate][seed] for seed in seeds) for rate in rates]
    best = means.index(min(means))
    if not 0 < best < len(rates) - 1:
        return None
    near = rates[best - 1 : best + 2]
    x = np.log2(near) - math.log2(rates[best])
    losses = np.array([[by_rate[rate][seed] for seed in seeds] for rate in near])
    solved = np.asarray(np.linalg.inv(np.vander(x, 3, increasing=True)), dtype=float)
    return Parabola(rates[best], tuple(near), tuple(seeds), solved, losses)


def at_optimum(by_rate: Mapping[float, Mapping[int, float]]) -> dict[int, float] | None:
    """Loss by seed at the arm's own best rate; None where the best one is the first or last that was run.

    Through the mean losses at the best rate and its neighbours goes a parabola in log2 of the rate. Its lowest value v
    has the derivative dv/dy after the three losses; a seed's value is v + dv/dy (its losses - their means).
    """
    found = parabola(by_rate)
    if found is None:
        return None
    constant, slope, curvature = found.coefficients
    solved, y = found.solved, found.losses
    value = constant - slope**2 / (4 * curvature)
    derivative = solved[0] - slope / (2 * curvature) * solved[1] + (slope / (2 * curvature)) ** 2 * solved[2]
    moved = derivative @ (y - y.mean(axis=1, keepdims=True))
    return {seed: float(value + each) for seed, each in zip(found.seeds, moved, strict=True)}


def best_rate_effects(search: Search, order: int = 2) -> dict[tuple[str, ...], Estimate | None]:
    """Anchored effects between arms at their own best rates; None where one's lies at an edge of the search."""
    arms = {levels: at_optimum(search.by_rate(levels)) for levels in search.arms()}
    largest = max(search.strata.values(), key=lambda stratum: len(stratum.cells))
    found: dict[tuple[str, ...], Estimate | None] = {}
    for treatments in treatment_combinations(largest, order):
        weights = moebius(largest.baseline, treatments)
        if weights and weights.keys() <= arms.keys():
            known = {levels: arms[levels] or {} for levels in weights}
            found[tuple(level_label(*each) for each in treatments)] = estimate([weights], known)
    return found
