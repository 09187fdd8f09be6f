"""Techniques as numbers: what the predictor knows of a level (docs/prediction.md, Model).

Each factor's levels become features that respect their meaning (a bit width is a damage, a dropout schedule a mean
rate, a size its place in a scaling law), which are then centred and whitened over the measured levels: orthonormal
sum-to-zero contrasts, as many as the features have rank. Where that is fewer than the levels could support, an
indicator for each measured level stands beside them, so that a step between two levels can be fitted. A level's place
says how far apart two levels are: their ranks where one number orders them, else the distance of their features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, SIZES, Level, Levels
from bitskip.techniques import registry
from bitskip.trial.config import AXES, ModelConfig
from bitskip.trial.cost import non_embedding_parameters

Array = npt.NDArray[np.float64]
Codes = dict[str, Array]
"""By factor that varies: its contrasts, [cells, columns]."""

Features = Callable[[Level, int], dict[str, float]]

PARAMETERS_EXPONENT, TOKENS_EXPONENT = 0.34, 0.28
"""alpha and beta of L = E + A N^-alpha + B D^-beta (Hoffmann et al., arXiv 2203.15556, approach 3)."""


def _model(level: Level, layers: int) -> dict[str, float]:
    params = non_embedding_parameters(ModelConfig(*level))
    return {"log parameters": math.log(params), "law": params**-PARAMETERS_EXPONENT}


def _tokens(level: Level, layers: int) -> dict[str, float]:
    return {"log tokens": math.log(level[0]), "law": level[0] ** -TOKENS_EXPONENT}


def _features_of(factor: str) -> Features:
    """(level, layers of the model) to numbers: what the factor's technique says of it, or the law of a size."""
    if factor in SIZES:
        return {"model": _model, "tokens": _tokens}[factor]
    technique, members = registry.leader(factor), FACTORS[factor]
    return lambda level, layers: technique.features(dict(zip(members, level, strict=True)), layers)


def numeric_axis(factor: str) -> int | None:
    """Where the number stands that orders a technique's levels, all else being equal."""
    return next((i for i, name in enumerate(FACTORS[factor]) if AXES[name].kind in (int, float)), None)


def position(factor: str, level: Level) -> float:
    """The number that orders a factor's levels: its non-embedding parameters of a model; 0 where there is none."""
    if factor == "model":
        return float(non_embedding_parameters(ModelConfig(*level)))
    axis = numeric_axis(factor)
    return 0.0 if axis is None else float(level[axis])


def ordered(factor: str, levels: Sequence[Level]) -> dict[Level, float] | None:
    """The number of every level, if one number orders them all; off stands where its technique says."""
    axis = numeric_axis(factor)
    off = NEUTRAL[factor]
    if factor != "model" and axis is None:
        return None
    if factor not in SIZES:
        on = [level for level in levels if level != off]
        if len({level[:axis] + level[axis + 1 :] for level in on if axis is not None}) > 1:
            return None
    found = {level: position(factor, level) for level in levels}
    off_at = None if factor in SIZES else registry.leader(factor).off_at()
    if off in found and off_at is not None:
        found[off] = off_at
    return found if len(set(found.values())) == len(levels) else None


@dataclass(frozen=True)
class Inputs:
    """What is known of one factor's level in some cells: contrasts [cells, columns] with a row's mean square of 1, an
    indicator of each measured level alike (None where contrasts say as much), places [cells, dimensions], and steps
    [cells, levels - 1]: how much of the way from each measured level to the next lies behind a cell's. Without an order
    a level is a step of its own.
    """

    contrasts: Array
    own: Array | None
    place: Array
    steps: Array

    def rows(self, chosen: npt.NDArray[np.intp]) -> Inputs:
        """Those of some of the cells."""
        own = None if self.own is None else self.own[chosen]
        return Inputs(self.contrasts[chosen], own, self.place[chosen], self.steps[chosen])


@dataclass(frozen=True)
class _FactorCode:
    """Whitening of one factor's features over its measured `levels`; `numbers` are sorted where one orders them."""

    factor: str
    levels: tuple[Level, ...]
    features: Features
    names: tuple[str, ...]
    centre: Array
    scale: Array
    projection: Array
    numbers: Array | None
    widest: float

    def standard(self, level: Level, layers: int) -> Array:
        """Features in units of their spread over the measured levels."""
        values = self.features(level, layers)
        row: Array = (np.array([values.get(name, 0.0) for name in self.names]) - self.centre) / self.scale
        return row

    def code(self, level: Level, layers: int) -> Array:
        coded: Array = self.standard(level, layers) @ self.projection
        return coded

    @property
    def stepwise(self) -> bool:
        """Whether indicators say more than contrasts."""
        return bool(self.projection.shape[1] < len(self.levels) - 1)

    def indicator(self, level: Level) -> Array:
        """Sum-to-zero; all zero for a level that was not measured."""
        count = len(self.levels)
        own = np.array([float(level == known) for known in self.levels])
        scaled: Array = (own - own.mean()) * math.sqrt(count / (count - 1))
        return scaled

    def place(self, level: Level, layers: int) -> Array:
        """From 0 to 1 by rank, in between by the number; or features, their largest distance 1."""
        if self.numbers is None:
            return self.standard(level, layers) / self.widest
        number = (ordered(self.factor, [level]) or {level: position(self.factor, level)})[level]
        ranks = np.linspace(0.0, 1.0, len(self.numbers))
        return np.array([np.interp(number, self.numbers, ranks)])

    def steps(self, level: Level, layers: int) -> Array:
        """Every gap between neighbours that was passed, 1 in all; without an order, which of the levels it is."""
        gaps = len(self.levels) - 1
        if self.numbers is None:
            return np.array([float(level == known) for known in self.levels]) / gaps
        passed: Array = np.clip(self.place(level, layers)[0] * gaps - np.arange(gaps), 0.0, 1.0) / gaps
        return passed


@dataclass(frozen=True)
class Encoding:
    """Contrasts of the factors that vary in a design. Zero mean and unit mean square over each factor's levels."""

    factors: dict[str, _FactorCode]
    layers: int

    def codes(self, cells: Sequence[Levels]) -> Codes:
        """Every varying factor's contrasts. The phase counts from its default, at which it stands where it is idle."""
        coded = {}
        for name, factor in self.factors.items():
            index = INDEX[name]
            known = {level: factor.code(level, self.layers) for level in {cell[index] for cell in cells}}
            coded[name] = np.array([known[cell[index]] for cell in cells]).reshape(len(cells), -1)
            if name == "phase":
                coded[name] -= factor.code(NEUTRAL[name], self.layers)
        return coded

    def inputs(self, cells: Sequence[Levels]) -> list[Inputs]:
        """All that a kernel needs, factor by factor."""
        found = []
        for (name, factor), contrasts in zip(self.factors.items(), self.codes(cells).values(), strict=True):
            own = [cell[INDEX[name]] for cell in cells]
            places = {level: factor.place(level, self.layers) for level in set(own)}
            steps = {level: factor.steps(level, self.layers) for level in places}
            indicators = {level: factor.indicator(level) for level in set(own)} if factor.stepwise else None
            found.append(
                Inputs(
                    contrasts / math.sqrt(max(contrasts.shape[1], 1)),
                    None if indicators is None else np.array([indicators[level] for level in own]),
                    np.array([places[level] for level in own]),
                    np.array([steps[level] for level in own]),
                )
            )
        return found


def encode(cells: Sequence[Levels], layers: int) -> Encoding:
    """The encoding fixed by the measured cells; a factor with one level takes no part."""
    coded = {}
    for name, index in INDEX.items():
        levels = sorted({cell[index] for cell in cells}, key=repr)
        if len(levels) > 1:
            coded[name] = _factor_code(name, levels, layers)
    return Encoding(coded, layers)


def _factor_code(factor: str, levels: Sequence[Level], layers: int) -> _FactorCode:
    features = _features_of(factor)
    rows = [features(level, layers) for level in levels]
    names = tuple(sorted({key for row in rows for key in row}))
    matrix = np.array([[row.get(key, 0.0) for key in names] for row in rows])
    centre = matrix.mean(axis=0)
    spread = matrix.std(axis=0)
    scale = np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, 1.0)
    standard = (matrix - centre) / scale
    _, singular, rotation = np.linalg.svd(standard, full_matrices=False)
    kept = singular > 1e-8 * max(1.0, float(singular.max(initial=0.0)))
    projection = rotation[kept].T / singular[kept] * math.sqrt(len(levels))
    apart = np.sqrt(((standard[:, None] - standard[None]) ** 2).sum(axis=2))
    numbers = ordered(factor, levels)
    return _FactorCode(
        factor,
        tuple(levels),
        features,
        names,
        centre,
        scale,
        projection,
        None if numbers is None else np.sort(list(numbers.values())),
        float(apart.max()) or 1.0,
    )
