"""Techniques as numbers: orthonormal sum-to-zero contrasts over the levels that were measured (docs/effects.md).

Each factor's levels become features that respect their meaning (a bit width is a damage, a dropout schedule a mean
rate, a size its place in a scaling law), which are then centred and whitened over the measured levels. Whitening makes
a penalty independent of how the features were scaled; features never exceed the rank that the measured levels support,
so that two or three levels are coded exactly and many levels of a numeric axis are smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, SIZES, Level, Levels
from bitskip.techniques import registry
from bitskip.trial.config import ModelConfig
from bitskip.trial.cost import matrix_parameters

Array = npt.NDArray[np.float64]
Codes = dict[str, Array]
"""By factor that varies: its contrasts, [cells, columns]."""

Features = Callable[[Level, int], dict[str, float]]

PARAMETERS_EXPONENT, TOKENS_EXPONENT = 0.34, 0.28
"""alpha and beta of L = E + A N^-alpha + B D^-beta (Hoffmann et al., arXiv 2203.15556, approach 3)."""


def _model(level: Level, layers: int) -> dict[str, float]:
    params = matrix_parameters(ModelConfig(*level))
    return {"log parameters": math.log(params), "law": params**-PARAMETERS_EXPONENT}


def _tokens(level: Level, layers: int) -> dict[str, float]:
    return {"log tokens": math.log(level[0]), "law": level[0] ** -TOKENS_EXPONENT}


def _features_of(factor: str) -> Features:
    """(level, layers of the model) to numbers: what the factor's technique says of it, or the law of a size."""
    if factor in SIZES:
        return {"model": _model, "tokens": _tokens}[factor]
    technique, members = registry.leader(factor), FACTORS[factor]
    return lambda level, layers: technique.features(dict(zip(members, level, strict=True)), layers)


@dataclass(frozen=True)
class _FactorCode:
    """Whitening of one factor's features over its measured levels."""

    features: Features
    names: tuple[str, ...]
    centre: Array
    scale: Array
    projection: Array

    def code(self, level: Level, layers: int) -> Array:
        values = self.features(level, layers)
        row = np.array([values.get(name, 0.0) for name in self.names])
        coded: Array = ((row - self.centre) / self.scale) @ self.projection
        return coded


@dataclass(frozen=True)
class Encoding:
    """Contrasts of the factors that vary in a design. Zero mean and unit mean square over each factor's levels."""

    factors: dict[str, _FactorCode]
    layers: int

    @property
    def columns(self) -> dict[str, int]:
        return {name: code.projection.shape[1] for name, code in self.factors.items()}

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


def encode(cells: Sequence[Levels], layers: int) -> Encoding:
    """The encoding fixed by the measured cells; a factor with one level takes no part."""
    coded = {}
    for name, index in INDEX.items():
        levels = sorted({cell[index] for cell in cells}, key=repr)
        if len(levels) > 1:
            coded[name] = _factor_code(_features_of(name), levels, layers)
    return Encoding(coded, layers)


def _factor_code(features: Features, levels: Sequence[Level], layers: int) -> _FactorCode:
    rows = [features(level, layers) for level in levels]
    names = tuple(sorted({key for row in rows for key in row}))
    matrix = np.array([[row.get(key, 0.0) for key in names] for row in rows])
    centre = matrix.mean(axis=0)
    spread = matrix.std(axis=0)
    scale = np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, 1.0)
    _, singular, rotation = np.linalg.svd((matrix - centre) / scale, full_matrices=False)
    kept = singular > 1e-8 * max(1.0, float(singular.max(initial=0.0)))
    projection = rotation[kept].T / singular[kept] * math.sqrt(len(levels))
    return _FactorCode(features, names, centre, scale, projection)
