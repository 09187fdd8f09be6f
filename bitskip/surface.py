"""A metric as a function of the techniques inside one stratum, with intervals and scores (EFFECTS 3).

The graded ridge over main effects and pairs is used where it predicts left-out configurations better than the additive
model, beyond chance; otherwise the additive model is, and says so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bitskip.cells import FACTORS, Cell, Levels, Metric, Stratum
from bitskip.effects import student_t_quantile, two_way_fit
from bitskip.encoding import Array, Encoding, encode
from bitskip.errors import UserError
from bitskip.ridge import ADDITIVE_GRID, PAIR_GRID, Ridge, fit_ridge

FEWEST_CONFIGURATIONS = 3
FEWEST_FOR_PAIRS = 12
RESAMPLES = 2000


@dataclass(frozen=True)
class Scores:
    """Quality on left-out configurations; None where it is undefined."""

    r2: float | None
    mae_percent: float | None
    coverage: float | None
    skill: float | None
    skill_low: float | None
    skill_high: float | None


@dataclass(frozen=True)
class Surface:
    """The fitted model of one stratum. `ridge` is the one predictions come from, `pairwise` None if not fitted.

    `trials` are the values of each cell's finished seeds, `new_seeds` the same spread as far as new seeds would be, and
    `values` their means without the shifts of shared seeds.
    """

    cells: tuple[Cell, ...]
    trials: tuple[Array, ...]
    new_seeds: tuple[Array, ...]
    values: Array
    encoding: Encoding
    additive: Ridge
    pairwise: Ridge | None
    kind: str
    skill: tuple[float, float, float] | None
    logarithmic: bool
    baseline: Levels

    @property
    def composes(self) -> bool:
        """Whether composition effects are part of the predictions."""
        return self.kind.startswith("graded")

    @property
    def ridge(self) -> Ridge:
        return self.pairwise if self.composes and self.pairwise is not None else self.additive

    def coded(self, cells: Sequence[Levels]) -> tuple[Array, Array]:
        return self.encoding.main(cells), self.encoding.pairs(cells)

    def mean(self, levels: Levels, ridge: Ridge | None = None) -> float:
        """Expected value on the additive scale."""
        return float((ridge or self.ridge).predict(*self.coded([levels]))[0])

    def deviation(self, contrast: Sequence[tuple[Levels, float]], ridge: Ridge | None = None) -> float:
        """Posterior standard deviation of a contrast of the surface."""
        coded = self.coded([levels for levels, _ in contrast])
        weights = np.array([weight for _, weight in contrast])
        return (ridge or self.ridge).contrast_deviation(*coded, weights)

    def interval(self, levels: Levels, level: float) -> tuple[float, float]:
        """Grouped jackknife+ interval for one new seed of a configuration that was not run (arXiv 1905.02928).

        A configuration's residuals are those of its trials, each weighing 1 / seeds. With fewer configurations than the
        level needs, the interval is at least Student's.
        """
        without = self.ridge.predict_left_out(*self.coded([levels]))[0]
        residuals, groups = self._trial_residuals
        centres = without[groups]
        weights = self._trial_weights
        count = len(self.cells)
        reach = level * (1 + 1 / count)
        high = _weighted_quantile(centres + residuals, weights, reach)
        low = -_weighted_quantile(residuals - centres, weights, reach)
        middle = self.mean(levels)
        if reach >= 1:
            half = self._student_half(level)
            low, high = min(low, middle - half), max(high, middle + half)
        return min(low, middle), max(high, middle)

    def pair_half_width(self, level: float) -> float:
        """Half-width for a pair of levels never run together: quantile of leave-pair-out residuals (EFFECTS 3).

        Every block counts once. It supposes that the new pair interacts no more than the measured ones do; a pair of
        two strong techniques may (EFFECTS 5d: 67 % coverage for the strongest pair, 93 % for a random one).
        """
        magnitudes, weights = self._pair_residuals
        if not len(magnitudes):
            return self.widest()
        blocks = round(float(weights.sum()))
        return _weighted_quantile(magnitudes, weights, level * (1 + 1 / blocks))

    def widest(self) -> float:
        """The largest residual of any trial whose configuration, or pair of levels, was left out."""
        return float(max([*self._trial_residuals[0], *self._pair_residuals[0], self._student_half(0.9)]))

    def scores(self, level: float) -> Scores:
        """Leave-one-configuration-out scores of the chosen model."""
        left_out = self.ridge.left_out
        spread = float(np.sum((self.values - self.values.mean()) ** 2))
        r2 = 1 - float(left_out @ left_out) / spread if spread > 1e-18 else None
        if self.logarithmic:
            mae: float | None = 100 * float(np.mean(np.expm1(np.abs(left_out))))
        else:
            typical = float(np.mean(np.abs(self.values)))
            mae = 100 * float(np.mean(np.abs(left_out))) / typical if typical else None
        skill, low, high = self.skill or (None, None, None)
        return Scores(r2, mae, self._coverage(level), skill, low, high)

    @cached_property
    def _trial_residuals(self) -> tuple[Array, npt.NDArray[np.intp]]:
        """(|new seed - prediction without its configuration|, index of its configuration)."""
        predicted = self.values - self.ridge.left_out
        magnitudes = [np.abs(own - predicted[i]) for i, own in enumerate(self.new_seeds)]
        groups = np.repeat(np.arange(len(self.trials)), [len(own) for own in self.trials])
        return np.concatenate(magnitudes), groups

    @cached_property
    def _trial_weights(self) -> Array:
        weights: Array = np.concatenate([np.full(len(own), 1 / len(own)) for own in self.trials])
        return weights

    def _student_half(self, level: float) -> float:
        magnitudes, _ = self._trial_residuals
        count = len(self.cells)
        typical = float(np.sqrt(np.average(magnitudes**2, weights=self._trial_weights)))
        return student_t_quantile((1 + level) / 2, count - 1) * typical * float(np.sqrt(1 + 1 / count))

    @cached_property
    def _pair_residuals(self) -> tuple[Array, Array]:
        """|trial - prediction without every cell that has both levels of a pair|, and weights of sum one per pair."""
        magnitudes: list[Array] = []
        weights: list[Array] = []
        levels = [cell.levels for cell in self.cells]
        for first, second in itertools.combinations(range(len(FACTORS)), 2):
            for pair in sorted({(own[first], own[second]) for own in levels}, key=repr):
                if self.baseline[first] == pair[0] or self.baseline[second] == pair[1]:
                    continue
                block = [i for i, own in enumerate(levels) if (own[first], own[second]) == pair]
                rest = [own for i, own in enumerate(levels) if i not in block]
                if not all(
                    any(own[index] == level for own in rest) for index, level in zip((first, second), pair, strict=True)
                ):
                    continue
                predicted = self.values[block] - self.ridge.block_residuals(block)
                for i, expected in zip(block, predicted, strict=True):
                    own = np.abs(self.new_seeds[i] - expected)
                    magnitudes.append(own)
                    weights.append(np.full(len(own), 1 / len(own) / len(block)))
        if not magnitudes:
            return np.zeros(0), np.zeros(0)
        return np.concatenate(magnitudes), np.concatenate(weights)

    def _coverage(self, level: float) -> float | None:
        """Share of trials inside the interval that the other configurations' residuals give.

        Every configuration counts once. It checks that residuals are exchangeable, not that the model is good.
        """
        magnitudes, groups = self._trial_residuals
        count = len(self.cells)
        if count <= FEWEST_CONFIGURATIONS:
            return None
        inside = np.empty(count)
        for i in range(count):
            others = groups != i
            reach = level * (1 + 1 / (count - 1))
            half = _weighted_quantile(magnitudes[others], self._trial_weights[others], reach)
            predicted = self.values[i] - self.ridge.left_out[i]
            inside[i] = np.mean(np.abs(self.trials[i] - predicted) <= half)
        return float(inside.mean())


def _weighted_quantile(values: Array, weights: Array, level: float) -> float:
    """Smallest value below or at which a share `level` of the weight lies; the largest one from level 1 on."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    index = int(np.searchsorted(reached, level - 1e-12))
    return float(values[order[min(index, len(order) - 1)]])


def fit_surface(stratum: Stratum, metric: Metric) -> Surface:
    """Fit additive and, with enough configurations, pairwise model; choose by left-out configurations.

    Raises UserError with fewer than three configurations that hold a finished trial.
    """
    measured = [(cell, cell.values(metric)) for cell in stratum.cells]
    measured = [(cell, values) for cell, values in measured if values]
    if len(measured) < FEWEST_CONFIGURATIONS:
        raise UserError(
            f"{len(measured)} configuration(s) with a finished trial at {stratum.label}: prediction needs at least "
            f"{FEWEST_CONFIGURATIONS}; run a sweep with more levels"
        )
    # Where seeds are shared, a cell that lacks one is compared as if it had run them all (EFFECTS 3, target).
    shifts = two_way_fit([values for _, values in measured]).seed_shifts
    adjusted = np.array([np.mean([v - shifts.get(s, 0.0) for s, v in values.items()]) for _, values in measured])
    extra = _shift_inflation(len(shifts)) - 1
    seeds = np.array([len(values) for _, values in measured], dtype=float)
    cells = tuple(cell for cell, _ in measured)
    encoding = encode([cell.levels for cell in cells], int(stratum.scale["model.layers"]))
    coded = [cell.levels for cell in cells]
    main, pairs = encoding.main(coded), encoding.pairs(coded)
    additive = fit_ridge(main, pairs, adjusted, seeds, ADDITIVE_GRID)
    enough = len(cells) >= FEWEST_FOR_PAIRS and pairs.shape[1] > 0
    pairwise = fit_ridge(main, pairs, adjusted, seeds, PAIR_GRID) if enough else None
    skill = skill_over(pairwise.left_out, additive.left_out) if pairwise else None
    return Surface(
        cells=cells,
        trials=tuple(np.array([values[s] for s in sorted(values)]) for _, values in measured),
        new_seeds=tuple(
            np.array([values[s] + extra * shifts.get(s, 0.0) for s in sorted(values)]) for _, values in measured
        ),
        values=adjusted,
        encoding=encoding,
        additive=additive,
        pairwise=pairwise,
        kind=_kind(len(cells), pairs.shape[1], skill),
        skill=skill,
        logarithmic=metric.logarithmic,
        baseline=stratum.baseline,
    )


def _shift_inflation(seeds: int) -> float:
    """How much further than S seeds lie from their own mean a new seed lies from it: root of (S + 1) / (S - 1).

    A seed shifts all configurations together, so that leaving configurations out shows no more than these S shifts.
    This mends the variance, not the tail: where the shift exceeds the noise and S is 2 or 3, simulated 90 % intervals
    for a new seed cover about 80 %. Student's factor would cover, at several times the width.
    """
    return math.sqrt((seeds + 1) / (seeds - 1)) if seeds > 1 else 1.0


def _kind(configurations: int, pairs: int, skill: tuple[float, float, float] | None) -> str:
    if skill is None:
        few = f"fewer than {FEWEST_FOR_PAIRS} configurations"
        return f"additive ({few if pairs else 'no two techniques vary'})"
    value, low, _ = skill
    if low <= 0:
        return f"additive (pairs do not predict left-out configurations better: skill {value:+.2f})"
    return "graded ridge (main effects and pairs)"


def skill_over(residuals: Array, reference: Array) -> tuple[float, float, float]:
    """S = 1 - SSE / SSE(reference) with a 95 % bootstrap interval over configurations.

    Zeros if the reference leaves nothing to gain.
    """
    own, other = residuals**2, reference**2
    if other.sum() < 1e-18:
        return 0.0, 0.0, 0.0
    # A fixed seed: the same results give the same model.
    drawn = np.random.default_rng(0).integers(len(own), size=(RESAMPLES, len(own)))
    sums = other[drawn].sum(axis=1)
    resampled = 1 - own[drawn].sum(axis=1) / np.where(sums > 0, sums, np.inf)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return 1 - float(own.sum() / other.sum()), float(low), float(high)
