"""Seed noise of a stratum as one model: what the predictor weighs trials and widens intervals by (docs/effects.md).

The same seed means the same initial weights and data order in every cell (common random numbers), so a seed can shift
all cells together. The two-way fit value = cell + seed separates that shift from the residual; the residual variance is
then estimated per group of cells (bit width and rotation), moderated towards the pooled value.

A seed can also favour a technique: then the residuals of cells that share it move together (`SeedByTechnique`). Effects
do not rest on any of this: their errors are those of their own values by seed (`by_seed`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bitskip.analysis.design_matrix import Array, indicators, pair_products
from bitskip.analysis.levels import INDEX, Levels

Group = tuple[object, ...]
"""Bit width and rotation: cells whose noise is taken to be alike."""

FEWEST_GROUPS = 3
"""Two variances say nothing about how variances scatter: below this they are pooled."""


@dataclass(frozen=True)
class TwoWayFit:
    """Least squares of value = cell + seed. `squares` and `dfs` split residual squares and freedom over the cells."""

    variance: float | None
    df: int
    seed_shifts: Mapping[int, float]
    squares: tuple[float, ...]
    dfs: tuple[float, ...]


def two_way_fit(cells: Sequence[Mapping[int, float]]) -> TwoWayFit:
    """Fit cell and seed effects to whatever is there: cells may lack seeds, and seeds may be unshared.

    Only cells with several seeds say anything; shifts sum to zero over seeds that are compared, and a seed that no such
    cell holds has none.
    """
    repeated = [index for index, cell in enumerate(cells) if len(cell) > 1]
    seeds = sorted({seed for index in repeated for seed in cells[index]})
    squares, dfs = [0.0] * len(cells), [0.0] * len(cells)
    if not repeated:
        return TwoWayFit(None, 0, {}, tuple(squares), tuple(dfs))
    targets, designs = [], []
    for index in repeated:
        own = sorted(cells[index])
        value = np.array([cells[index][seed] for seed in own])
        indicator = np.array([[seed == s for s in seeds] for seed in own], dtype=float)
        # Centring within the cell removes the cell's own level (Frisch-Waugh).
        targets.append(value - value.mean())
        designs.append(indicator - indicator.mean(axis=0))
    target, design = np.concatenate(targets), np.concatenate(designs)
    # Of all equivalent solutions the shortest one, whose shifts sum to zero.
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-9, hermitian=True)
    shifts = inverse @ (design.T @ target)
    residual = target - design @ shifts
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    df = len(target) - len(repeated) - round(float(leverage.sum()))
    start = 0
    for index in repeated:
        rows = slice(start, start + len(cells[index]))
        squares[index] = float(residual[rows] @ residual[rows])
        dfs[index] = len(cells[index]) - 1 - float(leverage[rows].sum())
        start = rows.stop
    variance = float(residual @ residual) / df if df > 0 else None
    named = {seed: float(shift) for seed, shift in zip(seeds, shifts, strict=True)}
    return TwoWayFit(variance, max(df, 0), named, tuple(squares), tuple(dfs))


POOLING_LEVEL = 0.25
"""Seed x technique is pooled with the residual unless its F-test is below (Bancroft 1964, Biometrics 20: 427)."""


@dataclass(frozen=True)
class SeedByTechnique:
    """Mean squares of the residuals inside each seed, and their degrees of freedom, by space.

    The spaces are orthogonal: main contrasts of the techniques, their pairs, and the rest.
    """

    squares: tuple[float, ...]
    dfs: tuple[float, ...]


@dataclass(frozen=True)
class SeedNoise:
    """Residual variance of one trial, by group of cells; `variance` is the pooled one, None without repeats.

    `unpaired` is the pooled variance over seeds when their common shift is left in; `shift_variance` that of the shift
    itself, with `shift_df` degrees of freedom.
    """

    variance: float | None
    df: float
    seed_shifts: Mapping[int, float] = field(default_factory=dict)
    groups: Mapping[Group, tuple[float, float]] = field(default_factory=dict)
    unpaired: float | None = None
    shift_variance: float = 0.0
    shift_df: int = 0
    by_technique: SeedByTechnique | None = None

    @property
    def own_variance(self) -> float | None:
        """Of a trial beyond what its seed does to its techniques: what tells a cell from its like."""
        return self.by_technique.squares[-1] if self.by_technique else self.variance

    def of(self, levels: Levels) -> tuple[float, float]:
        """(variance, degrees of freedom) of a trial of a cell; only with a pooled variance."""
        if self.variance is None:
            raise ValueError("no cell was repeated")
        return self.groups.get(group_of(levels), (self.variance, self.df))

    def of_trials(self, weights: Mapping[tuple[int, Levels], float]) -> tuple[float, float]:
        """(variance, degrees of freedom) of a weighted sum of trials that are independent and equally noisy."""
        return (self.variance or 0.0) * math.fsum(weight**2 for weight in weights.values()), self.df

    def precision(self, levels: Levels, seeds: int) -> float:
        """How many trials of average noise a cell's mean is worth."""
        if not self.variance:
            return float(seeds)
        return seeds * self.variance / max(self.of(levels)[0], 1e-3 * self.variance)


def group_of(levels: Levels) -> Group:
    """Cells whose noise is taken to be alike: equal bit width and rotation."""
    return levels[INDEX["bits"]][0], levels[INDEX["hadamard"]][0]


def known_noise(seed_sd: float) -> SeedNoise:
    """Noise known from elsewhere, for results without repeats."""
    return SeedNoise(seed_sd**2, math.inf)


def seed_noise(cells: Mapping[Levels, Mapping[int, float]], kind: str = "moderated") -> SeedNoise:
    """Estimate it from every cell's values by seed; `kind` is one of VARIANCES."""
    fitted = two_way_fit(list(cells.values()))
    moderated = kind == "moderated"
    return SeedNoise(
        fitted.variance,
        fitted.df,
        fitted.seed_shifts,
        _by_group(cells, fitted) if moderated and fitted.variance else {},
        _unpaired(cells),
        *_shift_variance(fitted, list(cells.values())),
        _seed_by_technique(cells, fitted) if moderated else None,
    )


def _by_group(cells: Iterable[Levels], fitted: TwoWayFit) -> dict[Group, tuple[float, float]]:
    """(moderated variance, degrees of freedom) of the groups that have some of their own."""
    sums: dict[Group, tuple[float, float]] = {}
    for levels, squares, df in zip(cells, fitted.squares, fitted.dfs, strict=True):
        total, freedom = sums.get(group_of(levels), (0.0, 0.0))
        sums[group_of(levels)] = (total + squares, freedom + df)
    groups = moderate({group: (total / df, df) for group, (total, df) in sums.items() if df >= 1.0 and total > 0})
    return {group: (variance, min(df, fitted.df)) for group, (variance, df) in groups.items()}


def _seed_by_technique(cells: Mapping[Levels, Mapping[int, float]], fitted: TwoWayFit) -> SeedByTechnique | None:
    """None where residuals of cells that share techniques do not move together, or too few are left to tell."""
    repeated = [levels for levels, values in cells.items() if len(values) > 1]
    blocks = indicators(repeated)
    if not blocks or not fitted.variance:
        return None
    count = len(repeated)
    spaces = [np.ones((count, 1)), np.hstack(blocks)]
    if len(blocks) > 1:
        spaces.append(np.hstack(pair_products(blocks)))
    bases = _orthogonal(spaces)[1:]
    seeds = sorted(fitted.seed_shifts)
    residuals = np.zeros((count, len(seeds)))
    for row, levels in enumerate(repeated):
        own = {seed: value - fitted.seed_shifts[seed] for seed, value in cells[levels].items()}
        for seed, value in own.items():
            residuals[row, seeds.index(seed)] = value - sum(own.values()) / len(own)
    # With cells that lack seeds the split is approximate: they count as if their residual there were zero.
    repeats = sum(len(cells[levels]) for levels in repeated) / count - 1
    sums = [float(np.sum((basis.T @ residuals) ** 2)) for basis in bases]
    dfs = [basis.shape[1] * repeats for basis in bases]
    sums.append(float(np.sum(residuals**2)) - sum(sums))
    dfs.append((count - 1) * repeats - sum(dfs))
    if dfs[-1] < 2 or min(dfs) < 0.5 or sums[-1] <= 1e-12 * sums[0]:
        return None
    squares = [total / df for total, df in zip(sums, dfs, strict=True)]
    from scipy.special import fdtrc

    if fdtrc(dfs[0], dfs[-1], squares[0] / squares[-1]) > POOLING_LEVEL:
        return None
    # A wider space cannot be less certain than a narrower one: where it seems so, that is chance.
    for space in reversed(range(len(squares) - 1)):
        squares[space] = max(squares[space], squares[space + 1])
    return SeedByTechnique(tuple(squares), tuple(dfs))


def _orthogonal(spaces: Sequence[Array]) -> list[Array]:
    """An orthonormal basis of each space beyond those before it."""
    found: list[Array] = []
    for space in spaces:
        rest = space.copy()
        for basis in found:
            rest = rest - basis @ (basis.T @ rest)
        left, singular, _ = np.linalg.svd(rest, full_matrices=False)
        found.append(left[:, singular > 1e-8])
    return found


def _unpaired(cells: Mapping[Levels, Mapping[int, float]]) -> float | None:
    """Variance over the seeds of a cell, pooled."""
    repeated = [np.array(list(values.values())) for values in cells.values() if len(values) > 1]
    squares = sum(float(np.sum((values - values.mean()) ** 2)) for values in repeated)
    return squares / sum(len(values) - 1 for values in repeated) if repeated else None


def _shift_variance(fitted: TwoWayFit, cells: Sequence[Mapping[int, float]]) -> tuple[float, int]:
    """Variance between seeds' shifts, less what the residual alone would make of it; and its degrees of freedom."""
    shifts = np.array(list(fitted.seed_shifts.values()))
    if len(shifts) < 2 or fitted.df < 1:
        return 0.0, 0
    held = [sum(seed in cell for cell in cells if len(cell) > 1) for seed in fitted.seed_shifts]
    # The mean of `held` residuals, for each of the seeds.
    residual = (fitted.variance or 0.0) * float(np.mean([1 / count for count in held]))
    return max(float(shifts.var(ddof=1)) - residual, 0.0), len(shifts) - 1


def moderate(groups: Mapping[Group, tuple[float, float]]) -> dict[Group, tuple[float, float]]:
    """Variances by group (variance, df), shrunk towards each other as far as their scatter is chance.

    Empirical Bayes of limma (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3: 3, section 6.2): a scaled inverse chi-square
    prior whose d0 and s0 match mean and variance of log s^2; the result has df + d0 degrees of freedom. Empty if there
    are fewer than FEWEST_GROUPS or no more scatter than chance: then the pooled variance stands.
    """
    if len(groups) < FEWEST_GROUPS:
        return {}
    from scipy.special import digamma, polygamma

    variances = np.array([variance for variance, _ in groups.values()])
    dfs = np.array([df for _, df in groups.values()])
    centred = np.log(variances) - digamma(dfs / 2) + np.log(dfs / 2)
    scatter = float(centred.var(ddof=1) - polygamma(1, dfs / 2).mean())
    if scatter <= 0:
        return {}
    half_prior = _inverse_trigamma(scatter)
    prior = math.exp(float(centred.mean()) + float(digamma(half_prior)) - math.log(half_prior))
    prior_df = 2 * half_prior
    return {
        group: ((prior_df * prior + df * variance) / (prior_df + df), prior_df + df)
        for group, (variance, df) in groups.items()
    }


def _inverse_trigamma(value: float) -> float:
    """y with trigamma(y) = value, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return y
